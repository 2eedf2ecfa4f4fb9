from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
SONNET = "claude-sonnet-4-5"
PRICES = (3_000, 15_000, 3_750, 300)
KINDS = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)

Prices = tuple[int, int, int, int]
prices = st.tuples(*[st.integers(0, 100_000)] * 4)
tokens = st.tuples(*[st.integers(0, 200_000)] * 4)


def used(*counts: int, cost: int = 0) -> ModelUsage:
    return ModelUsage(**dict(zip(KINDS, counts, strict=False)), cost_nano_usd=cost)


def charged(*counts: int, at: Prices = PRICES) -> Usage:
    cost = sum(one * price for one, price in zip(counts, at, strict=False))
    return Usage(models={SONNET: used(*counts, cost=cost)})


def record(usage: Usage, source: UsageSource = UsageSource.CLI) -> UsageRecord:
    return UsageRecord(id="r", subscription_id="sub1", timestamp=NOW, source=source, usage=usage)


def learned(*usages: Usage) -> LearnedPrices:
    return LearnedPrices.learned_from(map(record, usages))


def cost(rates: LearnedPrices, *counts: int) -> int | None:
    """What is known to the last nano-dollar, or None."""
    estimate = rates.estimate(Usage(models={SONNET: used(*counts)}))
    return estimate.cost_nano_usd if estimate.known else None


@given(prices, st.lists(tokens, min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=12))
def test_any_sum_of_what_was_charged_costs_what_it_was_charged(
    at: Prices, runs: list[Prices], times: list[int]
) -> None:
    total = tuple(
        sum(many * run[kind] for many, run in zip(times, runs, strict=False)) for kind in range(4)
    )

    estimate = learned(*(charged(*run, at=at) for run in runs)).estimate(charged(*total))

    assert estimate.known
    assert estimate.usage == charged(*total, at=at)


@given(prices, st.permutations([(7, 1, 0, 0), (0, 9, 2, 1), (5, 0, 0, 3), (1, 1, 1, 1)]), tokens)
def test_four_different_runs_tell_all_four_prices(
    at: Prices, runs: list[Prices], wanted: Prices
) -> None:
    rates = learned(*(charged(*run, at=at) for run in runs))

    assert rates.estimate(charged(*wanted)).usage == charged(*wanted, at=at)


@given(st.lists(st.tuples(tokens, st.integers(0, 10**9)), max_size=6), st.randoms())
def test_the_order_of_the_records_does_not_matter(
    rows: list[tuple[Prices, int]], random: object
) -> None:
    usages = [Usage(models={SONNET: used(*counts, cost=cost)}) for counts, cost in rows]
    shuffled = list(usages)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert learned(*shuffled) == learned(*usages)


@given(st.lists(st.tuples(tokens, st.integers(0, 10**9)), max_size=6), tokens)
def test_nothing_ever_costs_less_than_nothing(
    rows: list[tuple[Prices, int]], wanted: Prices
) -> None:
    usages = [Usage(models={SONNET: used(*counts, cost=cost)}) for counts, cost in rows]

    assert learned(*usages).estimate(charged(*wanted)).cost_nano_usd >= 0


def test_two_runs_of_different_proportions_tell_two_prices() -> None:
    rates = learned(charged(100, 20), charged(100, 1))

    assert cost(rates, 7, 0) == 21_000
    assert cost(rates, 0, 1) == 15_000
    assert cost(rates, 0, 0, 1) is None


def test_runs_of_one_proportion_price_that_proportion_alone() -> None:
    rates = learned(charged(100, 20), charged(200, 40))

    assert cost(rates, 50, 10) == 300_000
    assert cost(rates, 50, 11) is None


def test_a_missing_price_is_assumed_and_the_assumption_named() -> None:
    estimate = learned(charged(100, 20)).estimate(charged(100, 1))

    assert (estimate.known, estimate.cost_nano_usd) == (False, 315_000)
    assert estimate.assumed == ("output costs 5 x input",)


def test_no_more_is_assumed_than_is_needed() -> None:
    rates = learned(charged(100, 20), charged(100, 1))

    assert rates.estimate(charged(1, 1, 4, 10)).assumed == (
        "a cache read costs 0.1 x input",
        "a cache write costs 1.25 x input",
    )


def test_what_was_learned_outranks_what_would_be_assumed() -> None:
    opus_5_5 = (4_000, 20_000, 5_000, 200)
    rates = learned(charged(10, 5, 0, 0, at=opus_5_5), charged(10, 5, 0, 1000, at=opus_5_5))

    assert rates.estimate(charged(10, 0, 0, 1000)).cost_nano_usd == 240_000


def test_a_contradiction_is_no_price() -> None:
    rates = learned(charged(100, 20), charged(100, 1), charged(100, 20, at=(1, 1, 1, 1)))

    estimate = rates.estimate(charged(100, 20))

    assert (estimate.unpriced, estimate.cost_nano_usd) == ((SONNET,), 0)


def test_a_price_below_nothing_is_a_contradiction() -> None:
    more_for_less = (used(100, 20, cost=600), used(100, 30, cost=500))

    rates = learned(*(Usage(models={SONNET: one}) for one in more_for_less))

    assert rates.estimate(charged(100, 0)).unpriced == (SONNET,)


def test_what_could_only_cost_less_than_nothing_is_not_priced() -> None:
    runs = (used(1, 0, 0, cost=10), used(2, 1, 1, cost=15))

    rates = learned(*(Usage(models={SONNET: one}) for one in runs))

    assert rates.estimate(charged(0, 1, 1)).unpriced == (SONNET,)


def test_cache_writes_of_two_lifetimes_spoil_no_price_but_their_own() -> None:
    an_hour = (3_000, 15_000, 6_000, 300)
    plain = (charged(100, 20), charged(100, 1))
    rates = learned(*plain, charged(1, 1, 10), charged(1, 1, 10, at=an_hour))

    assert cost(rates, 3, 2) == 39_000
    assert rates.estimate(charged(0, 0, 4)).assumed == ("a cache write costs 1.25 x input",)


def test_models_do_not_teach_each_other() -> None:
    other = Usage(models={"claude-haiku-4-5": used(1, 1)})

    assert learned(charged(100, 20)).estimate(other).unpriced == ("claude-haiku-4-5",)


@pytest.mark.parametrize("source", [UsageSource.PARTIAL, UsageSource.EXTERNAL])
def test_only_the_clis_own_figures_teach(source: UsageSource) -> None:
    assert LearnedPrices.learned_from([record(charged(100, 20), source)]) == LearnedPrices()


def test_learning_one_by_one_is_learning_all() -> None:
    usages = (charged(100, 20), charged(100, 1), charged(1, 1, 1, 1))
    one_by_one = LearnedPrices()
    for usage in usages:
        one_by_one = one_by_one.having_seen(usage)

    assert one_by_one == learned(*usages)


def test_nothing_costs_nothing_whatever_is_known() -> None:
    assert LearnedPrices().estimate(Usage()).known
    assert cost(LearnedPrices(), 0, 0, 0, 0) == 0


def test_prices_survive_being_written_down() -> None:
    rates = learned(charged(100, 20), charged(7, 3, 1))

    assert LearnedPrices.model_validate_json(rates.model_dump_json()) == rates


def test_a_cache_write_of_an_hour_costs_two_of_input() -> None:
    rates = learned(charged(1), charged(0, 0, 1))
    written = Usage(models={SONNET: used(0, 0, 100)})

    estimate = rates.estimate(written, {SONNET: 60})

    assert estimate.cost_nano_usd == 60 * 2 * PRICES[0] + 40 * PRICES[2]
    assert estimate.assumed == ("a cache write of an hour costs 2 x input",)
    assert rates.estimate(written, {SONNET: 101}).cost_nano_usd == 100 * 2 * PRICES[0]

"""The least that is held for a run: learned by model, with the size of its input, never claimed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.usage.expected_cost import (
    ENOUGH_RUNS,
    MOST_KINDS,
    QUANTILE,
    RECENT_RUNS,
    ExpectedCost,
    Floor,
    RecentCosts,
    floor,
    quantile,
)
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, RunSize, Usage, UsageRecord, UsageSource

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
SONNET, OPUS = "claude-sonnet-4-5", "claude-opus-4-1"
IN, OUT, WRITE = 3_000, 15_000, 3_750
"""Nano-dollars a token."""

outputs = st.integers(1, 64_000)
inputs = st.integers(1, 200_000)


def run(
    answer: int = 500,
    asked: int = 1_000,
    *,
    model: str = SONNET,
    with_tools: bool = False,
    source: UsageSource = UsageSource.CLI,
    size: RunSize | None = None,
) -> UsageRecord:
    """The record of a run whose input was as large as it was thought to be, and not cached."""
    cost = asked * IN + answer * OUT
    used = ModelUsage(input_tokens=asked, output_tokens=answer, cost_nano_usd=cost)
    asked_for = RunSize(model=model, input_tokens=asked, uses_tools=with_tools)
    return UsageRecord(
        id="r",
        subscription_id="sub1",
        timestamp=NOW,
        source=source,
        size=size or asked_for,
        usage=Usage(models={model: used}),
    )


def expected(*oldest_first: UsageRecord) -> tuple[ExpectedCost, ...]:
    records = tuple(reversed(oldest_first))
    costs = RecentCosts.of_records(records, LearnedPrices.learned_from(records))
    return tuple(costs.expected.values())


def least(*runs: UsageRecord, asked: int = 1_000, **of: object) -> Floor:
    size = RunSize.model_validate({"model": SONNET, "input_tokens": asked} | of)
    return floor(expected(*runs), size)


# -- what was seen -------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200))
def test_of_a_hundred_costs_five_may_be_higher_than_their_quantile(costs: list[int]) -> None:
    higher = sum(each > quantile(costs) for each in costs)

    assert higher <= len(costs) * (1 - QUANTILE)
    assert quantile(costs) in costs


@given(st.lists(st.tuples(outputs, inputs), min_size=ENOUGH_RUNS, max_size=RECENT_RUNS))
def test_of_a_hundred_runs_five_may_have_cost_more_than_is_held_for_one_as_large(
    runs: list[tuple[int, int]],
) -> None:
    known = expected(*(run(answer, asked) for answer, asked in runs))

    dearer = [
        cost
        for answer, asked in runs
        if (cost := asked * IN + answer * OUT)
        > floor(known, RunSize(model=SONNET, input_tokens=asked)).nano_usd
    ]

    assert len(dearer) <= len(runs) * (1 - QUANTILE)


@given(st.lists(outputs, max_size=40), inputs, st.integers(0, 10**6))
def test_a_longer_input_holds_more_by_its_price(runs: list[int], asked: int, more: int) -> None:
    known = [run(answer) for answer in runs]

    short, long = least(*known, asked=asked).nano_usd, least(*known, asked=asked + more).nano_usd

    assert long - short == pytest.approx(more * WRITE, abs=2)


@given(st.lists(outputs, min_size=1, max_size=40))
def test_one_dear_run_holds_until_enough_cheaper_ones_came_after_it(cheap: list[int]) -> None:
    cost = least(run(64_000), *(run(min(answer, 1_000)) for answer in cheap)).seen

    was_forgotten = cost < 60_000 * OUT
    assert was_forgotten == (len(cheap) + 1 >= ENOUGH_RUNS)


def test_models_and_runs_with_tools_are_told_apart() -> None:
    known = (run(100), run(8_000, model=OPUS), run(30_000, with_tools=True))

    assert least(*known).seen < least(*known, model=OPUS).seen
    assert least(*known).seen < least(*known, uses_tools=True).seen
    assert least(*known, model=OPUS, uses_tools=True).seen == 0


def test_a_model_is_known_by_any_of_its_names() -> None:
    known = run(2_000, model="claude-sonnet-4-5-20250929")

    names = (SONNET, f"{SONNET}[1m]", "claude-sonnet-4-5-20250929", "sonnet")
    assert {least(known, model=name).seen for name in names} == {least(known).seen}
    assert least(known).seen > 0
    assert least(known, model="opus").seen == 0


def test_an_alias_costs_what_the_dearest_costs_that_it_stands_for() -> None:
    known = expected(run(100, model="claude-sonnet-4-5"), run(9_000, model="claude-sonnet-5-5"))
    size = RunSize(model="sonnet", input_tokens=1)

    both = frozenset({"claude-sonnet-4-5", "claude-sonnet-5-5"})
    assert floor(known, size, both).seen == floor(known, size).seen > 8_900 * OUT
    assert floor(known, size, frozenset({"claude-sonnet-4-5"})).seen < 200 * OUT


def test_what_several_subscriptions_have_seen_counts_together_and_the_dearest_holds() -> None:
    here = expected(*[run(100)] * (ENOUGH_RUNS - 1))
    there = expected(run(7_000))
    size = RunSize(model=SONNET, input_tokens=1)

    assert floor(here, size).assumed > 0
    assert floor((*here, *there), size) == Floor(seen=floor(there, size).seen)


def test_only_what_the_cli_said_of_a_whole_run_is_learned_from() -> None:
    others = [each for each in UsageSource if each is not UsageSource.CLI]

    assert least(*(run(9_000, source=each) for each in others)).seen == 0
    assert least(run().model_copy(update={"size": None})).seen == 0


def test_the_latest_runs_of_the_latest_models_are_remembered() -> None:
    many = [run(model=f"claude-sonnet-{number}") for number in range(2 * MOST_KINDS)]

    known = expected(*[run(64_000)] * RECENT_RUNS, *[run(10)] * RECENT_RUNS, *many[:3])

    assert next(each.runs for each in known if each.model == SONNET) == RECENT_RUNS
    assert least(*[run(64_000)] * RECENT_RUNS, *[run(10)] * RECENT_RUNS).seen < 1_000 * OUT
    assert [each.model for each in expected(*many)] == [
        f"claude-sonnet-{number}" for number in range(MOST_KINDS, 2 * MOST_KINDS)
    ]


@given(st.lists(st.tuples(st.sampled_from([SONNET, OPUS]), outputs), max_size=60))
def test_learning_one_by_one_comes_to_the_same_as_learning_at_once(
    runs: list[tuple[str, int]],
) -> None:
    records = [run(answer, model=model) for model, answer in runs]
    prices = LearnedPrices.learned_from(records)
    recent = RecentCosts()
    for record in records:
        recent = recent.having_seen(record, prices)

    assert recent == RecentCosts.of_records(records[::-1], prices)


# -- what is assumed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("claude-haiku-4-5", "0.05"),
        ("sonnet", "0.13"),
        ("claude-opus-4-1", "0.63"),
        ("some-new-model", "0.63"),
    ],
)
def test_before_a_run_was_seen_a_long_answer_at_the_price_of_the_family_is_assumed(
    model: str, usd: str
) -> None:
    short = least(model=model, asked=1)
    long = least(model=model, asked=200_000)

    assert short.seen == 0
    assert short.assumed / 1e9 == pytest.approx(float(usd), abs=0.01)
    assert long.assumed > 5 * short.assumed
    assert least(model=model, uses_tools=True).assumed > short.assumed


def test_the_price_of_the_first_run_takes_the_place_of_the_family_s() -> None:
    cheap_opus = run(10, model=OPUS)  # at the price of another family

    assert least(cheap_opus, model=OPUS).assumed < least(model=OPUS).assumed / 4
    assert least(cheap_opus, model=OPUS).nano_usd > 8_000 * OUT


def test_a_price_beyond_all_reason_is_none() -> None:
    searches = run(1, asked=1)
    cost = {"cost_nano_usd": 10**9}
    usage = searches.usage.models[SONNET].model_copy(update=cost)
    dear = searches.model_copy(update={"usage": Usage(models={SONNET: usage})})

    (known,) = expected(dear)

    assert known.price_source == "assumed"
    assert least(dear).assumed == least().assumed
    assert least(dear).seen == pytest.approx(10**9, rel=0.01)


def test_once_enough_runs_were_seen_nothing_is_assumed() -> None:
    few, enough = [run(10)] * (ENOUGH_RUNS - 1), [run(10)] * ENOUGH_RUNS

    assert least(*few).assumed > 8_000 * OUT
    assert least(*enough).assumed == 0
    assert 0 < least(*enough).nano_usd < 1_000 * OUT

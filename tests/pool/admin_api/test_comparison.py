from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.admin_api.comparison import (
    Thresholds,
    compared_dollars,
    compared_tokens,
    exceeding,
    notable,
    token_difference,
    total_difference,
)
from pool.admin_api.organizations import Account, Organization, obstacle
from pool.reconciliation.findings import Finding, ReportKind, Verdict
from pool.usage.model_names import base_name
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, Usage

MODEL = "claude-sonnet-4-5"
PRICES = {"input_tokens": 3000, "output_tokens": 15000, "cache_read_input_tokens": 300}
STRICT = Thresholds(nano_usd=1_000_000_000, percent=1.0)
COUNTS = st.integers(0, 10**7)


def used(**tokens: int) -> ModelUsage:
    cost = sum(PRICES.get(kind, 3750) * count for kind, count in tokens.items())
    return ModelUsage(**tokens, cost_nano_usd=cost)


def learned() -> LearnedPrices:
    rates = LearnedPrices()
    for kind in (*PRICES, "cache_creation_input_tokens"):
        rates = rates.having_seen(Usage(models={MODEL: used(**{kind: 1000})}))
    return rates


USAGES = st.builds(
    used,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    cache_creation_input_tokens=COUNTS,
    cache_read_input_tokens=COUNTS,
)


def bare(usage: ModelUsage) -> ModelUsage:
    return usage.model_copy(update={"cost_nano_usd": 0})


@given(USAGES, USAGES)
def test_a_difference_is_worth_what_its_tokens_cost(local: ModelUsage, remote: ModelUsage) -> None:
    difference = token_difference(MODEL, local, bare(remote), learned())

    assert difference.priced
    assert local + difference.usage == remote


@given(USAGES, USAGES, COUNTS)
def test_no_cost_sinks_below_nothing(local: ModelUsage, remote: ModelUsage, cost: int) -> None:
    cheap = local.model_copy(update={"cost_nano_usd": cost})

    difference = token_difference(MODEL, cheap, bare(remote), learned())

    assert cheap.cost_nano_usd + difference.usage.cost_nano_usd >= 0


@given(USAGES, USAGES)
def test_without_a_price_there_is_no_amount(local: ModelUsage, remote: ModelUsage) -> None:
    (finding,) = compared_tokens({MODEL: local}, {MODEL: bare(remote)}, LearnedPrices(), STRICT)

    assert finding.difference is not None
    if finding.verdict is Verdict.MATCH:
        assert finding.difference.cost_usd == 0
    else:
        assert finding.difference.cost_usd is None
        assert total_difference([finding]) is None


@given(USAGES, USAGES)
def test_verdicts_on_tokens(local: ModelUsage, remote: ModelUsage) -> None:
    (finding,) = compared_tokens({MODEL: local}, {MODEL: bare(remote)}, learned(), STRICT)

    zero = ModelUsage()
    if bare(local) == bare(remote):
        assert finding.verdict is Verdict.MATCH
    elif bare(local) == zero:
        assert finding.verdict is Verdict.LOCAL_MISSING
    elif bare(remote) == zero:
        assert finding.verdict is Verdict.REMOTE_MISSING
    else:
        assert finding.verdict is Verdict.DIFFERS


@pytest.mark.parametrize(
    ("local", "remote", "exceeds"),
    [
        (10.0, 11.0, False),  # not more than a dollar
        (10.0, 11.01, True),
        (1000.0, 1009.0, False),  # not more than a percent
        (1000.0, 1011.0, True),
        (2.0, 0.5, True),
    ],
)
def test_a_difference_is_told_of_where_it_is_larger_than_both_thresholds(
    local: float, remote: float, exceeds: bool
) -> None:
    (finding,) = compared_dollars(
        {MODEL: ModelUsage(cost_nano_usd=int(local * 10**9))},
        {MODEL: ModelUsage(cost_nano_usd=int(remote * 10**9))},
        STRICT,
    )

    assert finding.exceeds is exceeds


def test_many_small_differences_together_can_be_too_much() -> None:
    local = {f"m{n}": ModelUsage() for n in range(3)}
    remote = {f"m{n}": ModelUsage(cost_nano_usd=600_000_000) for n in range(3)}

    findings = compared_dollars(local, remote, STRICT)

    assert not any(each.exceeds for each in findings)
    assert exceeding(findings, STRICT)
    assert total_difference(findings) == Decimal("1.8")


def test_dollars_agree_to_the_cent() -> None:
    local = {MODEL: ModelUsage(cost_nano_usd=1_009_999_999)}
    remote = {MODEL: ModelUsage(cost_nano_usd=1_000_000_000)}

    (finding,) = compared_dollars(local, remote, STRICT)

    assert finding.verdict is Verdict.MATCH


def test_what_cannot_be_compared_takes_nothing_from_what_was() -> None:
    apart = Finding(verdict=Verdict.NOT_RECONCILABLE)

    assert notable([apart]) is Verdict.NOT_RECONCILABLE
    assert notable([apart, Finding(verdict=Verdict.MATCH)]) is Verdict.MATCH
    assert notable([]) is Verdict.MATCH


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("claude-sonnet-4-5-20250929", MODEL),
        ("claude-sonnet-4-5-20250929[1m]", MODEL),
        ("claude-sonnet-4-5[1m]", MODEL),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        (MODEL, MODEL),
        ("-20250929", "-20250929"),
    ],
)
def test_a_model_is_known_without_its_date(name: str, base: str) -> None:
    assert base_name(name) == base


@pytest.mark.parametrize("kind", ["pro", "max", "something_new"])
@pytest.mark.parametrize("report", list(ReportKind))
def test_an_individual_account_can_be_compared_with_no_report(
    kind: str, report: ReportKind
) -> None:
    organization = Organization(id="acme", admin_key_env="K", subscriptions=("s",))

    assert obstacle(Account(subscription_id="s", kind=kind, email="a@b"), report, organization)

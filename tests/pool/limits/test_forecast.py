from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.limits.forecast import BUDGET, Prospect, budget_exhausted_at, forecast, studied
from pool.limits.window_price import Confidence
from pool.money import nano_usd
from pool.subscriptions.state import State
from pool.usage.blocks import block_at
from pool.usage.spending import WEEK, Spending, burn_rate
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state
from tests.support.values.windowed import Account

HOUR = timedelta(hours=1)
COSTS = st.lists(
    st.tuples(
        st.integers(0, 8 * 24 * 60).map(lambda minutes: NOON - timedelta(minutes=minutes)),
        st.integers(0, nano_usd(20)),
    ),
    max_size=30,
)


def prospect(
    spending: Spending | None = None,
    *,
    burn_usd: float = 0,
    budget_usd: float = 456,
    reserved_usd: float = 0,
    now: datetime = NOON,
    windows_bind: bool = True,
) -> Prospect:
    spending = spending or Spending()
    block = block_at(now)
    return Prospect(
        spending=spending,
        burn_nano_usd_per_hour=nano_usd(burn_usd),
        block=block,
        block_nano_usd=spending.within(block.starts_at, block.ends_at),
        budget_nano_usd=nano_usd(budget_usd),
        reserved_nano_usd=nano_usd(reserved_usd),
        windows_bind=windows_bind,
        window_max_age=timedelta(hours=6),
    )


def used_account(percent: int) -> Account:
    """A window of which the pool used so much, half a dollar a percent, a percent a minute."""
    account = Account(usd_per_percent=0.5)
    for _ in range(percent):
        account.run(0.5)
    return account


def state_of(account: Account, **settings: object) -> State:
    """A subscription that spent what the account tells, and saw its windows."""
    lived = state("sub1", **settings)
    lived.spending = account.spending
    lived.observe(account.events)
    return lived


def test_the_block_is_projected_to_its_end_at_the_present_rate() -> None:
    spending = Spending([(NOON - HOUR, nano_usd(5))])

    shown = forecast(prospect(spending, burn_usd=2), {}, NOON)

    assert Decimal(5 + 2 * 3) == shown.projected_block_usd


def test_where_nothing_burns_nothing_ends() -> None:
    shown = forecast(prospect(Spending([(NOON, nano_usd(455))])), {}, NOON)

    assert (shown.exhausted_at, shown.exhausted_by) == (None, None)


def test_the_budget_ends_when_its_headroom_is_spent() -> None:
    spending = Spending([(NOON - HOUR, nano_usd(50))])

    shown = forecast(prospect(spending, burn_usd=5, budget_usd=100, reserved_usd=10), {}, NOON)

    assert (shown.exhausted_at, shown.exhausted_by) == (NOON + 8 * HOUR, BUDGET)


def test_a_budget_that_is_spent_has_ended_now_even_if_nothing_burns() -> None:
    spending = Spending([(NOON - HOUR, nano_usd(100))])

    assert forecast(prospect(spending, budget_usd=100), {}, NOON).exhausted_at == NOON


def test_costs_that_leave_the_seven_days_meanwhile_make_room() -> None:
    leaving = Spending([(NOON - WEEK + 2 * HOUR, nano_usd(50))])

    assert (
        budget_exhausted_at(prospect(leaving, burn_usd=5, budget_usd=100), NOON) == NOON + 20 * HOUR
    )


def test_a_rate_that_seven_days_of_it_do_not_use_up_lasts_for_ever() -> None:
    assert budget_exhausted_at(prospect(burn_usd=1, budget_usd=169), NOON) is None
    assert budget_exhausted_at(prospect(burn_usd=1, budget_usd=167), NOON) is not None


@given(COSTS, st.floats(0.01, 50), st.floats(1, 500))
def test_the_budget_ends_at_the_foretold_instant_and_not_before(
    costs: list[tuple[datetime, int]], burn: float, budget: float
) -> None:
    asked = prospect(Spending(costs), burn_usd=burn, budget_usd=budget)

    def total(at: datetime) -> float:
        return asked.spending.after(at - WEEK, NOON) + (at - NOON) / HOUR * nano_usd(burn)

    ends = budget_exhausted_at(asked, NOON)

    last = NOON + WEEK if ends is None else ends
    hours = range(int((last - NOON) / HOUR))
    assert all(total(NOON + n * HOUR) < nano_usd(budget) for n in hours)
    if ends is not None:
        assert total(ends) >= nano_usd(budget) - nano_usd(burn) * 0.01 - 1


def test_a_window_ends_when_the_pool_has_paid_for_its_last_percent() -> None:
    account = used_account(60)

    shown = forecast(prospect(account.spending, burn_usd=20), account.studies(), account.now)

    # 40 percent at 0.50 USD; the last run's record is still 0.3 seconds ahead.
    assert (account.now + HOUR, "five_hour") == (shown.exhausted_at, shown.exhausted_by)
    assert (Decimal("0.5"), Confidence.HIGH, 19, 60.0) == (
        shown.windows["five_hour"].usd_per_percent,
        shown.windows["five_hour"].confidence,
        shown.windows["five_hour"].strides,
        shown.windows["five_hour"].percent,
    )


def test_the_earlier_of_budget_and_window_binds() -> None:
    account = used_account(60)
    asked = prospect(account.spending, burn_usd=20, budget_usd=39.5)

    shown = forecast(asked, account.studies(), account.now)

    assert (account.now + HOUR / 2, BUDGET) == (shown.exhausted_at, shown.exhausted_by)


def test_a_window_that_resets_before_does_not_end() -> None:
    account = used_account(60)

    shown = forecast(prospect(account.spending, burn_usd=4), account.studies(), account.now)

    assert shown.windows["five_hour"].exhausted_at is None


def test_next_to_nothing_burning_ends_nothing() -> None:
    account = used_account(60)
    barely = replace(prospect(account.spending), burn_nano_usd_per_hour=1)

    assert forecast(barely, account.studies(), account.now).exhausted_at is None


def test_what_was_spent_since_the_window_was_seen_counts_at_its_price() -> None:
    account = used_account(60)
    account.spending.add(account.now + timedelta(minutes=1), nano_usd(10))

    shown = forecast(
        prospect(account.spending, burn_usd=20),
        account.studies(),
        account.now + timedelta(minutes=1),
    )

    assert shown.windows["five_hour"].percent == 80.0


def test_an_adjustment_that_takes_away_does_not_empty_a_window() -> None:
    account = used_account(60)
    account.spending.add(account.now + timedelta(minutes=1), -nano_usd(10))

    shown = forecast(
        prospect(account.spending), account.studies(), account.now + timedelta(minutes=1)
    )

    assert shown.windows["five_hour"].percent == 60.0


def test_without_a_price_a_window_shows_what_was_seen_and_foretells_nothing() -> None:
    account = used_account(2)

    window = forecast(
        prospect(account.spending, burn_usd=20), account.studies(), account.now
    ).windows["five_hour"]

    assert (
        window.percent,
        window.usd_per_percent,
        window.confidence,
        window.exhausted_at,
        window.outside,
    ) == (2.0, None, None, None, None)


@pytest.mark.parametrize("later", [HOUR * 6, HOUR * 7], ids=["reset", "reset and too old"])
def test_a_window_that_was_reset_is_unknown_but_its_price_is_kept(later: timedelta) -> None:
    account = used_account(60)

    window = forecast(
        prospect(account.spending, burn_usd=20), account.studies(), account.now + later
    ).windows["five_hour"]

    assert (Decimal("0.5"), None, None, None) == (
        window.usd_per_percent,
        window.percent,
        window.exhausted_at,
        window.outside,
    )


def test_a_window_that_was_not_seen_for_too_long_is_unknown() -> None:
    account = Account(name="seven_day")
    account.run(0.5)

    window = forecast(
        prospect(account.spending), account.studies(), account.now + 6.1 * HOUR
    ).windows["seven_day"]

    assert window.percent is None


def test_a_full_window_has_ended_now_unless_the_subscription_may_spend_beyond_it() -> None:
    account = used_account(10)
    account.see(status="rejected")
    asked = prospect(account.spending)

    shown = forecast(asked, account.studies(), account.now)
    allowed = forecast(replace(asked, windows_bind=False), account.studies(), account.now)

    assert (account.now, "five_hour") == (shown.exhausted_at, shown.exhausted_by)
    assert allowed.exhausted_at is None


def test_use_outside_the_pool_is_shown_with_its_evidence_and_age() -> None:
    account = used_account(50)
    account.others_use(40)
    account.run(0.5)

    outside = (
        forecast(prospect(account.spending), account.studies(), account.now + timedelta(seconds=90))
        .windows["five_hour"]
        .outside
    )

    assert outside is not None
    assert 30 < outside.percent <= 40
    assert "the pool's own 25.50 USD explain 51.0%" in outside.evidence
    assert (NOON, account.now, 90.0) == (outside.since, outside.observed_at, outside.age_seconds)


def test_the_report_carries_the_forecast() -> None:
    account = used_account(60)

    shown = report_at(state_of(account), account.now + timedelta(seconds=1))

    assert Decimal("0.5") == shown.forecast.windows["five_hour"].usd_per_percent
    assert shown.forecast.exhausted_by == "five_hour"
    assert shown.burn_rate_usd_per_hour > 20
    assert shown.forecast.projected_block_usd > shown.current_block.cost_usd


def test_an_activation_that_recalls_the_events_knows_what_the_last_one_knew() -> None:
    account = used_account(60)
    lived = state("sub1")
    for event in account.events:
        cost = nano_usd(0.5)
        lived.spending.add(event.observed_at + account.lag, cost)
        lived.observe((event,))
    anew = state("sub1")
    anew.spending = account.spending

    anew.recall(reversed(account.events), NOON)

    assert lived.studies == anew.studies


def test_events_from_before_the_remembered_costs_are_not_recalled() -> None:
    account = used_account(60)
    anew = state("sub1")
    anew.spending = account.spending

    anew.recall(account.events, account.now)

    assert len(anew.studies["five_hour"].observations) == 1


@given(st.lists(st.floats(0, 3), max_size=40), st.integers(1, 10))
def test_it_makes_no_difference_how_the_events_are_cut(shares: list[float], size: int) -> None:
    account = Account()
    for share in shares:
        account.run(share / 2)
    pieces = [account.events[at : at + size] for at in range(0, len(account.events), size)]

    studies = account.studies()
    grown: dict[str, object] = {}
    for piece in pieces:
        grown = studied(grown, piece, account.spending)  # type: ignore[arg-type, assignment]

    assert studies == grown


def test_the_forecast_and_the_burn_rate_of_nothing_are_known_to_be_nothing() -> None:
    shown = report_at(state("sub1"))

    assert (0, Decimal(0), {}) == (
        burn_rate(Spending(), NOON),
        shown.forecast.projected_block_usd,
        shown.forecast.windows,
    )

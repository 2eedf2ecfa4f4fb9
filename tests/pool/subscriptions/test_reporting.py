from datetime import timedelta
from decimal import Decimal

import pytest

from pool.executions.outcome import FailureKind
from pool.money import nano_usd
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.subscriptions.report import SubscriptionState
from pool.subscriptions.slots import Hold
from pool.usage.records import UsageRecord
from tests.support.values.examples import NOON, usage_of
from tests.support.values.reports import report_at, state, window


def test_a_fresh_subscription_is_available_with_nothing_spent() -> None:
    shown = report_at(state())

    assert shown.state == SubscriptionState.AVAILABLE
    assert (Decimal(0), 0.0, 0.0) == (
        shown.weekly.used_usd,
        shown.weekly.percent,
        shown.current_block.percent,
    )


def test_what_was_spent_this_block_and_this_week_is_shown_with_its_percentages() -> None:
    shown = report_at(state(spent_usd="5", ago=timedelta(hours=1), weekly_budget_usd=50))

    assert ("2026-01-28T10:00:00.000Z", Decimal(5), 20.0) == (
        shown.current_block.id,
        shown.current_block.cost_usd,
        shown.current_block.percent,
    )
    assert (Decimal(5), 10.0, "local") == (
        shown.weekly.used_usd,
        shown.weekly_percent,
        shown.weekly_source,
    )


def test_a_new_block_starts_at_nothing_by_the_clock_alone() -> None:
    spent = state(spent_usd="5", ago=timedelta(minutes=1))

    later = report_at(spent, NOON + timedelta(hours=5))

    assert ("2026-01-28T15:00:00.000Z", Decimal(0)) == (
        later.current_block.id,
        later.current_block.cost_usd,
    )


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        ("79.99", SubscriptionState.AVAILABLE),
        ("80", SubscriptionState.APPROACHING),
        ("84.99", SubscriptionState.APPROACHING),
        ("85", SubscriptionState.LIMITED),
        ("200", SubscriptionState.LIMITED),
    ],
)
def test_the_state_follows_the_week(spent: str, expected: SubscriptionState) -> None:
    assert expected == report_at(state(spent_usd=spent, weekly_budget_usd=100)).state


def test_a_limited_week_says_when_it_lifts_and_lifts_then() -> None:
    limited = state(spent_usd="90", ago=timedelta(days=6), weekly_budget_usd=100)

    until = report_at(limited).state_until

    assert NOON + timedelta(days=1) == until
    assert report_at(limited, until).state == SubscriptionState.AVAILABLE


def test_a_fresh_window_counts_where_it_is_higher_than_the_local_figure() -> None:
    shown = report_at(state(windows={"seven_day": window(0.5), "five_hour": window(0.25)}))

    assert (
        shown.weekly_percent,
        shown.weekly_source,
        shown.block_percent,
        shown.block_source,
    ) == (50.0, "window", 25.0, "window")


def test_the_local_figure_counts_where_it_is_higher_than_the_window() -> None:
    shown = report_at(
        state(spent_usd="60", weekly_budget_usd=100, windows={"seven_day": window(0.5)})
    )

    assert (shown.weekly_percent, shown.weekly_source) == (60.0, "local")


@pytest.mark.parametrize(
    "gone",
    [
        window(0.99, resets_in=timedelta(0)),
        window(0.99, seen=timedelta(hours=6, seconds=1)),
    ],
    ids=["reset", "too old"],
)
def test_a_window_counts_no_longer_once_it_has_reset_or_is_too_old(gone: object) -> None:
    shown = report_at(state(windows={"seven_day": gone}))  # type: ignore[dict-item]

    assert (shown.state, shown.weekly_source) == (SubscriptionState.AVAILABLE, "local")
    assert not shown.windows["seven_day"].fresh


def test_a_window_that_is_used_up_limits_until_its_reset() -> None:
    used_up = state(windows={"five_hour": window(1.0, resets_in=timedelta(hours=2))})

    shown = report_at(used_up)

    assert (SubscriptionState.LIMITED, NOON + timedelta(hours=2)) == (
        shown.state,
        shown.state_until,
    )
    assert report_at(used_up, NOON + timedelta(hours=2)).state == SubscriptionState.AVAILABLE


def test_a_cooldown_lifts_by_the_clock_alone() -> None:
    until = NOON + timedelta(minutes=5)
    cooldown = Cooldown(
        cause=FailureKind.USAGE_LIMIT, evidence="five_hour was rejected", since=NOON, until=until
    )
    cooling = state(standing=Standing(cooldown=cooldown))

    assert (SubscriptionState.COOLDOWN, until) == (
        report_at(cooling).state,
        report_at(cooling).state_until,
    )
    assert report_at(cooling).state_reason == "usage_limit: five_hour was rejected"
    assert report_at(cooling, until).state == SubscriptionState.AVAILABLE


def test_what_runs_and_waits_is_shown_with_what_it_has_reserved() -> None:
    busy = state()
    busy.slots.take("a", Hold("s1", nano_usd("1.5")))
    busy.slots.enqueue("b", Hold("s2", nano_usd("0.25")))

    shown = report_at(busy)

    assert (1, 1, Decimal("1.75")) == (shown.running, shown.queued, shown.weekly.reserved_usd)


def test_recent_costs_teach_what_a_request_reserves() -> None:
    learned = state()
    for n, cost in enumerate(("0.10", "0.30")):
        learned.spend(
            UsageRecord(
                id=str(n),
                subscription_id="sub1",
                execution_id=str(n),
                timestamp=NOON,
                usage=usage_of(cost),
            )
        )

    assert Decimal("0.2") == report_at(learned).typical_cost_usd
    assert Decimal("0.25") == report_at(state()).typical_cost_usd

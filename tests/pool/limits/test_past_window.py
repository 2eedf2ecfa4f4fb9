from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from pool.limits.forecast import BUDGET
from pool.limits.observations import length_of
from pool.limits.past_window import PastWindow
from pool.limits.windows import FIVE_HOUR
from pool.usage.spending import WEEK
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state
from tests.support.values.windowed import Account

HOUR = timedelta(hours=1)
SOON = timedelta(minutes=1)


def past_of(account: Account, now: datetime) -> PastWindow | None:
    """As a subscription's report shows it."""
    lived = state("sub1")
    lived.spending = account.spending
    lived.observe(account.events)
    shown = report_at(lived, now).forecast.windows.get(account.name)
    return None if shown is None else shown.past


def used(percent: int, account: Account | None = None) -> Account:
    """A window that filled by so much, a percent a minute, half a dollar each."""
    account = account or Account(usd_per_percent=0.5)
    for _ in range(percent):
        account.run(0.5)
    return account


def test_while_the_first_window_runs_none_has_left_anything() -> None:
    account = used(40)

    assert past_of(account, account.resets_at - SOON) is None


def test_what_was_not_used_by_the_reset_is_left_with_what_it_would_have_paid_for() -> None:
    account = used(40)
    ended_at, seen_at = account.resets_at, account.now

    found = past_of(account, account.resets_at)

    expected = PastWindow(
        ended_at=ended_at, unused_percent=60, unused_usd=Decimal(30), observed_at=seen_at
    )
    assert expected == found


def test_it_stays_known_while_the_next_window_runs_and_until_that_has_reset() -> None:
    account = used(40)
    account.reset()
    used(90, account)

    running = past_of(account, account.resets_at - SOON)
    over = past_of(account, account.resets_at)

    assert running is not None
    assert over is not None
    assert (running.unused_percent, over.unused_percent) == (60, 10)


def test_a_busy_window_that_is_seen_more_often_than_is_remembered_hides_it_not() -> None:
    account = used(40)
    account.reset()
    for _ in range(98):
        account.run(0.5, timedelta(seconds=30))
        account.run(0, timedelta(seconds=30))
        account.run(0, timedelta(seconds=30))
    account.run(0.5)

    found = past_of(account, account.now)

    assert len(account.study().observations) < len(account.events)
    assert found is not None
    assert found.unused_percent == 60


def test_what_the_pool_spent_after_the_figure_was_seen_last_is_not_left() -> None:
    account = used(40)
    account.spending.add(account.now + HOUR, 5_000_000_000)

    found = past_of(account, account.resets_at)

    assert found is not None
    assert found.unused_percent == 50


def test_without_a_price_the_percent_alone_is_known() -> None:
    account = Account()
    account.others_use(30)
    account.see()

    found = past_of(account, account.resets_at)

    assert found is not None
    assert (found.unused_percent, found.unused_usd) == (70, None)


def test_a_full_window_has_left_nothing() -> None:
    account = used(99)
    account.run(2)
    account.see("rejected")

    found = past_of(account, account.resets_at)

    assert found is not None
    assert found.unused_percent == 0


def test_a_window_of_a_family_leaves_its_percent_and_no_price_is_learned_of_it() -> None:
    account = used(40, Account(usd_per_percent=0.5, name="seven_day_opus"))
    ended_at, seen_at = account.resets_at, account.now

    running = past_of(account, account.resets_at - SOON)
    found = past_of(account, account.resets_at)

    assert running is None
    assert found == PastWindow(
        ended_at=ended_at, unused_percent=60, unused_usd=None, observed_at=seen_at
    )


def test_a_full_window_of_a_family_is_not_what_the_subscription_runs_dry_by() -> None:
    account = used(100, Account(usd_per_percent=0.5, name="seven_day_opus"))
    lived = state("sub1")
    lived.spending = account.spending
    lived.observe(account.events)

    forecast = report_at(lived, account.now).forecast

    assert (forecast.exhausted_by, forecast.windows) == (BUDGET, {})


@pytest.mark.parametrize(
    ("name", "length"),
    [
        (FIVE_HOUR, timedelta(hours=5)),
        ("seven_day", WEEK),
        ("seven_day_sonnet", WEEK),
        ("five_hour_opus", timedelta(hours=5)),
        ("seven_day_overage_included", WEEK),
        ("overage", None),
        ("seven_days_of_another_kind", None),
    ],
)
def test_the_name_of_a_window_says_how_long_it_lasts(name: str, length: timedelta | None) -> None:
    assert length_of(name) == length


@pytest.mark.parametrize(
    ("name", "length"),
    [(FIVE_HOUR, 5 * HOUR), ("seven_day", WEEK), ("seven_day_opus", WEEK)],
)
def test_it_survives_a_restart_in_what_the_ledger_keeps_of_the_limits(
    name: str, length: timedelta
) -> None:
    account = Account(name=name)
    used(40, account)
    account.reset()
    used(5, account)
    now = account.now
    assert account.resets_at - account.starts_at == length

    again = state("sub1")
    again.spending = account.spending
    again.recall(account.events, since=NOON - timedelta(days=1))

    found = report_at(again, now).forecast.windows[name].past
    assert found is not None
    assert found == past_of(account, now)

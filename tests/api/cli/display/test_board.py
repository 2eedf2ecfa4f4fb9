from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from rich.console import Console

from api.cli.display.board import board, dollars, left_over
from pool.executions.outcome import FailureKind
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.subscriptions.overview.pool_overview import overview
from pool.subscriptions.state import State
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state, window
from tests.support.values.windowed import Account


def shown(*states: State) -> str:
    """The board at noon, as a terminal of 100 columns shows it."""
    reports = [report_at(each) for each in states]
    console = Console(width=100, record=True, file=None, quiet=True)
    with console.capture() as captured:
        console.quiet = False
        console.print(board(reports, overview(reports, NOON), NOON))
    return captured.get()


def test_what_was_spent_is_shown_for_the_block_and_the_week() -> None:
    text = shown(state("sub1", spent_usd="114", ago=timedelta(days=1)))

    assert "25.0%" in text
    assert "$114.00 of $456.00" in text


def test_a_percentage_of_anthropic_says_so() -> None:
    local = shown(state("sub1", spent_usd="114"))
    reported = shown(state("sub1", windows={"seven_day": window(0.7)}))

    assert "Anthropic" not in local
    assert "70.0%" in reported
    assert "$0.00 of $456.00, Anthropic" in reported


def test_a_state_with_an_end_says_when_and_why() -> None:
    cooldown = Cooldown(
        cause=FailureKind.USAGE_LIMIT,
        evidence="limit [reached]",
        since=NOON,
        until=NOON + timedelta(minutes=10),
    )

    text = shown(state("sub1", standing=Standing(cooldown=cooldown)))

    assert "cooldown" in text
    assert "for 10 min" in text
    assert "sub1: usage_limit: limit [reached]" in text


@pytest.mark.parametrize(
    ("days", "text"), [(27, "login lasts 27 days"), (0, "login has ended"), (None, "has headroom")]
)
def test_a_login_that_ends_says_when(days: int | None, text: str) -> None:
    subscription = state("sub1")
    subscription.login_expires_at = None if days is None else NOON + timedelta(days=days)

    found = shown(subscription)

    assert ("login" in found) == (days is not None)
    assert text in found or days is None


def test_the_board_says_where_its_figures_come_from_and_how_old_they_are() -> None:
    text = " ".join(shown(state("sub1")).split())

    assert "from the pool's records, oldest report 0.0 s" in text


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$0.00"), ("0.0006", "$0.0006"), ("1.5", "$1.50"), ("456", "$456.00")],
)
def test_small_amounts_are_not_rounded_away(amount: str, text: str) -> None:
    assert dollars(Decimal(amount)) == text


def test_a_subscription_that_fills_up_says_how_long_it_lasts() -> None:
    text = shown(state("sub1", spent_usd="114", ago=timedelta(minutes=6)))

    assert "lasts 98 min" in text


def test_a_later_tier_and_slots_that_are_held_back_are_shown() -> None:
    lifted = Cooldown(
        cause=FailureKind.USAGE_LIMIT,
        evidence="limit reached",
        since=NOON - timedelta(minutes=10),
        until=NOON - timedelta(minutes=1),
    )

    text = shown(state("sub1", standing=Standing(cooldown=lifted), tier=2, max_concurrent=5))

    assert "tier 2" in text
    assert "0 of 1" in text
    assert "later 5" in text


def test_what_windows_left_unused_is_said_on_the_average_of_the_plans() -> None:
    used = {"small": (Account(usd_per_percent=0.5), 40, 1.0), "large": (Account(), 20, 3.0)}
    states = []
    for id_, (account, percent, weight) in used.items():
        for _ in range(percent):
            account.run(0.5)
        lived = state(id_, weight=weight)
        lived.spending = account.spending
        lived.observe(account.events)
        states.append(lived)
    reports = [report_at(each, NOON + timedelta(hours=5)) for each in states]

    assert left_over(reports) == "Left unused when they last reset: 75% of five hours"
    assert left_over([report_at(state("fresh"))]) == ""

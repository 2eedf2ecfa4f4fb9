from datetime import timedelta
from decimal import Decimal

from pool.money import nano_usd
from pool.subscriptions.consequences.standing import Standing
from pool.subscriptions.overview.pool_overview import overview
from pool.subscriptions.report import Report
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state


def burning(id_: str, budget_usd: int, *, paused: bool = False) -> Report:
    """A subscription that spends 12 USD an hour, evenly."""
    made = state(id_, weekly_budget_usd=budget_usd, standing=Standing(paused=paused))
    for slices in range(12):
        made.spending.add(NOON - slices * timedelta(minutes=5), nano_usd(1))
    return report_at(made)


def test_blocks_are_projected_together() -> None:
    forecast = overview([burning("a", 48), burning("b", 48)], NOON).forecast

    assert (Decimal(24), Decimal(24 + 24 * 3)) == (
        forecast.burn_rate_usd_per_hour,
        forecast.projected_block_usd,
    )


def test_the_pool_is_dry_when_the_last_subscription_is_exhausted() -> None:
    forecast = overview([burning("a", 24), burning("b", 48)], NOON).forecast

    assert NOON + timedelta(hours=3) == forecast.dry_at


def test_a_pool_with_a_subscription_that_lasts_is_never_dry() -> None:
    assert overview([burning("a", 24), report_at(state("idle"))], NOON).forecast.dry_at is None


def test_who_takes_no_work_keeps_no_pool_from_being_dry() -> None:
    reports = [burning("a", 24), report_at(state("paused", standing=Standing(paused=True)))]

    assert NOON + timedelta(hours=1) == overview(reports, NOON).forecast.dry_at


def test_a_pool_that_takes_no_work_is_dry_now_and_one_unheard_of_is_unknown() -> None:
    assert overview([burning("a", 24, paused=True)], NOON).forecast.dry_at == NOON
    assert overview([], NOON, unheard=("a",)).forecast.dry_at is None

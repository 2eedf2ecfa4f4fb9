from __future__ import annotations

from datetime import timedelta

import pytest

from pool.executions.outcome import FailureKind
from pool.money import nano_usd
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.subscriptions.overview.verdict import Level, verdict
from pool.subscriptions.report import Report
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state, window

HOUR = timedelta(hours=1)


def lasting(id_: str, hours: float, *, by: str = "weekly_budget", **more: object) -> Report:
    """One that runs dry after so many hours."""
    report = report_at(state(id_))
    ends = {"exhausted_at": NOON + hours * HOUR, "exhausted_by": by}
    forecast = report.forecast.model_copy(update=ends)
    return report.model_copy(update={"forecast": forecast, **more})


def resting(id_: str, hours: float, cause: FailureKind = FailureKind.USAGE_LIMIT) -> Report:
    """One that takes work again after so many hours."""
    cooldown = Cooldown(cause=cause, evidence="seen", since=NOON, until=NOON + hours * HOUR)
    return report_at(state(id_, standing=Standing(cooldown=cooldown)))


def paused(id_: str) -> Report:
    return report_at(state(id_, standing=Standing(paused=True)))


def fresh(id_: str, **more: object) -> Report:
    return report_at(state(id_)).model_copy(update=more)


def test_a_pool_that_lasts_is_safe_and_names_nobody() -> None:
    found = verdict([fresh("a"), fresh("b")], NOON)

    assert (found.level, found.serving) == (Level.SAFE, 2)
    assert (found.first_dry, found.relief, found.burner) == (None, None, None)


def test_who_runs_dry_first_is_named_with_the_time_and_the_limit() -> None:
    found = verdict([lasting("a", 9), lasting("b", 2, by="five_hour")], NOON).first_dry

    assert found is not None
    assert (found.subscription_id, found.at, found.by) == ("b", NOON + 2 * HOUR, "five_hour")


@pytest.mark.parametrize(("relief_in", "level"), [(3, Level.DRY), (1, Level.TIGHT)])
def test_a_pool_that_runs_dry_is_tight_where_relief_comes_in_time(
    relief_in: float, level: Level
) -> None:
    assert level is verdict([lasting("a", 2), resting("b", relief_in)], NOON).level


def test_a_pool_in_which_nobody_takes_work_is_dry() -> None:
    found = verdict([paused("a")], NOON)

    assert (found.level, found.serving, found.relief) == (Level.DRY, 0, None)


def test_one_of_many_that_runs_dry_soon_is_no_alarm_and_a_quarter_of_them_is() -> None:
    others = [fresh(f"s{each}") for each in range(9)]

    assert Level.SAFE is verdict([lasting("a", 1), *others], NOON).level
    assert Level.TIGHT is verdict([lasting("a", 1), *others[:3]], NOON).level


def test_a_pool_of_which_less_than_half_takes_work_is_tight() -> None:
    assert Level.SAFE is verdict([fresh("a"), paused("b")], NOON).level
    assert Level.TIGHT is verdict([fresh("a"), paused("b"), paused("c")], NOON).level


def test_work_that_waits_while_no_slot_is_free_makes_it_tight() -> None:
    assert Level.TIGHT is verdict([fresh("a", running=5, capacity=5, queued=2)], NOON).level
    assert Level.SAFE is verdict([fresh("a", running=4, capacity=5, queued=2)], NOON).level


def test_who_burns_most_is_named_with_its_share() -> None:
    made = {id_: state(id_) for id_ in ("a", "b")}
    for id_, usd in {"a": 3, "b": 1}.items():
        made[id_].spending.add(NOON, nano_usd(usd))

    found = verdict([report_at(each) for each in made.values()], NOON).burner

    assert found is not None
    assert (found.subscription_id, round(found.share, 6)) == ("a", 0.75)


def test_relief_is_the_first_reset_of_a_nearly_full_window_but_of_no_single_models() -> None:
    windows = {
        "seven_day_opus": window(0.99, resets_in=HOUR, models="opus"),
        "five_hour": window(0.84, resets_in=2 * HOUR),
        "seven_day": window(0.3, resets_in=HOUR / 2),
    }

    found = verdict([report_at(state("a", windows=windows))], NOON).relief

    assert found is not None
    assert (found.subscription_id, found.at, found.by) == ("a", NOON + 2 * HOUR, "five_hour")


def test_that_a_login_is_looked_for_again_is_no_relief() -> None:
    report = resting("a", 1, FailureKind.AUTHENTICATION)

    assert report.state == "needs_login"
    assert verdict([report], NOON).relief is None


def test_an_empty_pool_gets_no_verdict() -> None:
    assert Level.EMPTY is verdict([], NOON).level

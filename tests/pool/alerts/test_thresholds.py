from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.alerts.alerts import Alert, AlertKind, AlertSettings
from pool.alerts.thresholds import AlertState, threshold_alerts
from pool.executions.outcome import FailureKind
from pool.limits.forecast import OutsideUsage, WindowForecast
from pool.storage.documents import document, read_document
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.subscriptions.overview.pool_overview import Overview, overview
from pool.subscriptions.report import Report, SubscriptionState
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state, window

SETTINGS = AlertSettings()
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def report(percent: float = 0.0, at: datetime = NOON, id_: str = "sub1", **fields: Any) -> Report:
    plain = report_at(state(id_))
    weekly = plain.weekly.model_copy(update={"percent": percent})
    return plain.model_copy(update={"weekly": weekly, "observed_at": at, **fields})


class Memory:
    """What an outbox keeps of levels and alerts."""

    def __init__(self) -> None:
        self.levels: dict[str, AlertState] = {}
        self.alerts: dict[str, Alert] = {}

    def check(
        self,
        *reports: Report,
        whole: Overview | None = None,
        seen: Iterable[AlertState] | None = None,
    ) -> list[Alert]:
        """Look once, as a router that knows the levels ``seen``; the alerts that are new."""
        levels = self.levels.values() if seen is None else seen
        changed, alerts = threshold_alerts(levels, reports, whole, SETTINGS)
        for level in changed:
            kept = self.levels.get(level.key)
            if kept is None or (kept.step, kept.seen_at) < (level.step, level.seen_at):
                self.levels[level.key] = level
        new = [each for each in alerts if each.id not in self.alerts]
        self.alerts |= {each.id: each for each in new}
        return new

    def restart(self) -> None:
        """Everything that is known is what was written down."""
        self.levels = {
            key: read_document(AlertState, document(level)) for key, level in self.levels.items()
        }


def kinds(alerts: Sequence[Alert]) -> list[AlertKind]:
    return [each.kind for each in alerts]


# -- percentages ---------------------------------------------------------------------------------


def test_a_threshold_is_told_once_however_often_it_is_checked() -> None:
    memory = Memory()

    told = [memory.check(report(81, NOON + n * MINUTE)) for n in range(10)]

    assert [len(each) for each in told] == [1] + [0] * 9
    assert told[0][0].data["threshold_percent"] == 80
    assert told[0][0].message.startswith("sub1 has used 81.0% of its weekly budget")


def test_it_is_told_again_only_after_usage_fell_below_it_by_the_hysteresis() -> None:
    memory = Memory()
    course = [79.9, 80, 75, 80, 74.9, 79, 80]

    told = [memory.check(report(each, NOON + n * MINUTE)) for n, each in enumerate(course)]

    assert [len(each) for each in told] == [0, 1, 0, 0, 0, 0, 1]
    assert told[1][0].id != told[6][0].id


def test_of_two_thresholds_that_are_crossed_at_once_the_higher_one_is_told() -> None:
    memory = Memory()

    first = memory.check(report(95))
    fallen = memory.check(report(84, NOON + MINUTE))
    again = memory.check(report(91, NOON + 2 * MINUTE))

    assert [each.data["threshold_percent"] for each in first] == [90]
    assert fallen == []
    assert [each.data["threshold_percent"] for each in again] == [90]


def test_each_of_anthropics_windows_is_told_with_its_source() -> None:
    windows = {"five_hour": window(0.82), "seven_day_opus": window(0.92), "seven_day": window(0.3)}

    told = Memory().check(report_at(state(windows=windows)))

    assert [
        (each.data["window"], each.data["threshold_percent"])
        for each in told
        if each.kind is AlertKind.USAGE_THRESHOLD
    ] == [("five_hour", 80), ("seven_day_opus", 90)]
    assert {each.data["source"] for each in told if "source" in each.data} == {"window"}


def test_a_window_that_was_reset_is_told_again_in_its_next_life() -> None:
    memory = Memory()
    seen = report_at(state(windows={"five_hour": window(0.82, resets_in=MINUTE)}))
    after_reset = report_at(
        state(windows={"five_hour": window(0.82, resets_in=MINUTE)}), NOON + 2 * MINUTE
    )
    next_life = report_at(state(windows={"five_hour": window(0.82)}), NOON + 3 * MINUTE)

    assert [len(memory.check(each)) for each in (seen, after_reset, next_life)] == [1, 0, 1]


def test_a_window_that_nobody_saw_for_long_says_nothing() -> None:
    memory = Memory()
    windows = {"five_hour": window(0.82, resets_in=None)}
    stale = NOON + timedelta(hours=7)

    assert len(memory.check(report_at(state(windows=windows)))) == 1
    assert memory.check(report_at(state(windows=windows), stale)) == []
    again = {"five_hour": window(0.82, resets_in=None, seen=-timedelta(hours=7))}
    assert memory.check(report_at(state(windows=again), stale + MINUTE)) == []


def used_outside(percent: float | None, at: datetime) -> Report:
    plain = report_at(state(windows={"five_hour": window(0.5)}), at)
    found = None
    if percent is not None:
        found = OutsideUsage(
            percent=percent, evidence="grew", since=NOON, observed_at=at, age_seconds=0
        )
    windows = {"five_hour": WindowForecast(outside=found)}
    forecast = plain.forecast.model_copy(update={"windows": windows})
    return plain.model_copy(update={"forecast": forecast})


def test_usage_outside_the_pool_is_told_once_in_the_life_of_a_window() -> None:
    memory = Memory()
    course = [None, 9, 12, None, 14, 30]

    told = [memory.check(used_outside(each, NOON + n * MINUTE)) for n, each in enumerate(course)]
    memory.check(used_outside(30, NOON + timedelta(hours=3)))
    again = memory.check(used_outside(30, NOON + timedelta(hours=3, minutes=1)))

    assert [kinds(each) for each in told] == [[], [], [AlertKind.USAGE_OUTSIDE_POOL], [], [], []]
    assert again == []


# -- logins --------------------------------------------------------------------------------------


def test_the_end_of_a_login_is_told_some_days_before_and_once_it_is_there() -> None:
    memory, ends = Memory(), NOON + 10 * DAY
    days = [0, 2.9, 3, 5, 9.9, 10, 11]

    told = [memory.check(report(at=NOON + n * DAY, login_expires_at=ends)) for n in days]

    assert [len(each) for each in told] == [0, 0, 1, 0, 0, 1, 0]
    assert kinds(told[2] + told[5]) == [AlertKind.LOGIN_EXPIRES] * 2
    assert "ends by 2026-02-07T12:00:00.000Z" in told[2][0].message
    assert "ended by 2026-02-07T12:00:00.000Z" in told[5][0].message
    assert told[2][0].data == {"login_expires_at": "2026-02-07T12:00:00.000Z"}


def test_a_login_that_is_over_when_it_is_first_seen_is_told_once() -> None:
    told = Memory().check(report(login_expires_at=NOON))

    assert ["ended by" in each.message for each in told] == [True]


def test_a_new_login_ends_both_and_its_own_end_is_told_again() -> None:
    memory = Memory()
    memory.check(report(login_expires_at=NOON - DAY))

    renewed = memory.check(report(at=NOON + MINUTE, login_expires_at=NOON + 30 * DAY))
    calm = [level.is_up for level in memory.levels.values() if "login" in level.signal]
    again = memory.check(report(at=NOON + 25 * DAY, login_expires_at=NOON + 30 * DAY))

    assert (renewed, calm) == ([], [False, False])
    assert kinds(again) == [AlertKind.LOGIN_EXPIRES]


def test_an_end_that_is_not_known_changes_nothing() -> None:
    memory = Memory()
    memory.check(report(login_expires_at=NOON))

    unknown = memory.check(report(at=NOON + MINUTE))
    seen_again = memory.check(report(at=NOON + 2 * MINUTE, login_expires_at=NOON))

    assert (unknown, seen_again) == ([], [])


# -- conditions ----------------------------------------------------------------------------------


def cooling(cause: FailureKind) -> Standing:
    cooldown = Cooldown(
        cause=cause, evidence="said so", since=NOON - MINUTE, until=NOON + 30 * MINUTE
    )
    return Standing(cooldown=cooldown)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (FailureKind.USAGE_LIMIT, AlertKind.LIMIT_REACHED),
        (FailureKind.RATE_LIMITED, AlertKind.COOLDOWN),
        (FailureKind.AUTHENTICATION, AlertKind.NEEDS_LOGIN),
    ],
)
def test_a_subscription_that_was_stopped_is_told_by_what_stopped_it(
    cause: FailureKind, kind: AlertKind
) -> None:
    told = Memory().check(report_at(state(standing=cooling(cause))))

    assert kinds(told) == [kind]
    assert told[0].data["reason"] == f"{cause}: said so"
    assert "said so" not in told[0].message


def test_a_budget_that_is_used_up_is_a_limit_beside_its_thresholds() -> None:
    told = Memory().check(report_at(state(spent_usd="400")))

    assert sorted(kinds(told)) == [AlertKind.LIMIT_REACHED, AlertKind.USAGE_THRESHOLD]


def test_a_condition_that_comes_and_goes_within_the_quiet_time_is_told_once() -> None:
    memory = Memory()
    cold = {"state": SubscriptionState.COOLDOWN}

    told = [
        memory.check(report(0, NOON + n * MINUTE, **(cold if n % 2 == 0 else {})))
        for n in range(60)
    ]

    assert sum(map(len, told)) == 1


def test_a_condition_that_was_gone_for_the_quiet_time_is_told_again() -> None:
    memory = Memory()
    cold = {"state": SubscriptionState.COOLDOWN}

    first = memory.check(report(0, NOON, **cold))
    quiet = [memory.check(report(0, NOON + n * MINUTE)) for n in range(1, 12)]
    again = memory.check(report(0, NOON + 12 * MINUTE, **cold))

    assert kinds(first) == kinds(again) == [AlertKind.COOLDOWN]
    assert not any(quiet)


def test_an_older_report_of_another_router_moves_nothing() -> None:
    memory = Memory()
    memory.check(report(81, NOON))
    memory.check(report(70, NOON + MINUTE))

    assert memory.check(report(81, NOON)) == []
    assert memory.check(report(81, NOON + MINUTE)) == []


def test_usage_that_nobody_knows_is_told() -> None:
    told = Memory().check(report(0, uncertain=2, uncertain_usd=Decimal("0.5")))

    assert kinds(told) == [AlertKind.UNCERTAIN_USAGE]
    assert told[0].data == {"uncertain": 2, "uncertain_usd": 0.5}


def test_a_pool_whose_headroom_ends_soon_is_nearly_dry() -> None:
    burning = report_at(state(spent_usd="380", ago=timedelta(minutes=1)))
    whole = overview([burning], NOON)

    told = [each for each in Memory().check(whole=whole) if each.subject == "pool"]

    assert whole.forecast.exhausted_at is not None
    assert kinds(told) == [AlertKind.POOL_NEARLY_DRY]


def test_a_pool_that_rests_with_headroom_is_not() -> None:
    assert Memory().check(whole=overview([report(50)], NOON)) == []
    assert Memory().check(whole=overview([], NOON)) == []


def test_a_pool_in_which_nobody_takes_work_is_dry() -> None:
    nobody = report(50, state=SubscriptionState.PAUSED)

    assert kinds(Memory().check(whole=overview([nobody], NOON))) == [AlertKind.POOL_NEARLY_DRY]


# -- once a crossing, whoever looks and whenever it was restarted ----------------------------------

percents = st.floats(min_value=0, max_value=120)
courses = st.lists(percents, min_size=1, max_size=40)


def crossed(course: Sequence[float], threshold: float) -> int:
    """Alerts due by the definition: told at the threshold, armed again below the hysteresis."""
    armed, count = True, 0
    for percent in course:
        if percent >= threshold and armed:
            armed, count = False, count + 1
        elif percent < threshold - SETTINGS.hysteresis_points:
            armed = True
    return count


@given(courses)
def test_alerts_are_as_many_as_crossings(course: list[float]) -> None:
    memory = Memory()
    told = [memory.check(report(each, NOON + n * MINUTE)) for n, each in enumerate(course)]

    nineties = [alert for each in told for alert in each if alert.data["threshold_percent"] == 90]
    assert len(nineties) == crossed(course, 90)
    assert all(len(each) <= 1 for each in told)
    assert sum(map(len, told)) >= crossed(course, 80)


@given(courses, st.lists(st.sampled_from(["restart", "repeat", "lose"]), max_size=40))
def test_crashes_and_repeats_between_checks_change_nothing(
    course: list[float], trouble: list[str]
) -> None:
    calm, troubled = Memory(), Memory()

    for n, percent in enumerate(course):
        seen = report(percent, NOON + n * MINUTE)
        calm.check(seen)
        before = dict(troubled.levels)
        troubled.check(seen)
        match trouble[n] if n < len(trouble) else "":
            case "restart":
                troubled.restart()
            case "repeat":
                assert troubled.check(seen) == []
            case "lose":  # it was decided, and never kept: the next check decides it again
                troubled.levels = before
                assert troubled.check(seen) == []

    assert list(troubled.alerts) == list(calm.alerts)
    assert troubled.levels == calm.levels


@given(courses, st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_two_routers_never_tell_a_crossing_twice(course: list[float], lags: list[int]) -> None:
    """The second router looks after the first, at a report of up to three checks ago, and knows the
    levels of some time ago.
    """
    alone, shared = Memory(), Memory()
    history = [report(percent, NOON + n * MINUTE) for n, percent in enumerate(course)]
    stale: list[list[AlertState]] = []

    for n, seen in enumerate(history):
        alone.check(seen)
        shared.check(seen)
        stale.append(list(shared.levels.values()))
        known = stale[max(0, n - lags[-n - 1])]
        shared.check(history[max(0, n - lags[n])], seen=known)

    for threshold in (80.0, 90.0):
        told = [
            each for each in shared.alerts.values() if each.data["threshold_percent"] == threshold
        ]
        assert len(told) <= crossed(course, threshold)
    assert set(alone.alerts) <= set(shared.alerts)

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from pool.subscriptions.consequences.standing import Standing
from pool.telemetry.events import EventFilter, PoolEvent, PoolEventKind, changes, gap
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state, window

STARTED = PoolEvent(
    kind=PoolEventKind.EXECUTION_STARTED,
    at=NOON,
    subscription_id="sub1",
    execution_id="exec_1",
    session_id="session-1",
)


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (EventFilter(), True),
        (EventFilter(kinds=(PoolEventKind.EXECUTION_STARTED, PoolEventKind.ALERT)), True),
        (EventFilter(kinds=(PoolEventKind.ALERT,)), False),
        (EventFilter(subscription_id="sub1", execution_id="exec_1", session_id="session-1"), True),
        (EventFilter(subscription_id="sub2"), False),
        (EventFilter(execution_id="exec_2"), False),
        (EventFilter(session_id="session-2"), False),
    ],
)
def test_a_filter_takes_what_fits_all_of_it(wanted: EventFilter, takes: bool) -> None:
    assert wanted.takes(STARTED) is takes


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (EventFilter(kinds=(PoolEventKind.ALERT,)), True),
        (EventFilter(execution_id="exec_2"), True),
        (EventFilter(subscription_id="sub1"), True),
        (EventFilter(subscription_id="sub2"), False),
    ],
)
def test_a_gap_is_told_to_everybody_whom_it_may_concern(wanted: EventFilter, takes: bool) -> None:
    assert wanted.takes(gap("it began anew", NOON, "sub1")) is takes
    assert wanted.takes(gap("it began anew", NOON))


def test_reports_that_say_the_same_tell_nothing() -> None:
    before = report_at(state(windows={"five_hour": window(0.5)}))
    after = report_at(state(windows={"five_hour": window(0.5)}), NOON + timedelta(seconds=5))

    assert list(changes(before, after)) == []


def test_a_changed_state_is_told_with_the_one_before() -> None:
    before = report_at(state())
    after = report_at(state(standing=Standing(paused=True)))

    (change,) = changes(before, after)

    assert change.kind is PoolEventKind.SUBSCRIPTION_STATE
    assert change.data == {"from": "available", "to": "paused", "until": None}


def test_a_window_is_told_when_it_is_new_and_when_it_changes() -> None:
    reports = [
        report_at(state()),
        report_at(state(windows={"five_hour": window(0.5)})),
        report_at(state(windows={"five_hour": window(0.6)})),
    ]

    told = [changes(*pair) for pair in itertools.pairwise(reports)]

    assert [[each.data["utilization"] for each in step] for step in told] == [[0.5], [0.6]]


def test_a_new_activation_is_told_with_its_epoch() -> None:
    (change,) = changes(report_at(state()), report_at(state()).model_copy(update={"epoch": 7}))

    assert (change.kind, change.data) == (PoolEventKind.SUBSCRIPTION_ACTIVATED, {"epoch": 7})

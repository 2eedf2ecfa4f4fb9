"""What one left that sleeps means the same at every instant as if it were awake."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.executions.outcome import FailureKind
from pool.limits.windows import RateLimitEvent
from pool.money import nano_usd
from pool.storage.documents import document, read_document
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.subscriptions.recovery import Recovery
from pool.subscriptions.report import Report
from pool.subscriptions.snapshot import Snapshot, asleep, snapshot
from pool.subscriptions.state import State, UncertainCost
from pool.usage.records import UsageRecord, UsageSource
from pool.usage.spending import Spending
from tests.support.values.examples import NOON, spec, usage_of
from tests.support.values.reports import report_at, window

HOUR = timedelta(hours=1)
SOME_COSTS = st.lists(
    st.tuples(
        st.datetimes(NOON.replace(tzinfo=None) - timedelta(days=8), NOON.replace(tzinfo=None)),
        st.integers(-(10**9), 10**11),
    ),
    max_size=20,
).map(lambda costs: [(at.replace(tzinfo=NOON.tzinfo), cost) for at, cost in costs])


def lived(costs: list[tuple[datetime, int]], **settings: object) -> State:
    """A subscription that has seen everything there is to see."""
    seen = [
        RateLimitEvent(
            type="five_hour",
            status="allowed",
            observed_at=NOON - ago,
            windows={
                "five_hour": window(used, seen=ago, resets_in=2 * HOUR),
                "seven_day": window(used / 2, seen=ago, resets_in=50 * HOUR),
            },
        )
        for ago, used in ((2 * HOUR, 0.1), (HOUR, 0.4), (timedelta(minutes=5), 0.61))
    ]
    state = State(
        spec=spec(**settings),
        epoch=3,
        version=17,
        spending=Spending(costs),
        standing=Standing(
            cooldown=Cooldown(
                cause=FailureKind.OVERLOADED,
                evidence="it was overloaded",
                since=NOON - timedelta(minutes=1),
                until=NOON + timedelta(minutes=30),
            ),
            consecutive_failures=2,
        ),
        recent_costs=deque([5, 7, nano_usd("0.3")], maxlen=50),
        models={"sonnet": "claude-sonnet-4-5"},
        login_expires_at=NOON + timedelta(days=20),
        limits_read_at=NOON - HOUR,
        uncertain=1,
        uncertain_costs={"e1": UncertainCost("e1", nano_usd("1.5"), NOON + 3 * HOUR)},
        first_used_at=NOON - timedelta(days=3),
        last_request_at=NOON - HOUR,
        last_session_id="s1",
        idle_since=NOON - HOUR,
    )
    record = UsageRecord(
        id="r1",
        subscription_id="sub1",
        timestamp=NOON - HOUR,
        source=UsageSource.CLI,
        usage=usage_of("0.25"),
    )
    state.spend(record)
    state.learn([record])
    state.observe(seen)
    return state


def kept(state: State) -> Recovery:
    """What its ledger has of it."""
    instants, sums = state.spending._instants, state.spending._sums
    costs = (later - sooner for sooner, later in pairwise(sums))
    return Recovery(
        epoch=state.epoch,
        costs=tuple(zip(instants, costs, strict=True)),
        open=(),
        standing=state.standing,
        windows=state.windows,
        totals=state.totals,
        recent_costs=tuple(state.recent_costs),
        last_session_id=state.last_session_id,
        last_request_at=state.last_request_at,
        first_used_at=state.first_used_at,
        uncertain=state.uncertain,
    )


def slept(state: State) -> State:
    """What is made of it by a router that was started later."""
    left = document(snapshot(state, kept(state), NOON))
    return asleep(state.spec, read_document(Snapshot, left))


def awake(report: Report) -> Report:
    return report.model_copy(update={"presence": "awake"})


@given(SOME_COSTS, st.timedeltas(timedelta(0), timedelta(days=9)))
def test_its_report_is_that_of_one_that_is_awake_at_any_instant(
    costs: list[tuple[datetime, int]], later: timedelta
) -> None:
    state, now = lived(costs), NOON + later

    assert report_at(state, now) == awake(report_at(slept(state), now))


def test_it_says_that_it_sleeps_and_since_when_it_had_nothing_to_do() -> None:
    shown = report_at(slept(lived([])))

    assert shown.presence == "asleep"
    assert shown.idle_since == NOON - HOUR


def test_it_has_the_settings_of_now_and_not_those_it_fell_asleep_with() -> None:
    left = snapshot(lived([], weekly_budget_usd=456), kept(lived([])), NOON)

    shown = report_at(asleep(spec(weekly_budget_usd=100), left))

    assert shown.weekly.budget_usd == 100


@pytest.mark.parametrize(
    ("change", "is_idle"),
    [
        ({}, True),
        ({"suspended": True}, False),
        ({"retired": True}, False),
        ({"store_problem": "its disk is full"}, False),
    ],
)
def test_what_has_nothing_to_do_is_idle(change: dict[str, object], is_idle: bool) -> None:
    state = State(spec=spec())
    for name, value in change.items():
        setattr(state, name, value)

    assert state.is_idle(NOON) is is_idle


def test_a_cost_in_doubt_is_looked_for_as_long_as_it_is_held() -> None:
    state = State(spec=spec(), uncertain_costs={"e1": UncertainCost("e1", 5, NOON + HOUR)})

    assert not state.is_idle(NOON)
    assert state.is_idle(NOON + HOUR)


def test_one_that_nobody_is_signed_in_to_is_asked_again_and_again() -> None:
    cooldown = Cooldown(
        cause=FailureKind.AUTHENTICATION, evidence="signed out", since=NOON, until=NOON + HOUR
    )

    assert not State(spec=spec(), standing=Standing(cooldown=cooldown)).is_idle(NOON)

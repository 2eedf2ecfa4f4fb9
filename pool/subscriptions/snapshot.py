"""The snapshot that a subscription leaves when it falls asleep: all that its report is made from.

Nothing changes while nobody runs, so the state that is put together from it again is the one that
was left, and the report of that at any ``now`` is the one that its actor would have made: there is
no second set of rules for those who sleep.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

from pool.limits.forecast import Study
from pool.limits.usage_reading import ExtraUsage
from pool.limits.windows import Window
from pool.subscriptions.consequences.standing import Standing
from pool.subscriptions.recovery import Recovery
from pool.subscriptions.spec import SubscriptionSpec
from pool.subscriptions.state import RECENT_COSTS, State, UncertainCost
from pool.usage.expected_cost import ExpectedCost, RecentCosts
from pool.usage.spending import Spending
from pool.usage.totals import LifetimeTotal
from pool.values import Instant, Value


class Snapshot(Value):
    """A subscription with nothing to do, as it fell asleep."""

    epoch: int
    version: int
    """With ``epoch``, which of two is the later one."""
    asleep_since: Instant
    idle_since: Instant | None
    costs: tuple[tuple[datetime, int], ...]
    """``(timestamp, cost in nano-dollars)`` of the records that any window can still reach. Plain
    instants: there may be very many, of very many who sleep, and all are read at a start."""
    standing: Standing
    windows: dict[str, Window]
    studies: dict[str, Study]
    totals: LifetimeTotal
    recent_costs: tuple[int, ...]
    expected_costs: tuple[ExpectedCost, ...]
    models: dict[str, str]
    login_expires_at: Instant | None
    limits_read_at: Instant | None
    limits_unreadable: str | None
    extra_usage: ExtraUsage | None
    uncertain: int
    uncertain_costs: tuple[UncertainCost, ...]
    first_used_at: Instant | None
    last_request_at: Instant | None
    last_session_id: str | None
    node: str | None = None
    """Where it was, which is where it comes up again if it can."""
    first_content_at: Instant | None = None
    """When the first execution ended whose question and answer are kept: they are to be removed by
    the clock."""
    is_at_rest: bool = True
    """Whether nothing was under way when it was left; else it has to come up again."""


def snapshot(
    state: State, kept: Recovery, now: datetime, first_content_at: datetime | None = None
) -> Snapshot:
    """What a subscription leaves at ``now``. What the ledger has counts as it is ``kept`` there,
    for that is what the next activation will find; the rest was only in memory.
    """
    return Snapshot(
        epoch=state.epoch,
        version=state.version,
        asleep_since=now,
        idle_since=state.idle_since,
        costs=kept.costs,
        standing=kept.standing,
        windows=kept.windows,
        studies=state.studies,
        totals=kept.totals,
        recent_costs=kept.recent_costs,
        expected_costs=tuple(state.costs.expected.values()),
        models=state.models,
        login_expires_at=state.login_expires_at,
        limits_read_at=state.limits_read_at,
        limits_unreadable=state.limits_unreadable,
        extra_usage=state.extra_usage,
        uncertain=state.uncertain,
        uncertain_costs=tuple(state.uncertain_costs.values()),
        first_used_at=kept.first_used_at,
        last_request_at=kept.last_request_at,
        last_session_id=kept.last_session_id,
        node=state.node,
        first_content_at=first_content_at,
        is_at_rest=not kept.open,
    )


def of_newcomer(at: datetime) -> Snapshot:
    """Of a subscription that was never activated, registered at ``at``: it has no records, so there
    is nothing that its first activation could find and this does not say.
    """
    return Snapshot(
        epoch=0,
        version=0,
        asleep_since=at,
        idle_since=None,
        costs=(),
        standing=Standing(),
        windows={},
        studies={},
        totals=LifetimeTotal(),
        recent_costs=(),
        expected_costs=(),
        models={},
        login_expires_at=None,
        limits_read_at=None,
        limits_unreadable=None,
        extra_usage=None,
        uncertain=0,
        uncertain_costs=(),
        first_used_at=None,
        last_request_at=None,
        last_session_id=None,
    )


def asleep(spec: SubscriptionSpec, left: Snapshot) -> State:
    """The state of a subscription that sleeps, with the settings that it has by now."""
    expected = {(each.model, each.uses_tools): each for each in left.expected_costs}
    return State(
        spec=spec,
        epoch=left.epoch,
        version=left.version,
        is_asleep=True,
        idle_since=left.idle_since,
        spending=Spending(left.costs),
        standing=left.standing,
        windows=dict(left.windows),
        studies=dict(left.studies),
        totals=left.totals,
        recent_costs=deque(left.recent_costs, maxlen=RECENT_COSTS),
        costs=RecentCosts(expected=expected),
        models=left.models,
        login_expires_at=left.login_expires_at,
        limits_read_at=left.limits_read_at,
        limits_unreadable=left.limits_unreadable,
        extra_usage=left.extra_usage,
        uncertain=left.uncertain,
        uncertain_costs={each.execution_id: each for each in left.uncertain_costs},
        first_used_at=left.first_used_at,
        last_request_at=left.last_request_at,
        last_session_id=left.last_session_id,
        node=left.node,
    )

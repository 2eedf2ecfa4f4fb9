"""Recorders of a subscription's and of a router's events and counters.

They are called where something is done already, and durable: telling never waits, never fails and
never decides anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import datetime

from actors.interfaces.messages import Activity, Dispatch, HandoffRequest
from actors.telemetry.event_log import MOST_AT_ONCE, EventLog
from actors.telemetry.tracing import OFF, Tracing
from pool.alerts.alerts import POOL, Alert, AlertKind
from pool.errors import PoolError
from pool.executions.execution import Execution
from pool.executions.outcome import Completed, Outcome
from pool.executions.row import ExecutionRow, model_of
from pool.executions.session import SessionHome
from pool.executions.status import ExecutionStatus
from pool.subscriptions.admission import RefusalCause
from pool.subscriptions.consequences.settlement import Settlement
from pool.telemetry import counters
from pool.telemetry.counters import Counter, Tally, Timer
from pool.telemetry.events import (
    EventFilter,
    PoolEvent,
    PoolEventKind,
    PoolEventPage,
    alerted,
    dispatched,
    of_execution,
    recorded,
    run_seconds,
)
from pool.usage.records import UsageRecord


def outcome_name(outcome: Outcome) -> str:
    """How a run ended, in one word."""
    return "completed" if isinstance(outcome, Completed) else outcome.kind.value


class Recorder:
    """Counts what happens in a part of the pool, and keeps it for those who follow."""

    def __init__(self, activation: str, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._events = EventLog(activation, clock)
        self.tally = Tally()

    def _count(self, counter: Counter, word: str = "", by: int = 1) -> None:
        self.tally = self.tally.counted(counter, word, by)

    def _time(self, timer: Timer, seconds: float) -> None:
        self.tally = self.tally.timed(timer, seconds)

    def _add(self, happening: PoolEvent) -> None:
        self._events.add(happening)


def beginning(epoch: int) -> str:
    """The cursor before the first event of a subscription's activation."""
    return f"{epoch:x}-0"


class SubscriptionRecorder(Recorder):
    """A subscription's."""

    def __init__(
        self,
        subscription_id: str,
        epoch: int,
        clock: Callable[[], datetime],
        changed: Callable[[], None],
        tracing: Tracing = OFF,
        ledgers_lost: int = 0,
    ) -> None:
        super().__init__(f"{epoch:x}", clock)
        self._id = subscription_id
        self._changed = changed
        self._tracing = tracing
        self._count(counters.LEDGERS_LOST, by=ledgers_lost)

    def since(self, cursor: str | None) -> Activity:
        """What happened after a cursor; without one, nothing yet."""
        return Activity(page=self._events.page(cursor, limit=MOST_AT_ONCE), tally=self.tally)

    def admitted(self, row: ExecutionRow) -> None:
        """An execution is held here, durably: it waits, or runs."""
        if row.status is ExecutionStatus.RUNNING:
            self.started(row)
        else:
            self._tell(PoolEventKind.EXECUTION_QUEUED, row)

    def started(self, row: ExecutionRow) -> None:
        """Its run begins."""
        if row.started_at is not None:
            waited = (row.started_at - row.intent.created_at).total_seconds()
            self._time(counters.QUEUE_WAIT, waited)
            self._span("wait", row, row.intent.created_at, row.started_at)
        self._tell(PoolEventKind.EXECUTION_STARTED, row)

    def settled(self, end: Settlement) -> None:
        """What its run came to was made durable; it need not have ended with that."""
        outcome, seconds = end.row.outcome, run_seconds(end.row)
        if outcome is not None and seconds is not None and end.row.status is not _MOVED:
            self._count(counters.RUNS, outcome_name(outcome))
            self._time(counters.RUN, seconds)
            self._trace_run(end.row, outcome)
        cooldown = end.standing.cooldown if end.standing is not None else None
        if cooldown is not None and cooldown.since == end.row.finished_at:
            self._count(counters.COOLDOWNS, cooldown.cause.value)
        if end.record is not None:
            self.recorded(end.record)

    def ended(self, row: ExecutionRow) -> None:
        """It ended here, for good or because it went on elsewhere."""
        if row.status is _MOVED:
            self._count(counters.MOVED)
            self._tell(PoolEventKind.EXECUTION_MOVED, row)
        else:
            self._count(counters.EXECUTIONS, row.status.value)
            self._tell(PoolEventKind.EXECUTION_ENDED, row)

    def recorded(self, record: UsageRecord) -> None:
        """Usage was counted."""
        self._add(recorded(record, self._clock()))

    def refused(self, cause: RefusalCause) -> None:
        self._count(counters.REFUSALS, cause.value)

    def store_failed(self) -> None:
        self._count(counters.STORE_FAILURES)

    def _trace_run(self, row: ExecutionRow, outcome: Outcome) -> None:
        """Recorded at its end, from what is durable: a run that was adopted is shown in full."""
        if row.started_at is None or row.finished_at is None:
            return
        name, failed = outcome_name(outcome), not isinstance(outcome, Completed)
        ids = {"outcome": name, "model": model_of(row)}
        self._span("run", row, row.started_at, row.finished_at, failed=failed, **ids)
        self._span("settle", row, row.finished_at, self._clock())

    def _span(
        self,
        name: str,
        row: ExecutionRow,
        begun_at: datetime,
        ended_at: datetime,
        *,
        failed: bool = False,
        **ids: str,
    ) -> None:
        ids = {"subscription_id": self._id, "execution_id": row.intent.execution_id, **ids}
        self._tracing.record(name, row.intent.trace, begun_at, ended_at, failed=failed, **ids)

    def _tell(self, kind: PoolEventKind, row: ExecutionRow) -> None:
        self._add(of_execution(kind, self._id, row, self._clock()))

    def _add(self, happening: PoolEvent) -> None:
        super()._add(happening)
        self._changed()


_MOVED = ExecutionStatus.MOVED


class PoolRecorder(Recorder):
    """A router's: its own doings, and what its subscriptions reported."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(os.urandom(6).hex(), clock)

    async def happenings(
        self,
        *,
        after: str | None = None,
        wanted: EventFilter | None = None,
        wait_seconds: float = 0,
    ) -> PoolEventPage:
        """What happened after an id, as soon as something did; see ``EventLog.next_page``."""
        return await self._events.next_page(after, wanted or EventFilter(), wait_seconds)

    def received(self, happening: PoolEvent) -> None:
        """Something that a subscription reports."""
        self._add(happening)

    def admitted(self, execution: Execution, asked_at: datetime) -> None:
        now = self._clock()
        self._count(counters.DISPATCHES, "admitted")
        self._time(counters.DISPATCH, (now - asked_at).total_seconds())
        self._add(dispatched(execution, now))

    def refused(self, dispatch: Dispatch, error: PoolError) -> None:
        """A request came to nothing; of the error only its name is recorded."""
        name = _name(error)
        self._count(counters.DISPATCHES, name)
        self._tell(
            PoolEventKind.REQUEST_REFUSED,
            execution_id=dispatch.execution_id,
            tenant=dispatch.tenant,
            data={"error": name},
        )

    def failed_over(self, handoff: HandoffRequest, target: str, cause: str) -> None:
        self._count(counters.FAILOVERS, cause)
        self._tell(
            PoolEventKind.FAILOVER,
            subscription_id=handoff.subscription_id,
            execution_id=handoff.intent.execution_id,
            tenant=handoff.intent.belongs_to,
            data={"to": target, "cause": cause},
        )

    def session_moved(self, session: SessionHome, source: str, target: str) -> None:
        self._count(counters.SESSION_MOVES)
        self._tell(
            PoolEventKind.SESSION_MOVED,
            subscription_id=target,
            session_id=session.session_id,
            tenant=session.tenant,
            data={"from": source},
        )

    def alerted(self, alert: Alert) -> None:
        about_subscription = alert.subject != POOL and alert.kind is not AlertKind.USAGE_DIFFERS
        self._count(counters.ALERTS, alert.kind.value)
        self._add(alerted(alert, about_subscription))

    def _tell(self, kind: PoolEventKind, **of: object) -> None:
        self._add(PoolEvent.model_validate({"kind": kind, "at": self._clock(), **of}))

    def _add(self, happening: PoolEvent) -> None:
        super()._add(happening)
        self._count(counters.EVENTS)


def _name(error: PoolError) -> str:
    """``KeyReused`` as ``key_reused``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()

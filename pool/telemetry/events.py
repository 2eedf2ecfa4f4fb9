"""Events of the pool, as dashboards, scripts and other followers receive them.

A happening names what it is about by ids and says the rest in flat figures: never prompts, answers
or secrets. It is news, not a record: the ledgers are what counts. News is kept for a while under
ids that order it; who comes back with the last id it saw gets exactly the rest, or first of all a
``gap`` where that cannot be promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pool.alerts.alerts import Alert, Data
from pool.executions.execution import Execution
from pool.executions.row import ExecutionRow, model_of
from pool.executions.status import ExecutionStatus
from pool.keys.access import FULL_ACCESS, Access
from pool.money import usd
from pool.subscriptions.report import Report, WindowReport
from pool.usage.records import UsageRecord
from pool.values import Instant, Value, instant_text


class PoolEventKind(StrEnum):
    EXECUTION_DISPATCHED = "execution_dispatched"
    """A router brought a request to a subscription; again where the request was repeated."""
    REQUEST_REFUSED = "request_refused"
    """A request was not admitted anywhere; nothing ran."""
    EXECUTION_QUEUED = "execution_queued"
    EXECUTION_STARTED = "execution_started"
    EXECUTION_ENDED = "execution_ended"
    EXECUTION_MOVED = "execution_moved"
    """It goes on at another subscription."""
    FAILOVER = "failover"
    """A run failed before any output, and the execution was given to another subscription."""
    USAGE_RECORDED = "usage_recorded"
    SUBSCRIPTION_ACTIVATED = "subscription_activated"
    """Its actor began anew, with a new epoch."""
    SUBSCRIPTION_STATE = "subscription_state"
    WINDOW = "window"
    """One of Anthropic's windows was seen to change."""
    SESSION_MOVED = "session_moved"
    ALERT = "alert"
    GAP = "gap"
    """Something may be missing: a part of the pool began anew, or more happened
    than is kept."""


OF_THE_POOL = frozenset(
    {
        PoolEventKind.SUBSCRIPTION_ACTIVATED,
        PoolEventKind.SUBSCRIPTION_STATE,
        PoolEventKind.WINDOW,
        PoolEventKind.ALERT,
    }
)
"""Kinds that are about subscriptions and the whole. Others are about somebody's executions,
sessions and usage; a gap is for everybody.
"""


class PoolEvent(Value):
    """One thing that happened."""

    kind: PoolEventKind
    at: Instant
    subscription_id: str | None = None
    execution_id: str | None = None
    session_id: str | None = None
    tenant: str | None = None
    """Whom the execution or session belongs to that it is about."""
    data: Data = Field(default_factory=dict)


class StoredEvent(Value):
    """A happening under the id by which it can be come back to."""

    id: str
    happening: PoolEvent


class PoolEventPage(Value):
    """What happened after a cursor. Empty where nothing did while it was waited."""

    items: tuple[StoredEvent, ...]
    cursor: str


class EventFilter(Value):
    """The events that somebody wants; a field that is left out filters nothing."""

    kinds: Annotated[tuple[PoolEventKind, ...], Field(max_length=len(PoolEventKind))] = ()
    subscription_id: str | None = None
    execution_id: str | None = None
    session_id: str | None = None
    access: Access = FULL_ACCESS
    """What whoever reads them may see."""

    def takes(self, happening: PoolEvent) -> bool:
        """A gap is shown to everybody whom it may concern."""
        if not self._may_be_told(happening):
            return False
        if happening.kind is PoolEventKind.GAP:
            return happening.subscription_id is None or self._is(happening, "subscription_id")
        if self.kinds and happening.kind not in self.kinds:
            return False
        return all(
            self._is(happening, name) for name in ("subscription_id", "execution_id", "session_id")
        )

    def _may_be_told(self, happening: PoolEvent) -> bool:
        access, where = self.access, happening.subscription_id
        if where is not None and not access.covers_subscription(where):
            return False
        if happening.kind in OF_THE_POOL:
            return access.sees_pool
        model = happening.data.get("model")
        if isinstance(model, str) and not access.covers_model(model):
            return False
        return happening.kind is PoolEventKind.GAP or access.owns(happening.tenant)

    def _is(self, happening: PoolEvent, name: str) -> bool:
        wanted = getattr(self, name)
        return wanted is None or wanted == getattr(happening, name)


def gap(reason: str, now: datetime, subscription_id: str | None = None) -> PoolEvent:
    """The admission that something may be missing here."""
    return PoolEvent(
        kind=PoolEventKind.GAP, at=now, subscription_id=subscription_id, data={"reason": reason}
    )


def dispatched(execution: Execution, now: datetime) -> PoolEvent:
    return PoolEvent(
        kind=PoolEventKind.EXECUTION_DISPATCHED,
        at=now,
        subscription_id=execution.subscription_id,
        execution_id=execution.id,
        session_id=execution.session_id,
        tenant=execution.tenant,
        data={"score": execution.routing.score, "candidates": execution.routing.considered},
    )


def of_execution(
    kind: PoolEventKind, subscription_id: str, row: ExecutionRow, now: datetime
) -> PoolEvent:
    """An event of an execution, as its subscription saw it."""
    outcome = row.outcome
    data: Data = {"model": model_of(row), "attempt": len(row.intent.earlier_attempts)}
    if kind is PoolEventKind.EXECUTION_ENDED:
        failure = getattr(outcome, "kind", None)
        data |= {
            "status": row.status.value,
            "failure": None if failure is None else failure.value,
            "cost_usd": 0.0 if outcome is None else float(usd(outcome.usage.cost_nano_usd)),
            "run_seconds": run_seconds(row),
            "process": None if row.process is None else row.process.value,
        }
    if row.status is ExecutionStatus.MOVED:
        data["moved_to"] = row.moved_to
    return PoolEvent(
        kind=kind,
        at=now,
        subscription_id=subscription_id,
        execution_id=row.intent.execution_id,
        session_id=(outcome and outcome.session_id) or row.intent.session_id,
        tenant=row.intent.belongs_to,
        data=data,
    )


def run_seconds(row: ExecutionRow) -> float | None:
    """How long its run took; None where it had none."""
    if row.started_at is None or row.finished_at is None:
        return None
    return max(0.0, (row.finished_at - row.started_at).total_seconds())


def recorded(record: UsageRecord, now: datetime) -> PoolEvent:
    """Usage that was counted, wherever it came from."""
    total = record.usage.total
    return PoolEvent(
        kind=PoolEventKind.USAGE_RECORDED,
        at=now,
        subscription_id=record.subscription_id,
        execution_id=record.execution_id,
        session_id=record.session_id,
        tenant=record.belongs_to,
        data={
            "source": record.source.value,
            "cost_usd": float(usd(total.cost_nano_usd)),
            **total.model_dump(exclude={"cost_nano_usd"}),
        },
    )


def alerted(alert: Alert, is_subscription: bool) -> PoolEvent:
    """An alert that was raised; what it says in full stands under ``/v1/alerts``."""
    return PoolEvent(
        kind=PoolEventKind.ALERT,
        at=alert.raised_at,
        subscription_id=alert.subject if is_subscription else None,
        data={"alert_id": alert.id, "alert": alert.kind.value, "severity": alert.severity.value},
    )


def changes(before: Report, after: Report) -> Iterator[PoolEvent]:
    """What two reports of a subscription, one after the other, say has happened in between."""
    if before.epoch != after.epoch:
        yield _of_subscription(PoolEventKind.SUBSCRIPTION_ACTIVATED, after, {"epoch": after.epoch})
    if before.state is not after.state:
        until = None if after.state_until is None else instant_text(after.state_until)
        data: Data = {"from": before.state.value, "to": after.state.value, "until": until}
        yield _of_subscription(PoolEventKind.SUBSCRIPTION_STATE, after, data)
    for name, window in after.windows.items():
        known = before.windows.get(name)
        if known is None or _limit_of(known) != _limit_of(window):
            yield _of_subscription(
                PoolEventKind.WINDOW, after, {"window": name, **_limit_of(window)}
            )


def _of_subscription(kind: PoolEventKind, report: Report, data: Data) -> PoolEvent:
    return PoolEvent(kind=kind, at=report.observed_at, subscription_id=report.id, data=data)


def _limit_of(window: WindowReport) -> Data:
    return {
        "status": window.status,
        "utilization": window.utilization,
        "resets_at": None if window.resets_at is None else instant_text(window.resets_at),
    }

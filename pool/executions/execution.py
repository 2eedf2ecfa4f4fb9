"""An execution as it is shown to its caller, made from what its subscription keeps of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from pydantic import Field

from pool.executions.attempt import Attempt
from pool.executions.content.turn import ThinkingPart
from pool.executions.outcome import Completed, Failed
from pool.executions.routing_record import Routing
from pool.executions.row import ContinuedBy, ExecutionRow, Others, attempts, model_of
from pool.executions.status import ExecutionStatus, ShownStatus
from pool.executions.tools.client_tools import Round, ToolCall
from pool.executions.tools.rounds import spent
from pool.limits.windows import limit_resets_at
from pool.usage.records import UsageReport, usage_report
from pool.values import Instant, Value


class ErrorInfo(Value):
    type: str
    message: str
    retry_at: Instant | None = None
    """When the limit that was hit resets, where it said so."""
    others: Others | None = None
    """Where a model was refused, and not by all: what kept the other subscriptions from it."""


class ExecutionUsage(UsageReport):
    """What the last run of an execution cost, with what was found of that after its end."""

    partial: bool = False
    """It is a lower bound: of a run that was cut off, what was seen of its answers; nothing, where
    nobody knows what it cost. False while it runs."""


class Execution(Value):
    """An execution as it is shown to its caller."""

    id: str
    status: ShownStatus
    subscription_id: str
    session_id: str
    model: str
    result: str | None = None
    structured_output: Any = None
    stop_reason: str | None = None
    """Why the model ended: ``end_turn``, ``stop_sequence``, or ``max_tokens`` where the answer was
    cut off at its longest."""
    stop_sequence: str | None = None
    """The one of the request's that it ended before."""
    thinking: tuple[ThinkingPart, ...] = ()
    """What the model showed of its thinking, where the request asked it to think."""
    tool_calls: tuple[ToolCall, ...] = ()
    """The calls of its ``client_tools`` that it waits for the results of."""
    waits_until: Instant | None = None
    """When it is ended unless their results have come; null where it does not wait for them."""
    rounds: tuple[Round, ...] = ()
    """The answers so far of one with ``client_tools``: each up to calls, the last up to the end."""
    continued_by: ContinuedBy | None = None
    """How it took up the last results that came, if any did."""
    continues: str | None = None
    """The execution whose results came when it had ended, and which this one goes on from."""
    error: ErrorInfo | None = None
    usage: ExecutionUsage
    attempts: tuple[Attempt, ...] = ()
    routing: Routing
    created_at: Instant
    started_at: Instant | None = None
    finished_at: Instant | None = None
    duration_ms: int | None = None
    content_removed_at: Instant | None = None
    """When its prompt and its answer were removed (``pool.keep_prompts`` after its end): ``result``
    and ``structured_output`` are null since, whatever it answered. Null while they are kept."""
    tenant: str | None = None
    """Whom it belongs to: the tenant of the key that asked for it, or else the name of that key.
    Null where no key did."""
    metadata: dict[str, str] = Field(default_factory=dict)

    def round_after(self, tool_use_ids: Collection[str]) -> int:
        """The number of the round that follows on the results of some calls: 0 where none of its
        rounds made them, for then it goes on from the one that did.
        """
        made = (each.number for each in self.rounds if _made(each.tool_calls, tool_use_ids))
        return next((number + 1 for number in made), 0)

    def calls_beside(self, tool_use_ids: Collection[str]) -> set[str]:
        """The ids of all calls that its rounds made at once with some."""
        rounds = (each.tool_calls for each in self.rounds if _made(each.tool_calls, tool_use_ids))
        return {call.id for calls in rounds for call in calls}

    def cursor_after(self, tool_use_ids: Collection[str]) -> str | None:
        """The event after which the round begins that follows on the results of some calls; None
        where that is the first.
        """
        number = self.round_after(tool_use_ids)
        return self.rounds[number - 1].cursor if number else None


def _made(calls: Iterable[ToolCall], tool_use_ids: Collection[str]) -> bool:
    return any(call.id in tool_use_ids for call in calls)


_GOES_ON = {
    ExecutionStatus.MOVING: ExecutionStatus.QUEUED,
    ExecutionStatus.MOVED: ExecutionStatus.QUEUED,
}


def _error(failed: Failed, row: ExecutionRow) -> ErrorInfo:
    return ErrorInfo(
        type=failed.kind.value,
        message=failed.message,
        retry_at=row.retry_at or failed.retry_at or limit_resets_at(failed.limits),
        others=row.others,
    )


def _usage(row: ExecutionRow) -> ExecutionUsage:
    outcome = row.outcome
    report = usage_report(outcome.usage if outcome else spent(row.rounds))
    is_partial = outcome is not None and outcome.is_partial
    return ExecutionUsage(**{**dict(report), "partial": is_partial})


def shown(subscription_id: str, row: ExecutionRow) -> Execution:
    """A row of a subscription's ledger as its caller sees it."""
    intent, outcome = row.intent, row.outcome
    duration = None
    if row.started_at is not None and row.finished_at is not None:
        duration = round((row.finished_at - row.started_at).total_seconds() * 1000)
    goes_on = row.status in _GOES_ON
    failed = outcome if isinstance(outcome, Failed) and not goes_on else None
    completed = outcome if isinstance(outcome, Completed) else None
    is_kept = row.content_removed_at is None
    waits = row.status is ExecutionStatus.WAITING_FOR_CALLER and not row.results_came
    status = _GOES_ON.get(row.status, row.status)
    if row.status is ExecutionStatus.WAITING_FOR_CALLER and not waits:
        status = ExecutionStatus.QUEUED  # for a slot
    return Execution(
        id=intent.execution_id,
        status=status,
        subscription_id=row.moved_to or subscription_id,
        session_id=(outcome and outcome.session_id) or intent.session_id,
        model=model_of(row),
        result=completed.result if completed and is_kept else None,
        structured_output=completed.structured_output if completed else None,
        stop_reason=completed.stop_reason if completed else None,
        tool_calls=row.rounds[-1].tool_calls if waits else (),
        waits_until=row.waits_until,
        # The last one is known before the outcome is durable, and shown with that.
        rounds=tuple(each.shown() for each in row.rounds if each.tool_calls or status.is_final),
        continued_by=row.continued_by or ("transcript" if intent.continues else None),
        continues=intent.continues.execution_id if intent.continues else None,
        stop_sequence=completed.stop_sequence if completed else None,
        thinking=completed.thinking if completed else (),
        error=_error(failed, row) if failed else None,
        usage=_usage(row),
        attempts=attempts(subscription_id, row),
        routing=intent.routing,
        created_at=intent.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        duration_ms=duration,
        content_removed_at=row.content_removed_at,
        tenant=intent.belongs_to,
        metadata=intent.request.metadata,
    )

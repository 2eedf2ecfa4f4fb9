"""An execution: its intent, its row, and how it is shown.

``ExecutionRequest`` is the body of a request; its validation is the one door through which a
prompt enters. ``Intent`` is what the owner makes durable before anything is spawned (T1), and
``ExecutionRow`` what it keeps: intent, progress, outcome. ``Execution`` is the row as it is shown.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    WithJsonSchema,
)

from pool.executions.content.turn import ThinkingPart
from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.executions.process_way import ProcessWay
from pool.executions.request import ExecutionRequest, SessionId, SubscriptionId
from pool.executions.routing_record import Routing
from pool.executions.tools.client_tools import Round, ToolCall, ToolResult
from pool.executions.tools.permissions import Grant
from pool.executions.tools.tool_rounds import Continuation, KeptRound, spent
from pool.limits.windows import limit_resets_at
from pool.money import Usd, usd
from pool.usage.records import RunSize, UsageReport, usage_report
from pool.values import Instant, Value


def new_execution_id(now: datetime) -> str:
    """A new id that sorts by the time it was made."""
    return f"exec_{int(now.timestamp() * 1000):012x}{os.urandom(8).hex()}"


class ExecutionStatus(StrEnum):
    """Where an execution stands. The last two are an owner's own; nobody is shown them."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING_FOR_CALLER = "waiting_for_caller"
    """The model has called the caller's tools, and goes on with their results."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    UNCERTAIN = "uncertain"
    MOVING = "moving"
    """It holds nothing here any more, and another subscription is looked for."""
    MOVED = "moved"
    """It goes on at another subscription."""

    @property
    def is_final(self) -> bool:
        return self not in {
            ExecutionStatus.QUEUED,
            ExecutionStatus.RUNNING,
            ExecutionStatus.WAITING_FOR_CALLER,
            ExecutionStatus.MOVING,
        }

    @property
    def rests(self) -> bool:
        """Whether nothing more happens by itself: it has ended, or it is its caller's turn."""
        return self.is_final or self is ExecutionStatus.WAITING_FOR_CALLER


_OWNERS_OWN = {ExecutionStatus.MOVING, ExecutionStatus.MOVED}


def _shown_status(status: ExecutionStatus) -> ExecutionStatus:
    if status in _OWNERS_OWN:
        raise ValueError(f"should be one of {', '.join(_SHOWN)}")
    return status


_SHOWN = tuple(each.value for each in ExecutionStatus if each not in _OWNERS_OWN)
ShownStatus = Annotated[
    ExecutionStatus,
    AfterValidator(_shown_status),
    WithJsonSchema({"type": "string", "enum": list(_SHOWN), "title": "ExecutionStatus"}),
]
"""A status as callers know it."""


Others = Literal["exhausted", "unavailable"]
"""Whether subscriptions lack headroom, or cannot be used for another reason."""


ContinuedBy = Literal["process", "transcript"]
"""The process that waited for the results took them; or, since that was gone, another one took them
as the end of the history."""


class Attempt(Value):
    """One run of the CLI for an execution, as it is shown."""

    subscription_id: str
    outcome: str
    reason: str | None = None
    cost_usd: Usd
    partial: bool = False
    """The cost is a lower bound: of a run that was cut off, what was seen of its answers."""
    process: ProcessWay | None = None
    """Where its process came from; null where no process had it, or was not noted."""
    node: str | None = None
    """The node that it was run on, as ``GET /v1/nodes`` names it; null where that was not noted."""


class Intent(Value):
    """What the owner makes durable before a run (T1)."""

    execution_id: str
    request: ExecutionRequest
    session_id: SessionId
    """The session that is resumed, or the one that this run begins."""
    resumes: bool
    model: str
    timeout_seconds: float
    reserved_nano_usd: int
    routing: Routing
    created_at: Instant
    caller: str = ""
    """Whose request it is: who waits is served in turn."""
    tenant: str | None = None
    """Whom it belongs to; None for nobody, and in rows that were kept before it was noted."""
    grant: Grant = Grant()
    """What the caller's key lets it use of the machine."""
    earlier_attempts: tuple[Attempt, ...] = ()
    """Attempts of this execution on other subscriptions."""
    earlier_owners: tuple[SubscriptionId, ...] = ()
    """Subscriptions that handed it on: it never comes back to them."""
    forks: SessionId | None = None
    """The session whose history this run goes on from, in a session of its own."""
    session_from: SubscriptionId | None = None
    """Where the session's transcript may have to be fetched from first."""
    session_total_nano_usd: int | None = None
    """The running total that the session was fetched with."""
    history_tokens: int = 0
    """About how many tokens of history its session begins with; 0 where nobody knows."""
    queue_timeout_seconds: float = 600
    placement: int = 0
    """The number of the placement by which its owner was asked; 0 where none is known."""
    trace: str | None = None
    """The ``traceparent`` that its spans belong to, where it is traced."""
    continues: Continuation | None = None
    """The results that it goes on from, of calls that another execution made."""

    @property
    def belongs_to(self) -> str | None:
        """The tenant that sees it. Before there were tenants, each key was one by itself."""
        return self.tenant or self.caller or None

    @property
    def process_owner(self) -> str:
        """Names those who may have its process after it: the same key, with the same grant."""
        return json.dumps([self.tenant, self.caller, self.grant.model_dump(mode="json")])

    @property
    def reads(self) -> str | None:
        """The session whose history it goes on from, if it does."""
        return self.forks or (self.session_id if self.resumes else None)

    @property
    def budget_usd(self) -> Decimal | None:
        """What earlier attempts have left of its budget, if it has one."""
        budget = self.request.max_budget_usd
        return budget and budget - sum(each.cost_usd for each in self.earlier_attempts)


def run_size(intent: Intent, model: str) -> RunSize:
    """What a run of an intent is given to do, by a model's name."""
    request = intent.request
    return RunSize(
        model=model,
        input_tokens=request.input_tokens + intent.history_tokens,
        uses_tools=request.uses_tools,
    )


class ExecutionRow(Value):
    """What the owner keeps of an execution."""

    intent: Intent
    status: ExecutionStatus
    started_at: Instant | None = None
    finished_at: Instant | None = None
    cancel_requested_at: Instant | None = None
    retry_at: Instant | None = None
    """When somebody can take it again, as far as that was known when nobody could."""
    others: Others | None = None
    """What kept others from it, where its model was refused here and not everywhere."""
    moved_to: str | None = None
    """The subscription at which it goes on."""
    process: ProcessWay | None = None
    """How its run came by its process, once it has one."""
    rounds: tuple[KeptRound, ...] = ()
    """Its rounds with its caller's tools, those that have ended."""
    results: tuple[ToolResult, ...] = ()
    """Of the last round's calls, until the next round has ended."""
    waits_until: Instant | None = None
    """When it ends unless their results have come."""
    continued_by: ContinuedBy | None = None
    place: str | None = None
    """Where its run was to be started: only there an absent run was certainly never started."""
    node: str | None = None
    """The node of that place: it can be asked, when the subscription is on another one."""
    outcome: Outcome | None = Field(default=None, discriminator="outcome")
    content_removed_at: Instant | None = None
    """When what was asked and answered was removed; all the rest stays."""

    @property
    def results_came(self) -> bool:
        """Whether the results of its last calls are there."""
        return bool(self.rounds) and self.rounds[-1].results_digest is not None

    def without_content(self, now: datetime) -> ExecutionRow:
        """The row as it is kept once nobody may read any more what was asked and answered. The
        message of a failure holds neither.
        """
        continues = self.intent.continues
        asked = {
            "request": self.intent.request.without_content(),
            "continues": continues and continues.without_content(),
        }
        outcome = self.outcome
        return self.model_copy(
            update={
                "intent": self.intent.model_copy(update=asked),
                "outcome": outcome.without_content() if isinstance(outcome, Completed) else outcome,
                "rounds": tuple(each.without_content() for each in self.rounds),
                "results": (),
                "content_removed_at": now,
            }
        )


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
_INTERRUPTED = {
    FailureKind.INTERRUPTED,
    FailureKind.NO_TOOL_RESULTS,
    FailureKind.KILLED,
    FailureKind.NOT_STARTED,
}


def final_status(outcome: Outcome) -> ExecutionStatus:
    """The status that an outcome ends an execution with."""
    match outcome:
        case Completed():
            return ExecutionStatus.SUCCEEDED
        case Failed(kind=FailureKind.CANCELLED):
            return ExecutionStatus.CANCELLED
        case Failed(evidence=False):
            return ExecutionStatus.UNCERTAIN
        case Failed(kind=kind) if kind in _INTERRUPTED:
            return ExecutionStatus.INTERRUPTED
        case Failed():
            return ExecutionStatus.FAILED


def attempts(subscription_id: str, row: ExecutionRow) -> tuple[Attempt, ...]:
    """Every run of the CLI for it, here and earlier."""
    return (*row.intent.earlier_attempts, *_attempt(subscription_id, row))


def _attempt(subscription_id: str, row: ExecutionRow) -> tuple[Attempt, ...]:
    if row.started_at is None:
        return ()
    match row.outcome:
        case None:
            name, reason, cost = "running", None, 0
        case Completed() as completed:
            name, reason, cost = "completed", None, completed.usage.cost_nano_usd
        case Failed() as failed:
            name, reason, cost = failed.kind.value, failed.message, failed.usage.cost_nano_usd
    return (
        Attempt(
            subscription_id=subscription_id,
            outcome=name,
            reason=reason,
            cost_usd=usd(cost),
            partial=row.outcome is not None and row.outcome.is_partial,
            process=row.process,
            node=row.node,
        ),
    )


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


def is_of_unknown_cost(row: ExecutionRow) -> bool:
    """Whether nobody knows what an execution has cost that has ended here: what it reserved stays
    held for a while. One that was cancelled is called that all the same.
    """
    failed = row.outcome if isinstance(row.outcome, Failed) else None
    ended = row.status in {ExecutionStatus.UNCERTAIN, ExecutionStatus.CANCELLED}
    return ended and failed is not None and not failed.evidence


def model_of(row: ExecutionRow) -> str:
    """What ran, as the CLI says; the name that was asked for until it has."""
    return (row.outcome and row.outcome.model) or row.intent.model


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

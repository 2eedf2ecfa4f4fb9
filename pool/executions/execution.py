"""What a caller asks for, and what becomes of it.

``ExecutionRequest`` is the body of a request; its validation is the one door through which a
prompt enters. ``Intent`` is what the owner makes durable before anything is spawned (T1), and
``ExecutionRow`` what it keeps: intent, progress, outcome. ``Execution`` is the row as it is shown.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from pool.executions.answer_schema import check
from pool.executions.grant import MOST_GRANTED, Grant, Tool
from pool.executions.image import Image
from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.executions.permissions import AgentSettings
from pool.limits.windows import limit_resets_at
from pool.money import Usd, usd
from pool.subscriptions.health import Component
from pool.text import fit
from pool.usage.records import Usage, UsageReport, usage_report
from pool.values import Instant, Value, is_kept

MAX_PROMPT_BYTES = 1_000_000
MAX_JSON_SCHEMA_BYTES = 50_000
MAX_METADATA = 16
MAX_IMAGES = 20
MAX_WRITTEN_BYTES = 9_500_000
"""Of prompts and images together, as JSON and base64: the CLI refuses an input above 10 MB."""
MAX_TIMEOUT_SECONDS = 24 * 3600


def _verbatim_text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds a NUL character, which no prompt can carry: remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds a lone surrogate: send valid Unicode text") from None
    return text


def _bounded(text: str, limit: int) -> str:
    size = len(text.encode())
    if size > limit:
        raise ValueError(f"is {size} bytes long; the limit is {limit}")
    return text


def _prompt(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty: write what the model should do")
    return _bounded(_verbatim_text(text), MAX_PROMPT_BYTES)


def _system_prompt(text: str) -> str:
    return _bounded(_verbatim_text(text), MAX_PROMPT_BYTES)


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("is no UUID, such as 634fbb1e-4256-459f-9794-14ea9ca8dac8") from None


def _json_schema(schema: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if not is_kept(info):
        _bounded(json.dumps(schema), MAX_JSON_SCHEMA_BYTES)
        check(schema)
    fitting: dict[str, Any] = fit(schema)
    return fitting


SessionId = Annotated[str, AfterValidator(_uuid)]
SubscriptionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
ModelId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}(\[1m\])?$")
]
MetadataName = Annotated[
    str, StringConstraints(min_length=1, max_length=100), AfterValidator(_verbatim_text)
]
MetadataText = Annotated[str, StringConstraints(max_length=500), AfterValidator(_verbatim_text)]


class ExecutionRequest(Value):
    """What to run. Unknown fields are refused; the last three say how the answer is waited for."""

    prompt: Annotated[str, AfterValidator(_prompt)]
    """Delivered to the model verbatim; at most 1 MB of UTF-8."""
    session_id: SessionId | None = None
    """The session to go on with; without it a new one begins."""
    subscription_id: SubscriptionId | None = None
    """Run there or nowhere; without it the healthiest is taken."""
    model: ModelId | None = None
    system_prompt: Annotated[str, AfterValidator(_system_prompt)] | None = None
    max_turns: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_budget_usd: Annotated[Decimal, Field(gt=0, le=10_000, decimal_places=9)] | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_SECONDS)] | None = None
    json_schema: Annotated[dict[str, Any], AfterValidator(_json_schema)] | None = None
    images: Annotated[tuple[Image, ...], Field(max_length=MAX_IMAGES)] = ()
    """Shown to the model before the prompt."""
    fork_session: bool = False
    """Go on from ``session_id`` in a new session; the old one stays as it is."""
    session_busy: Literal["wait", "refuse"] = "wait"
    """What to do while another turn of the session runs: wait for its end, or answer 409."""
    queue_timeout_seconds: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_SECONDS)] | None = None
    """How long it may wait for a slot; without it as long as the pool's configuration says."""
    tools: Annotated[tuple[Tool, ...], Field(max_length=MOST_GRANTED)] = ()
    """Tools of the CLI that the run may use, of those that the caller's key grants."""
    agent: AgentSettings = AgentSettings()
    """What else it may use of the machine it runs on, as far as the key grants it."""
    metadata: Annotated[dict[MetadataName, MetadataText], Field(max_length=MAX_METADATA)] = Field(
        default_factory=dict
    )
    background: bool = False
    stream: bool = False
    cancel_on_disconnect: bool = False
    """End the run when the caller that waits for it hangs up; else it goes on."""

    @property
    def prompt_bytes(self) -> int:
        """The size of all that goes into the model's context with it, as it was sent."""
        texts = (self.prompt, self.system_prompt or "", self.agent.append_system_prompt or "")
        written = sum(len(text.encode()) for text in texts)
        return written + sum(len(image.data) for image in self.images)

    @model_validator(mode="after")
    def _fits_together(self) -> ExecutionRequest:
        if self.fork_session and self.session_id is None:
            raise ValueError("fork_session needs the session_id of the session to go on from")
        texts = (self.prompt, self.system_prompt or "", self.agent.append_system_prompt or "")
        written = sum(len(json.dumps(text)) for text in texts)
        written += sum(len(image.data) for image in self.images)
        if written > MAX_WRITTEN_BYTES:
            raise ValueError(
                f"prompts and images together come to {written} bytes as they are written for the "
                f"CLI; the limit is {MAX_WRITTEN_BYTES}"
            )
        return self


def request_digest(request: ExecutionRequest) -> str:
    """SHA-256 of what is asked for, however it is waited for."""
    body = request.model_dump_json(exclude={"background", "stream", "cancel_on_disconnect"})
    return hashlib.sha256(body.encode()).hexdigest()


def new_execution_id(now: datetime) -> str:
    """A new id that sorts by the time it was made."""
    return f"exec_{int(now.timestamp() * 1000):012x}{os.urandom(8).hex()}"


class ExecutionStatus(StrEnum):
    """Where an execution stands. The last two are an owner's own; nobody is shown them."""

    QUEUED = "queued"
    RUNNING = "running"
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
            ExecutionStatus.MOVING,
        }


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


class Candidate(Value):
    """A subscription as the router saw it for one request."""

    subscription_id: str
    score: float
    components: tuple[Component, ...] = ()
    """What the score is made of."""
    tier: int = 1
    refusal: str | None = None
    """Why it could not be chosen; None where it could."""
    refusal_cause: str | None = None
    refused_until: Instant | None = None
    """When the refusal lifts by the clock, where that is known."""
    report_age_seconds: float


class Routing(Value):
    """Why an execution went where it went."""

    score: float
    reason: str
    candidates: tuple[Candidate, ...] = ()


class Attempt(Value):
    """One run of the CLI for an execution, as it is shown."""

    subscription_id: str
    outcome: str
    reason: str | None = None
    cost_usd: Usd


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
    queue_timeout_seconds: float = 600
    trace: str | None = None
    """The ``traceparent`` that its spans belong to, where it is traced."""


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
    place: str | None = None
    """Where its run was to be started: only there an absent run was certainly never started."""
    outcome: Outcome | None = Field(default=None, discriminator="outcome")


class ErrorInfo(Value):
    type: str
    message: str
    retry_at: Instant | None = None
    """When the limit that was hit resets, where it said so."""
    others: Others | None = None
    """Where a model was refused, and not by all: what kept the other subscriptions from it."""


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
    """Why the model ended: ``end_turn``, or ``max_tokens`` where the answer was cut off at its
    longest."""
    error: ErrorInfo | None = None
    usage: UsageReport
    attempts: tuple[Attempt, ...] = ()
    routing: Routing
    created_at: Instant
    started_at: Instant | None = None
    finished_at: Instant | None = None
    duration_ms: int | None = None
    metadata: dict[str, str] = Field(default_factory=dict)


_GOES_ON = {
    ExecutionStatus.MOVING: ExecutionStatus.QUEUED,
    ExecutionStatus.MOVED: ExecutionStatus.QUEUED,
}
_INTERRUPTED = {FailureKind.INTERRUPTED, FailureKind.KILLED, FailureKind.NOT_STARTED}


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
        Attempt(subscription_id=subscription_id, outcome=name, reason=reason, cost_usd=usd(cost)),
    )


def _error(failed: Failed, row: ExecutionRow) -> ErrorInfo:
    return ErrorInfo(
        type=failed.kind.value,
        message=failed.message,
        retry_at=row.retry_at or failed.retry_at or limit_resets_at(failed.limits),
        others=row.others,
    )


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
    return Execution(
        id=intent.execution_id,
        status=_GOES_ON.get(row.status, row.status),
        subscription_id=row.moved_to or subscription_id,
        session_id=(outcome and outcome.session_id) or intent.session_id,
        model=model_of(row),
        result=completed.result if completed else None,
        structured_output=completed.structured_output if completed else None,
        stop_reason=completed.stop_reason if completed else None,
        error=_error(failed, row) if failed else None,
        usage=usage_report(outcome.usage if outcome else Usage()),
        attempts=attempts(subscription_id, row),
        routing=intent.routing,
        created_at=intent.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        duration_ms=duration,
        metadata=intent.request.metadata,
    )

"""What a subscription keeps of an execution: its intent, its progress and its outcome."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from pool.executions.attempt import Attempt
from pool.executions.intent import Intent
from pool.executions.outcome import Completed, Failed, Outcome
from pool.executions.process_way import ProcessWay
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ToolResult
from pool.executions.tools.rounds import KeptRound
from pool.money import usd
from pool.values import Instant, Value

Others = Literal["exhausted", "unavailable"]
"""Whether subscriptions lack headroom, or cannot be used for another reason."""

ContinuedBy = Literal["process", "transcript"]
"""The process that waited for the results took them; or, since that was gone, another one took them
as the end of the history."""


class ExecutionRow(Value):
    """An execution as its subscription's ledger keeps it."""

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
    """When prompt and answer were removed; all the rest stays."""

    @property
    def results_came(self) -> bool:
        """Whether the results of its last calls are there."""
        return bool(self.rounds) and self.rounds[-1].results_digest is not None

    def without_content(self, now: datetime) -> ExecutionRow:
        """The row as it is kept once nobody may read its prompt and answer any more. The message of
        a failure holds neither.
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


def is_of_unknown_cost(row: ExecutionRow) -> bool:
    """Whether nobody knows what an execution has cost that has ended here: what it reserved stays
    held for a while. One that was cancelled is called that all the same.
    """
    failed = row.outcome if isinstance(row.outcome, Failed) else None
    ended = row.status in {ExecutionStatus.UNCERTAIN, ExecutionStatus.CANCELLED}
    return ended and failed is not None and not failed.evidence


def model_of(row: ExecutionRow) -> str:
    """The model that ran, as the CLI says; until then, as the request names it."""
    return (row.outcome and row.outcome.model) or row.intent.model

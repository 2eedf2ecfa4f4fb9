"""Where an execution stands, from its start to its end."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from pool.executions.outcome import Completed, Failed, FailureKind, Outcome


class ExecutionStatus(StrEnum):
    """Where an execution stands. The last two are a subscription's own; callers never see them."""

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


_INTERNAL = {ExecutionStatus.MOVING, ExecutionStatus.MOVED}


def _shown_status(status: ExecutionStatus) -> ExecutionStatus:
    if status in _INTERNAL:
        raise ValueError(f"should be one of {', '.join(_SHOWN)}")
    return status


_SHOWN = tuple(each.value for each in ExecutionStatus if each not in _INTERNAL)
ShownStatus = Annotated[
    ExecutionStatus,
    AfterValidator(_shown_status),
    WithJsonSchema({"type": "string", "enum": list(_SHOWN), "title": "ExecutionStatus"}),
]
"""A status as callers know it."""

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

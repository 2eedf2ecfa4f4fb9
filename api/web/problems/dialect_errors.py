"""Errors of a dialect, beyond those that all of the service shares."""

from __future__ import annotations

from pool.errors import BadField, PoolError
from pool.executions.execution import Execution


class Unsupported(BadField):
    """Well said, and the API that is spoken would do it, but this pool cannot."""


class RunFailed(PoolError):
    """The run ended without an answer, for a reason that another subscription would not mend."""

    execution_id: str
    reason: str
    message: str

    @classmethod
    def of(cls, execution: Execution) -> RunFailed:
        """The failure of an execution."""
        error = execution.error
        if error is None:
            return cls(execution.id, execution.status.value, "it ended without an answer")
        return cls(execution.id, error.type, error.message)

    def __str__(self) -> str:
        return f"the run {self.execution_id} ended without an answer: {self.reason}: {self.message}"

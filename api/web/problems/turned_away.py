"""Executions that were turned away before any output: they are answered as errors."""

from __future__ import annotations

from pool.errors import Exhausted, SessionGone, Unavailable
from pool.executions.execution import Execution
from pool.executions.outcome import FailureKind

_EXHAUSTED = {
    FailureKind.USAGE_LIMIT,
    FailureKind.RATE_LIMITED,
    FailureKind.SPEND_LIMIT,
    FailureKind.QUEUE_TIMEOUT,
}
_UNUSABLE = {
    FailureKind.AUTHENTICATION,
    FailureKind.ACCESS_DENIED,
    FailureKind.ACCOUNT_DISABLED,
    FailureKind.CREDIT_EXHAUSTED,
    FailureKind.STARTUP_FAILED,
    FailureKind.OVERLOADED,
    FailureKind.NOT_STARTED,
    FailureKind.SESSION_NOT_MOVED,
}


def served(execution: Execution) -> Execution:
    """An ended execution, unless it was turned away before any output: by its subscription, by one
    that does not have its model while others could not be asked, or since its session is gone.

    Then ``Exhausted``, ``Unavailable`` or ``SessionGone`` with its id. It has ended all the same,
    so asking again takes a new idempotency key.
    """
    error = execution.error
    if error is None:
        return execution
    if error.type == FailureKind.SESSION_NOT_FOUND:
        raise SessionGone(execution.id, error.message)
    reason = f"{error.type}: {error.message} (ask again as a new request)"
    if error.type in _EXHAUSTED or error.others == "exhausted":
        raise Exhausted(execution.id, reason, error.retry_at)
    if error.type in _UNUSABLE or error.others == "unavailable":
        raise Unavailable(execution.id, reason)
    return execution

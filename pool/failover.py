"""Whether an execution whose run has failed is tried on another subscription.

Only where nothing reached anybody: the seat or its road to the API is to blame, it is known what
was spent, and for a caller that saw output, or whose tools may have done something, nothing was.
What the caller got wrong fails everywhere, and is never tried again.
"""

from __future__ import annotations

from pool.execution import ExecutionRow
from pool.outcome import Completed, FailureKind, Outcome

_BLAMES_THE_SEAT = {
    FailureKind.USAGE_LIMIT,
    FailureKind.RATE_LIMITED,
    FailureKind.OVERLOADED,
    FailureKind.SERVER_ERROR,
    FailureKind.CONNECTION,
    FailureKind.AUTHENTICATION,
    FailureKind.ACCESS_DENIED,
    FailureKind.ACCOUNT_DISABLED,
    FailureKind.CREDIT_EXHAUSTED,
    FailureKind.SPEND_LIMIT,
    FailureKind.STARTUP_FAILED,
    FailureKind.NOT_STARTED,
}


def goes_elsewhere(row: ExecutionRow, outcome: Outcome, most_attempts: int) -> bool:
    """Whether to look for another subscription after this outcome."""
    intent = row.intent
    if isinstance(outcome, Completed) or outcome.kind not in _BLAMES_THE_SEAT:
        return False
    if row.cancel_requested_at is not None or not outcome.evidence:
        return False
    if len(intent.earlier_attempts) + 1 >= most_attempts:
        return False
    spent_nothing = not any(outcome.usage.total.model_dump().values())
    return spent_nothing or not (intent.request.tools or intent.request.stream)

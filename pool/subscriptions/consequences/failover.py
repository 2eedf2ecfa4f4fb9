"""Failover: whether an execution whose run has failed is tried on another subscription.

Only where nothing reached anybody: it is known what was spent, and for a caller that saw output, or
whose tools may have done something, nothing was. What the subscription or its road to the API is to
blame for goes elsewhere, and so does a model that it may not use; what the caller got wrong fails
everywhere, and is never tried again. Where nobody can tell, it is tried elsewhere once; the
refusal of a subscription that has answered nothing since it refused something else does not count.
"""

from __future__ import annotations

from pool.executions.intent import Intent
from pool.executions.outcome import UNSURE, Completed, FailureKind, Outcome
from pool.executions.row import ExecutionRow
from pool.money import usd
from pool.subscriptions.consequences.standing import Standing

_GOES_ON = {
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
    FailureKind.MODEL_NOT_FOUND,
    FailureKind.NOT_ENTITLED,
}
_ONCE = frozenset(each.value for each in (*UNSURE, FailureKind.INVALID_REQUEST))
"""How attempts that went on elsewhere without anybody to blame have ended."""


def was_unsure(attempt_outcome: str) -> bool:
    """Whether an earlier attempt ended so that its subscription or its caller was to blame."""
    return attempt_outcome in _ONCE


def goes_elsewhere(
    row: ExecutionRow, outcome: Outcome, standing: Standing, most_attempts: int
) -> bool:
    """Whether to look for another subscription after this outcome, which ended a run of one that
    had this ``standing`` before.
    """
    intent = row.intent
    if isinstance(outcome, Completed) or outcome.is_partial:
        return False
    if outcome.kind not in _GOES_ON and not outcome.is_unsure:
        return False
    # What its caller has seen of its rounds cannot be taken back.
    if row.rounds or row.cancel_requested_at is not None or _is_paid_out(intent, outcome):
        return False
    if len(intent.earlier_attempts) + 1 >= most_attempts:
        return False
    is_second = any(was_unsure(each.outcome) for each in intent.earlier_attempts)
    if outcome.is_unsure and is_second and not standing.unsure_failures:
        return False
    return outcome.spent_nothing or not (intent.request.tools or intent.request.stream)


def _is_paid_out(intent: Intent, outcome: Outcome) -> bool:
    """Whether nothing is left of what the caller would pay."""
    budget = intent.budget_usd
    return budget is not None and budget <= usd(outcome.usage.cost_nano_usd)

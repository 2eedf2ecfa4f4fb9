"""Which failure an error result is: the CLI's error table, row by row.

The CLI calls API errors ``subtype: "success"``, so that word decides nothing. What decides is
structured wherever there is structure: stop reason, subtype, ``api_error``, the HTTP status. Texts
are matched in four cases only, each of which has no other sign in 2.1.330; each says so.
"""

from __future__ import annotations

from typing import Any

from pool.claude.run import Launch
from pool.claude.stream import Reading
from pool.outcome import FailureKind

_SUBTYPES = {
    "error_max_turns": FailureKind.MAX_TURNS,
    "error_max_budget_usd": FailureKind.MAX_BUDGET,
}
_STATUSES = {
    401: FailureKind.AUTHENTICATION,
    402: FailureKind.CREDIT_EXHAUSTED,
    403: FailureKind.AUTHENTICATION,
    404: FailureKind.MODEL_NOT_FOUND,
    429: FailureKind.RATE_LIMITED,
    529: FailureKind.OVERLOADED,
}
_ERROR_TYPES = {
    "authentication_error": FailureKind.AUTHENTICATION,
    "permission_error": FailureKind.AUTHENTICATION,
    "billing_error": FailureKind.CREDIT_EXHAUSTED,
    "not_found_error": FailureKind.MODEL_NOT_FOUND,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "overloaded_error": FailureKind.OVERLOADED,
    "api_error": FailureKind.SERVER_ERROR,
    "invalid_request_error": FailureKind.INVALID_REQUEST,
    "request_too_large": FailureKind.INVALID_REQUEST,
}
NO_CONVERSATION = "No conversation found"
_NOTHING_WAS_SENT = ("(ECONNREFUSED)", "(ENOTFOUND)", "(EAI_AGAIN)", "(ENETUNREACH)")


def failure_kind(reading: Reading, result: dict[str, Any], launch: Launch) -> FailureKind:
    """The name of what an error result reports."""
    subtype, api_error = str(result.get("subtype")), result.get("api_error")
    if result.get("stop_reason") == "refusal":
        return FailureKind.REFUSAL
    if subtype in _SUBTYPES:
        return _SUBTYPES[subtype]
    if str(result.get("terminal_reason", "")).startswith("aborted"):
        return FailureKind.INTERRUPTED
    if api_error == "connection_failed":
        return FailureKind.CONNECTION
    if api_error == "usage_limit_reached" or _hit_a_limit(reading, result):
        return FailureKind.USAGE_LIMIT
    return _by_status(result) or _by_text(result, launch)


def nothing_was_sent(result: dict[str, Any]) -> bool:
    """Whether a failed connection was never made, so that it cannot have been billed.

    Without the system's error name a refused connection looks like one that broke after the
    request was sent.
    """
    return any(name in _text(result) for name in _NOTHING_WAS_SENT)


def _hit_a_limit(reading: Reading, result: dict[str, Any]) -> bool:
    # 2.1.197 names neither `api_error` nor the status. A rejection without a window is a burst;
    # one with overage in use did not stop the run.
    if result.get("api_error_status") not in {429, None} or not reading.limits:
        return False
    last = reading.limits[-1]
    rejects_a_window = last.status == "rejected" and last.type is not None
    return rejects_a_window and last.resets_at is not None and not last.is_using_overage


def _by_status(result: dict[str, Any]) -> FailureKind | None:
    status = result.get("api_error_status")
    if not isinstance(status, int):
        return _ERROR_TYPES.get(str(result.get("api_error_type")))
    if status in _STATUSES:
        return _STATUSES[status]
    if status == 400 and "Credit balance is too low" in _text(result):
        # The API sends an ordinary invalid_request_error; only its text tells.
        return FailureKind.CREDIT_EXHAUSTED
    if 400 <= status < 500:
        return FailureKind.INVALID_REQUEST
    return FailureKind.SERVER_ERROR if status >= 500 else None


def _by_text(result: dict[str, Any], launch: Launch) -> FailureKind:
    text = _text(result)
    if "Not logged in" in text or "Invalid API key" in text:
        # Without any credential no request is made, so there is no status.
        return FailureKind.AUTHENTICATION
    if launch.resumes and NO_CONVERSATION in text:
        # `error_during_execution` with no turns; other failures to load a session look the same.
        return FailureKind.SESSION_NOT_FOUND
    return FailureKind.EXECUTION_ERROR


def _text(result: dict[str, Any]) -> str:
    errors = result.get("errors")
    texts = [result.get("result"), *(errors if isinstance(errors, list) else [])]
    return "\n".join(text for text in texts if isinstance(text, str))

"""Which failure an error result is: the CLI's error table, row by row.

The CLI calls API errors ``subtype: "success"``, so that word decides nothing. What decides is what
has structure: the reason of the stop, the subtype, the CLI's own kind of the API error
(``api_error``), the class of the message that tells of it, the HTTP status. Texts are looked at
where structure is missing or says less than the text: an organization that was disabled, a budget
that is used up and a prompt that is too long all come as the API's ordinary 400 (the CLI itself
tells them by these words). The words that decide are those of CLI 2.1.330.

A 4xx is the caller's only if it is about the request. An ``INVALID_REQUEST`` whose text does not
show that is ambiguous: the account may be to blame, in words that nobody knows yet.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from pool.claude.run import Launch
from pool.claude.stream import Reading
from pool.outcome import FailureKind
from pool.windows import REJECTED, RateLimitEvent

_TERMINAL_REASONS = {
    "max_turns": FailureKind.MAX_TURNS,
    "budget_exhausted": FailureKind.MAX_BUDGET,
    "structured_output_retry_exhausted": FailureKind.SCHEMA_MISMATCH,
    "prompt_too_long": FailureKind.CONTEXT_FULL,
    "blocking_limit": FailureKind.CONTEXT_FULL,
    "rapid_refill_breaker": FailureKind.CONTEXT_FULL,
    "image_error": FailureKind.INVALID_REQUEST,
}
_SUBTYPES = {
    "error_max_turns": FailureKind.MAX_TURNS,
    "error_max_budget_usd": FailureKind.MAX_BUDGET,
    "error_max_structured_output_retries": FailureKind.SCHEMA_MISMATCH,
}
_API_ERRORS = {
    "usage_limit_reached": FailureKind.USAGE_LIMIT,
    "max_output_tokens": FailureKind.ANSWER_TOO_LONG,
    "empty_completion": FailureKind.EMPTY_ANSWER,
    "safety_monitor_blocked": FailureKind.REFUSAL,
    "dlp_request_denied": FailureKind.REFUSAL,
    "autocompact_thrashing": FailureKind.CONTEXT_FULL,
    "message_over_context_limit": FailureKind.CONTEXT_FULL,
    "effort_requires_thinking": FailureKind.INVALID_REQUEST,
    "advisor_incompatible": FailureKind.INVALID_REQUEST,
    "tool_history_mismatch": FailureKind.INVALID_REQUEST,
    "pdf_too_large": FailureKind.INVALID_REQUEST,
    "pdf_password_protected": FailureKind.INVALID_REQUEST,
    "media_removed": FailureKind.INVALID_REQUEST,
    "model_requires_usage_credits": FailureKind.NOT_ENTITLED,
    "long_context_credits_required": FailureKind.NOT_ENTITLED,
    "field_not_granted": FailureKind.NOT_ENTITLED,
    "stored_login_refused": FailureKind.AUTHENTICATION,
    "oauth_refresh_store_refused": FailureKind.AUTHENTICATION,
    "provider_credentials": FailureKind.AUTHENTICATION,
    "gateway_signin_required": FailureKind.AUTHENTICATION,
    "gateway_session_expired": FailureKind.AUTHENTICATION,
    "invalid_credential_header": FailureKind.AUTHENTICATION,
    "api_key_auth_disabled": FailureKind.ACCESS_DENIED,
    "org_disabled_credential": FailureKind.ACCOUNT_DISABLED,
    "claude_code_version_too_old": FailureKind.STARTUP_FAILED,
    "connection_failed": FailureKind.CONNECTION,
    "no_response": FailureKind.CONNECTION,
    "stream_idle_timeout": FailureKind.CONNECTION,
    "computer_slept": FailureKind.CONNECTION,
    "tls_untrusted_ca": FailureKind.CONNECTION,
    "tls_cert_signature_failure": FailureKind.CONNECTION,
    "network_edge_blocked": FailureKind.CONNECTION,
}
"""The CLI's own kinds of an API error; an unknown one decides nothing."""
_MESSAGE_CLASSES = {
    "oauth_org_not_allowed": FailureKind.ACCESS_DENIED,
    "verification_required": FailureKind.ACCESS_DENIED,
    "account_on_hold": FailureKind.ACCOUNT_DISABLED,
    "max_output_tokens": FailureKind.ANSWER_TOO_LONG,
}
"""Classes of the message that tells of an error; the others say less than the status."""
_TEXTS = (
    (r"(organi[sz]ation|account|workspace) (has been|is) (disabled|suspended)", "ACCOUNT_DISABLED"),
    (r"belongs to a disabled organi[sz]ation", "ACCOUNT_DISABLED"),
    (r"(extra usage is|usage credits are) required for long context", "NOT_ENTITLED"),
    (r"long context beta", "NOT_ENTITLED"),
    (r"credit balance is too low", "CREDIT_EXHAUSTED"),
    (r"specified (workspace )?api usage limits", "SPEND_LIMIT"),
    (r"\b(spend(ing)?|monthly|budget) (limit|cap)\b", "SPEND_LIMIT"),
    (r"you will regain access on", "SPEND_LIMIT"),
    (r"prompt is too long", "CONTEXT_FULL"),
    (r"exceed context limit|context window", "CONTEXT_FULL"),
    (r"exceeded the \d+ output token maximum", "ANSWER_TOO_LONG"),
    (r"not allowed for this organi[sz]ation", "ACCESS_DENIED"),
    (r"not logged in|invalid api key|please run /login", "AUTHENTICATION"),
    (r"token (has|was) (been )?(revoked|expired)", "AUTHENTICATION"),
)
"""Sentences of the API or the CLI itself that say more than a status below 500; first come, first
served."""
_MATCHED = tuple((re.compile(text, re.IGNORECASE), FailureKind[kind]) for text, kind in _TEXTS)
_STATUSES = {
    401: FailureKind.AUTHENTICATION,
    402: FailureKind.CREDIT_EXHAUSTED,
    403: FailureKind.ACCESS_DENIED,
    404: FailureKind.MODEL_NOT_FOUND,
    413: FailureKind.CONTEXT_FULL,
    429: FailureKind.RATE_LIMITED,
    529: FailureKind.OVERLOADED,
}
_ERROR_TYPES = {
    "authentication_error": FailureKind.AUTHENTICATION,
    "permission_error": FailureKind.ACCESS_DENIED,
    "billing_error": FailureKind.CREDIT_EXHAUSTED,
    "not_found_error": FailureKind.MODEL_NOT_FOUND,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "overloaded_error": FailureKind.OVERLOADED,
    "api_error": FailureKind.SERVER_ERROR,
    "invalid_request_error": FailureKind.INVALID_REQUEST,
    "request_too_large": FailureKind.CONTEXT_FULL,
}
_ABOUT_THE_REQUEST = re.compile(
    r"\b(messages?|content|system|prompt|tools?|tool_\w+|schema|image|document|pdf|media|"
    r"max_tokens|temperature|top_[pk]|stop_sequences|thinking|budget_tokens|effort|output_config|"
    r"cache_control|metadata|beta)\b",
    re.IGNORECASE,
)
"""What a 400 names that is about the request: the API begins it with the field."""
NO_CONVERSATION = "No conversation found"
_NOTHING_WAS_SENT = ("(ECONNREFUSED)", "(ENOTFOUND)", "(EAI_AGAIN)", "(ENETUNREACH)")
_REGAINS = re.compile(r"regain access on (\d{4}-\d\d-\d\d)(?: at (\d\d:\d\d) UTC)?", re.IGNORECASE)
_SPENDING = ("memberSpendLimit", "limitScope", "dailyCapPaused")


def failure_kind(reading: Reading, result: dict[str, Any], launch: Launch) -> FailureKind:
    """The name of what an error result reports."""
    subtype, reason = str(result.get("subtype")), str(result.get("terminal_reason"))
    if result.get("stop_reason") == "refusal":
        return FailureKind.REFUSAL
    if isinstance(result.get("startup_failure_reason"), str):
        return FailureKind.STARTUP_FAILED
    if subtype in _SUBTYPES:
        return _SUBTYPES[subtype]
    if reason.startswith("aborted"):
        return FailureKind.INTERRUPTED
    if reason in _TERMINAL_REASONS:
        return _TERMINAL_REASONS[reason]
    return _as_told(reading, result) or _by_status(result) or _otherwise(result, launch)


def is_ambiguous(kind: FailureKind, result: dict[str, Any]) -> bool:
    """Whether a refused request may be the account's fault as well as the caller's."""
    if kind is not FailureKind.INVALID_REQUEST or result.get("api_error") in _API_ERRORS:
        return False
    if result.get("terminal_reason") in _TERMINAL_REASONS:
        return False
    return _ABOUT_THE_REQUEST.search(_text(result)) is None


def regains_access_at(reading: Reading, result: dict[str, Any]) -> datetime | None:
    """When a limit of money lifts, if the error says so."""
    if found := _REGAINS.search(_text(result)):
        try:
            return datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00'}").replace(tzinfo=UTC)
        except ValueError:
            return None
    return reading.limits[-1].resets_at if reading.limits else None


def nothing_was_sent(result: dict[str, Any]) -> bool:
    """Whether a failed connection was never made, so that it cannot have been billed.

    Without the system's error name a refused connection looks like one that broke after the
    request was sent.
    """
    return any(name in _text(result) for name in _NOTHING_WAS_SENT)


def _as_told(reading: Reading, result: dict[str, Any]) -> FailureKind | None:
    if reading.limits and _is_about_money(reading.limits[-1]):
        return FailureKind.SPEND_LIMIT
    if (kind := _API_ERRORS.get(str(result.get("api_error")))) is not None:
        return kind
    if (kind := _MESSAGE_CLASSES.get(str(reading.error_class))) is not None:
        return kind
    if (kind := _by_text(result)) is not None:
        return kind
    return FailureKind.USAGE_LIMIT if _hit_a_limit(reading, result) else None


def _by_text(result: dict[str, Any]) -> FailureKind | None:
    status, text = result.get("api_error_status"), _text(result)
    if isinstance(status, int) and status >= 500:
        return None
    return next((kind for words, kind in _MATCHED if words.search(text)), None)


def _is_about_money(limit: RateLimitEvent) -> bool:
    """Whether a rejection is that of a spending limit: neither of the windows says so then."""
    if limit.status != REJECTED or limit.is_using_overage:
        return False
    named = any(limit.raw.get(name) for name in _SPENDING)
    return named or limit.raw.get("errorCode") == "credits_required"


def _hit_a_limit(reading: Reading, result: dict[str, Any]) -> bool:
    # 2.1.197 names neither `api_error` nor the status. A rejection without a window is a burst;
    # one with overage in use did not stop the run.
    if result.get("api_error_status") not in {429, None} or not reading.limits:
        return False
    last = reading.limits[-1]
    rejects_a_window = last.status == REJECTED and last.type is not None
    return rejects_a_window and last.resets_at is not None and not last.is_using_overage


def _by_status(result: dict[str, Any]) -> FailureKind | None:
    status = result.get("api_error_status")
    if not isinstance(status, int):
        return _ERROR_TYPES.get(str(result.get("api_error_type")))
    if status == 403 and "model:" in _text(result):
        return FailureKind.MODEL_NOT_FOUND
    if status in _STATUSES:
        return _STATUSES[status]
    if 400 <= status < 500:
        return FailureKind.INVALID_REQUEST
    return FailureKind.SERVER_ERROR if status >= 500 else None


def _otherwise(result: dict[str, Any], launch: Launch) -> FailureKind:
    if launch.resumes and NO_CONVERSATION in _text(result):
        # `error_during_execution` with no turns; other failures to load a session look the same.
        return FailureKind.SESSION_NOT_FOUND
    return FailureKind.EXECUTION_ERROR


def _text(result: dict[str, Any]) -> str:
    errors = result.get("errors")
    texts = [result.get("result"), *(errors if isinstance(errors, list) else [])]
    return "\n".join(text for text in texts if isinstance(text, str))

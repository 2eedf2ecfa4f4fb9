"""The CLI's error table: which failure an error result is, row by row.

The CLI calls API errors ``subtype: "success"``, so that word decides nothing. What decides is what
has structure: the reason of the stop, the subtype, the CLI's own kind of the API error
(``api_error``), the class of the message that reports it, the HTTP status. Texts are looked at
where structure is missing or says less: ``_SENTENCES`` has them all, each with its reason. What
begins with the name of a field may go on in the caller's own words, and speaks of no account.

A 4xx is the caller's only if it is about the request. An ``INVALID_REQUEST`` whose text does not
show that is ambiguous: the account may be to blame, in words that nobody knows yet.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pool.claude.launch.launch_spec import Launch
from pool.claude.output.stream import StreamReading
from pool.executions.outcome import FailureKind
from pool.limits.windows import REJECTED, RateLimitEvent

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
"""Classes of the message that reports an error, where they say more than the status."""
_CLASSES_WITHOUT_STATUS = {
    "authentication_failed": FailureKind.AUTHENTICATION,
    "cloud_credential_error": FailureKind.AUTHENTICATION,
    "billing_error": FailureKind.CREDIT_EXHAUSTED,
    "model_not_found": FailureKind.MODEL_NOT_FOUND,
    "rate_limit": FailureKind.RATE_LIMITED,
    "overloaded": FailureKind.OVERLOADED,
    "server_error": FailureKind.SERVER_ERROR,
    "invalid_request": FailureKind.INVALID_REQUEST,
}


class _Sentence(NamedTuple):
    kind: FailureKind
    words: str
    """A regular expression, whatever the case of the text."""
    why: str
    """Why the text has to be looked at."""
    needs_no_status: bool = False
    """It says less than a status."""


_SENTENCES = (
    _Sentence(
        FailureKind.ACCOUNT_DISABLED,
        r"\b(organi[sz]ation|account|workspace|user) (has been|is|was)( \w+)? "
        r"(disabled|suspended|deactivated|banned|archived)\b"
        r"|belongs to a disabled organi[sz]ation",
        "an ordinary invalid_request_error; the CLI itself knows it by its words",
    ),
    _Sentence(
        FailureKind.NOT_ENTITLED,
        r"(extra usage is|usage credits are) required for (long|1m) context|long context beta",
        "a 429 or 400 that is about the size of this request, and not about the account",
    ),
    _Sentence(
        FailureKind.CREDIT_EXHAUSTED,
        r"credit balance is too low|out of usage credits",
        "an ordinary invalid_request_error, or a billing_error, or without a status",
    ),
    _Sentence(
        FailureKind.SPEND_LIMIT,
        r"reached your specified[\w\s-]*?usage limit|will regain access on"
        r"|\b(spend(ing)?|budget) (limit|cap)\b|\bmonthly( \w+)? (limit|cap)\b"
        r"|individual usage limit|usage is paused for your organi[sz]ation",
        "an ordinary invalid_request_error",
    ),
    _Sentence(
        FailureKind.CONTEXT_FULL,
        r"(prompt|input) is too long|exceed context limit|context window|too many total text bytes"
        r"|maximum context length|context_length_exceeded",
        "without a status where the CLI refuses it; an ordinary invalid_request_error of the API",
    ),
    _Sentence(
        FailureKind.ANSWER_TOO_LONG,
        r"exceeded the \d+ output token maximum",
        "the CLI's own error, without a status; older releases do not name it",
    ),
    _Sentence(
        FailureKind.ACCESS_DENIED,
        r"not allowed for this organi[sz]ation|does not have access to claude"
        r"|organi[sz]ation has disabled|api key authentication is disabled"
        r"|can't use (your claude subscription|the anthropic console sign-in)"
        r"|updated our consumer terms",
        "also comes as a 401 or with a request to sign in, which does not help",
    ),
    _Sentence(
        FailureKind.AUTHENTICATION,
        r"\b(token|session|login|credentials?) (has been |has |have |was |is )?(revoked|expired)\b",
        "also comes as a 403, and signing in does help",
    ),
    _Sentence(
        FailureKind.MODEL_NOT_FOUND,
        r"not available (with|on) (the|your) (claude )?\w+ plan|invalid model name",
        "a 400 of a plan that does not have the model",
    ),
    _Sentence(
        FailureKind.AUTHENTICATION,
        r"not logged in|invalid (api key|auth token)|failed to authenticate"
        r"|authentication required|please run /login",
        "without any credential no request is made",
        needs_no_status=True,
    ),
)
"""Sentences of the API and of the CLI that decide; first come, first served."""
_PATTERNS = tuple((each, re.compile(each.words, re.IGNORECASE)) for each in _SENTENCES)
_OF_THE_REQUEST = {FailureKind.CONTEXT_FULL, FailureKind.ANSWER_TOO_LONG}
"""Kinds that are about the request, whatever the rest of the sentence quotes."""
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
_API_ERROR = re.compile(r"\bAPI Error:? \(?(?P<status>[45]\d\d)\b")
_BEFORE_THE_MESSAGE = re.compile(
    r"""^(API Error:?\s*)?\(?([45]\d\d\s*)?(\{"type":\s*"error",.*?"message":\s*")?"""
)
_BEGINS_WITH_A_FIELD = re.compile(r"(?!error\b)[a-z][a-z_]*(\.\w+)*: ")
_ABOUT_THE_REQUEST = re.compile(
    r"`[a-z_.]+`|content filtering|\b(images?|documents?|pdf|json schema|input_schema|max_tokens|"
    r"temperature|top_[pk]|budget_tokens|stop_sequences|tool_(use|result|choice)|thinking|"
    r"cache_control|output_config|prefill)\b",
    re.IGNORECASE,
)
"""What a 400 names that is about the request, where it does not begin with the field."""
_NAMES_A_LIMIT = re.compile(r"\b(limit|cap)\b", re.IGNORECASE)
NO_CONVERSATION = "No conversation found"
_CANNOT_START_UP = re.compile(
    r"\b(EACCES|EROFS|ENOSPC|EDQUOT|EPERM|EMFILE|ENFILE|ENOMEM|EIO)\b|permission denied"
    r"|no space left|read-only file system|configuration (error in|file at)|cannot find module"
    r"|loading shared libraries",
    re.IGNORECASE,
)
_NOTHING_WAS_SENT = ("(ECONNREFUSED)", "(ENOTFOUND)", "(EAI_AGAIN)", "(ENETUNREACH)")
_REGAINS = re.compile(
    r"regain access on (\d{4}-\d\d-\d\d)(?:(?: at |[T ])(\d\d:\d\d))?", re.IGNORECASE
)
_SPENDING = ("memberSpendLimit", "limitScope", "dailyCapPaused")


def failure_kind(reading: StreamReading, result: dict[str, Any], launch: Launch) -> FailureKind:
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
    return _as_told(reading, result) or _by_status(result) or _otherwise(reading, result, launch)


def is_ambiguous(kind: FailureKind, result: dict[str, Any]) -> bool:
    """Whether a refused request may be the account's fault as well as the caller's."""
    if kind is not FailureKind.INVALID_REQUEST or str(result.get("api_error")) in _API_ERRORS:
        return False
    if str(result.get("terminal_reason")) in _TERMINAL_REASONS:
        return False
    return not _names_a_field(result) and _ABOUT_THE_REQUEST.search(_text(result)) is None


def regains_access_at(reading: StreamReading, result: dict[str, Any]) -> datetime | None:
    """When a limit of money lifts, if the error says so."""
    if found := _REGAINS.search(_text(result)):
        try:
            return datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00'}").replace(tzinfo=UTC)
        except ValueError:
            return None
    last = reading.limits[-1] if reading.limits else None
    return last.resets_at if last is not None and _is_about_money(last) else None


def could_start_up(stderr: str) -> bool:
    """Whether a CLI that printed to stderr alone refused what it was asked, and did not fail over
    what it found, such as a config directory that it cannot write to.
    """
    return _CANNOT_START_UP.search(stderr) is None


def nothing_was_sent(result: dict[str, Any]) -> bool:
    """Whether a failed connection was never made, so that it cannot have been billed.

    Without the system's error name a refused connection looks like one that broke after the
    request was sent.
    """
    return any(name in _text(result) for name in _NOTHING_WAS_SENT)


def _as_told(reading: StreamReading, result: dict[str, Any]) -> FailureKind | None:
    """By what the CLI calls it, by its words, and by the limits that it printed."""
    if result.get("api_error") == "max_output_tokens" and "context window" in _text(result):
        return FailureKind.CONTEXT_FULL  # cut off by the context's end, by the same name
    named = _API_ERRORS.get(str(result.get("api_error")))
    named = named or _MESSAGE_CLASSES.get(str(reading.error_class))
    if named is not None and named is not FailureKind.USAGE_LIMIT:
        return named
    if _status(result) in {402, 429, None} and any(map(_is_about_money, reading.limits[-1:])):
        return FailureKind.SPEND_LIMIT
    kind = named or _by_text(result)
    return FailureKind.USAGE_LIMIT if kind is None and _hit_a_limit(reading, result) else kind


def _by_text(result: dict[str, Any]) -> FailureKind | None:
    status, text = _status(result), _text(result)
    if status is not None and status >= 500:
        return None
    # What begins with a field of the request may quote the caller after it.
    quotes = _names_a_field(result)
    return next(
        (
            sentence.kind
            for sentence, words in _PATTERNS
            if (status is None or not sentence.needs_no_status)
            and (not quotes or sentence.kind in _OF_THE_REQUEST)
            and words.search(text)
        ),
        None,
    )


def _names_a_field(result: dict[str, Any]) -> bool:
    message = _BEFORE_THE_MESSAGE.sub("", _text(result))
    return _BEGINS_WITH_A_FIELD.match(message) is not None


def _is_about_money(limit: RateLimitEvent) -> bool:
    """Whether a rejection is that of a spending limit: neither of the windows says so then."""
    if limit.status != REJECTED or limit.is_using_overage:
        return False
    named = any(limit.raw.get(name) for name in _SPENDING)
    return named or limit.raw.get("errorCode") == "credits_required"


def _hit_a_limit(reading: StreamReading, result: dict[str, Any]) -> bool:
    # 2.1.197 names neither `api_error` nor the status. A rejection without a window is a burst;
    # one with overage in use did not stop the run.
    if _status(result) not in {429, None} or not reading.limits:
        return False
    last = reading.limits[-1]
    rejects_a_window = last.status == REJECTED and last.type is not None
    return rejects_a_window and last.resets_at is not None and not last.is_using_overage


def _by_status(result: dict[str, Any]) -> FailureKind | None:
    status, type_, text = _status(result), str(result.get("api_error_type")), _text(result)
    if (status == 402 or type_ == "billing_error") and _NAMES_A_LIMIT.search(text):
        return FailureKind.SPEND_LIMIT
    if status is None:
        return _ERROR_TYPES.get(type_)
    if status == 403 and "model:" in text:
        return FailureKind.MODEL_NOT_FOUND
    if status in _STATUSES:
        return _STATUSES[status]
    if 400 <= status < 500:
        return FailureKind.INVALID_REQUEST
    return FailureKind.SERVER_ERROR if status >= 500 else None


def _otherwise(reading: StreamReading, result: dict[str, Any], launch: Launch) -> FailureKind:
    if launch.resumes and NO_CONVERSATION in _text(result):
        # `error_during_execution` with no turns; other failures to load a session look the same.
        return FailureKind.SESSION_NOT_FOUND
    return _CLASSES_WITHOUT_STATUS.get(str(reading.error_class), FailureKind.EXECUTION_ERROR)


def _status(result: dict[str, Any]) -> int | None:
    """The HTTP status of an error of the API. Older releases have it in the text alone."""
    status = result.get("api_error_status")
    if isinstance(status, int):
        return status
    found = _API_ERROR.search(_text(result))
    return int(found["status"]) if found else None


def _text(result: dict[str, Any]) -> str:
    errors = result.get("errors")
    texts = [result.get("result"), *(errors if isinstance(errors, list) else [])]
    return "\n".join(text for text in texts if isinstance(text, str))

"""Failures of runs: each has a kind, and a message that a person can act on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.output.stream import StreamReading
from pool.executions.outcome import FailureKind
from tests.support.clis.concluded import (
    INIT,
    NO_EVIDENCE,
    TURN,
    F,
    a_reading,
    a_result,
    an_error,
    failed,
    said,
)

SECRET = "test-token-a"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"api_error_status": 401}, F.AUTHENTICATION),
        ({"api_error_status": 403}, F.ACCESS_DENIED),
        ({"api_error_status": 403, "result": "OAuth token has been revoked"}, F.AUTHENTICATION),
        (
            {
                "api_error_status": 403,
                "result": "OAuth authentication is currently not allowed for this organization.",
            },
            F.ACCESS_DENIED,
        ),
        ({"api_error_status": 403, "result": "not permitted for model: opus"}, F.MODEL_NOT_FOUND),
        (
            {"api_error_status": 400, "result": "This organization has been disabled."},
            F.ACCOUNT_DISABLED,
        ),
        ({"api_error": "org_disabled_credential"}, F.ACCOUNT_DISABLED),
        ({"api_error_status": 402}, F.CREDIT_EXHAUSTED),
        (
            {
                "api_error_status": 400,
                "result": "You have reached your specified API usage limits. "
                "You will regain access on 2026-12-01 at 00:00 UTC.",
            },
            F.SPEND_LIMIT,
        ),
        (
            {
                "api_error_status": 429,
                "result": "Extra usage is required for long context requests",
            },
            F.NOT_ENTITLED,
        ),
        ({"api_error_status": 429, "api_error": "long_context_credits_required"}, F.NOT_ENTITLED),
        (
            {
                "api_error_status": 400,
                "result": "The long context beta is not yet available for this subscription.",
            },
            F.NOT_ENTITLED,
        ),
        ({"api_error_status": 400, "result": "Credit balance is too low"}, F.CREDIT_EXHAUSTED),
        ({"api_error_status": 400, "result": "prompt is too long"}, F.CONTEXT_FULL),
        ({"result": "Prompt is too long"}, F.CONTEXT_FULL),
        ({"terminal_reason": "prompt_too_long"}, F.CONTEXT_FULL),
        ({"api_error": "autocompact_thrashing"}, F.CONTEXT_FULL),
        ({"api_error_status": 400, "result": "messages.0: bad"}, F.INVALID_REQUEST),
        ({"api_error": "max_output_tokens"}, F.ANSWER_TOO_LONG),
        (
            {"result": "API Error: Claude's response exceeded the 32000 output token maximum."},
            F.ANSWER_TOO_LONG,
        ),
        ({"api_error": "empty_completion"}, F.EMPTY_ANSWER),
        ({"subtype": "error_max_structured_output_retries"}, F.SCHEMA_MISMATCH),
        ({"terminal_reason": "structured_output_retry_exhausted"}, F.SCHEMA_MISMATCH),
        (
            {"subtype": "error_during_execution", "startup_failure_reason": "config_file_invalid"},
            F.STARTUP_FAILED,
        ),
        *(
            ({"api_error_status": status, "result": text}, kind)
            for status, text, kind in (
                (400, "Your account has been disabled after a review.", F.ACCOUNT_DISABLED),
                (403, "This account is currently suspended", F.ACCOUNT_DISABLED),
                (401, "ANTHROPIC_API_KEY belongs to a disabled organization", F.ACCOUNT_DISABLED),
                (None, "API Error: 400 this organization has been disabled.", F.ACCOUNT_DISABLED),
                (400, "messages.0: account has been disabled", F.INVALID_REQUEST),
                (429, "Usage credits are required for long context requests", F.NOT_ENTITLED),
                (400, "Extra usage is required for 1M context", F.NOT_ENTITLED),
                (402, "Your credit balance is too low", F.CREDIT_EXHAUSTED),
                (402, "The monthly limit of the workspace is used up", F.SPEND_LIMIT),
                (400, "reached your specified workspace API usage limits", F.SPEND_LIMIT),
                (429, "You've hit your monthly spend limit.", F.SPEND_LIMIT),
                (None, "Input is too long for requested model", F.CONTEXT_FULL),
                (400, "input length and `max_tokens` exceed context limit: 9 > 8", F.CONTEXT_FULL),
                (400, "messages: too many total text bytes: 9 > 8", F.CONTEXT_FULL),
                (
                    401,
                    "OAuth authentication is currently not allowed for this organization",
                    F.ACCESS_DENIED,
                ),
                (403, "Failed to authenticate. API Error: 403 forbidden", F.ACCESS_DENIED),
                (
                    403,
                    "Your account does not have access to Claude. Please run /login",
                    F.ACCESS_DENIED,
                ),
                (403, "OAuth token revoked · Please run /login", F.AUTHENTICATION),
                (None, "Login expired · Please run /login", F.AUTHENTICATION),
                (None, "Failed to authenticate: OAuth session expired", F.AUTHENTICATION),
                (None, "API Error: 529 overloaded", F.OVERLOADED),
                (400, "Claude Opus is not available with the Claude Pro plan.", F.MODEL_NOT_FOUND),
                (500, "Credit balance is too low", F.SERVER_ERROR),
                (409, "conflict", F.INVALID_REQUEST),
            )
        ),
        (
            {"api_error": "max_output_tokens", "result": "has reached its context window limit."},
            F.CONTEXT_FULL,
        ),
        ({"errors": ["Credit balance is too low"]}, F.CREDIT_EXHAUSTED),
        ({"api_error_status": 404}, F.MODEL_NOT_FOUND),
        ({"api_error_status": 413}, F.CONTEXT_FULL),
        ({"api_error_status": 429}, F.RATE_LIMITED),
        ({"api_error_status": 429, "api_error": "usage_limit_reached"}, F.USAGE_LIMIT),
        ({"api_error_status": 500}, F.SERVER_ERROR),
        ({"api_error_status": 503}, F.SERVER_ERROR),
        ({"api_error_status": 529}, F.OVERLOADED),
        ({"api_error_type": "overloaded_error"}, F.OVERLOADED),
        ({"api_error": "connection_failed"}, F.CONNECTION),
        ({"result": "Not logged in"}, F.AUTHENTICATION),
        ({"stop_reason": "refusal"}, F.REFUSAL),
        ({"subtype": "error_max_turns"}, F.MAX_TURNS),
        ({"subtype": "error_max_budget_usd"}, F.MAX_BUDGET),
        ({"subtype": "error_during_execution"}, F.EXECUTION_ERROR),
        ({"terminal_reason": "aborted_tools"}, F.INTERRUPTED),
    ],
)
def test_an_error_result_has_a_name(fields: dict[str, Any], kind: FailureKind) -> None:
    outcome = failed(a_reading(INIT, an_error(**fields)), Ending(exit_code=1))

    assert outcome.kind is kind


def test_a_status_outranks_what_the_text_says() -> None:
    result = an_error(api_error_status=529, result="Not logged in, Credit balance is too low")

    assert failed(a_reading(INIT, result), Ending(exit_code=1)).kind is F.OVERLOADED


@pytest.mark.parametrize(
    ("info", "kind"),
    [
        ({"status": "rejected"}, F.RATE_LIMITED),
        ({"status": "rejected", "rateLimitType": "five_hour"}, F.RATE_LIMITED),
        (
            {"status": "rejected", "rateLimitType": "five_hour", "resetsAt": 1795326416},
            F.USAGE_LIMIT,
        ),
        (
            {"status": "allowed", "rateLimitType": "five_hour", "resetsAt": 1795326416},
            F.RATE_LIMITED,
        ),
    ],
)
def test_only_a_rejection_with_a_window_and_a_reset_is_an_exhausted_limit(
    info: dict[str, Any], kind: FailureKind
) -> None:
    event = {"type": "rate_limit_event", "rate_limit_info": info}
    reading = a_reading(INIT, event, an_error(api_error_status=429))

    assert failed(reading, Ending(exit_code=1)).kind is kind


def test_an_overloaded_api_under_overage_does_not_look_like_an_exhausted_limit() -> None:
    info = {
        "status": "rejected",
        "rateLimitType": "five_hour",
        "resetsAt": 1795326416,
        "isUsingOverage": True,
    }
    event = {"type": "rate_limit_event", "rate_limit_info": info}
    reading = a_reading(INIT, event, an_error(api_error_status=529))

    assert failed(reading, Ending(exit_code=1)).kind is F.OVERLOADED


@pytest.mark.parametrize(
    ("reading", "ending", "kind", "evidence"),
    [
        (a_reading(), Ending(started=False, problem="No such file"), F.NOT_STARTED, True),
        (a_reading(), Ending(started=False, ended_by=EndedBy.REQUEST), F.INTERRUPTED, True),
        (a_reading(), Ending(exit_code=0), F.NO_RESULT, True),
        (a_reading(), Ending(exit_code=1), F.NO_RESULT, True),
        (a_reading(INIT), Ending(exit_code=0), F.NO_RESULT, NO_EVIDENCE),
        (a_reading(), Ending(exit_code=1, stderr="error: no"), F.CLI_USAGE, True),
        (a_reading(), Ending(exit_code=1, stderr="EROFS: read-only"), F.STARTUP_FAILED, True),
        (
            a_reading(),
            Ending(exit_code=1, stderr="Configuration error in .claude.json: Unexpected end"),
            F.STARTUP_FAILED,
            True,
        ),
        (a_reading(INIT), Ending(exit_code=1, stderr="oops"), F.NO_RESULT, NO_EVIDENCE),
        (a_reading(INIT), Ending(signal=9), F.KILLED, NO_EVIDENCE),
        (a_reading(INIT), Ending(exit_code=143), F.KILLED, NO_EVIDENCE),
        (a_reading(), Ending(signal=9), F.KILLED, True),
        (a_reading(INIT), Ending(), F.KILLED, NO_EVIDENCE),
        (a_reading(INIT), Ending(signal=9, ended_by=EndedBy.DEADLINE), F.TIMEOUT, NO_EVIDENCE),
        (a_reading(INIT), Ending(signal=9, ended_by=EndedBy.REQUEST), F.INTERRUPTED, NO_EVIDENCE),
        (
            a_reading(INIT),
            Ending(signal=9, ended_by=EndedBy.OUTPUT_LIMIT),
            F.OUTPUT_LIMIT,
            NO_EVIDENCE,
        ),
        (
            a_reading(INIT, a_result()),
            Ending(exit_code=0, ended_by=EndedBy.OUTPUT_LIMIT),
            F.OUTPUT_LIMIT,
            True,
        ),
    ],
)
def test_an_ending_has_a_name_and_says_whether_the_cost_is_known(
    reading: StreamReading, ending: Ending, kind: FailureKind, evidence: bool
) -> None:
    outcome = failed(reading, ending)

    assert (outcome.kind, outcome.evidence) == (kind, evidence)


def test_an_error_that_an_older_release_does_not_call_one_is_no_answer() -> None:
    result = a_result(subtype="error_max_turns", result=None)

    outcome = failed(a_reading(INIT, said("Half of"), result), Ending(exit_code=1))

    assert (outcome.kind, outcome.usage.cost_nano_usd) == (F.MAX_TURNS, TURN)


@pytest.mark.parametrize(
    ("stop_reason", "schema", "kind"),
    [
        ("max_tokens", None, F.ANSWER_TOO_LONG),
        ("max_tokens", {}, F.ANSWER_TOO_LONG),
        ("model_context_window_exceeded", None, F.CONTEXT_FULL),
        ("refusal", None, F.REFUSAL),
        ("refusal", {}, F.REFUSAL),
    ],
)
def test_a_stop_before_any_answer_is_named_by_its_reason(
    stop_reason: str, schema: dict[str, Any] | None, kind: FailureKind
) -> None:
    reading = a_reading(INIT, a_result(result="", stop_reason=stop_reason))

    assert failed(reading, Ending(exit_code=0), json_schema=schema).kind is kind


@pytest.mark.parametrize(
    ("text", "ambiguous"),
    [
        ("messages.1.content.0: Input should be a valid string", False),
        ("max_tokens: Field required", False),
        ("API Error: 400 temperature: range: 0..1", False),
        ("`temperature` may only be set to 1 when thinking is enabled.", False),
        ("Could not process image", False),
        ("Output blocked by content filtering policy", False),
        ("Your plan cannot do this.", True),
        ("Your system administrator has to approve this message's content.", True),
        ("", True),
    ],
)
def test_a_refusal_that_is_not_about_the_request_is_ambiguous(text: str, ambiguous: bool) -> None:
    outcome = failed(
        a_reading(INIT, an_error(api_error_status=400, result=text)), Ending(exit_code=1)
    )

    assert (outcome.kind, outcome.is_ambiguous) == (F.INVALID_REQUEST, ambiguous)


@pytest.mark.parametrize(
    ("text", "retry_at"),
    [
        ("You will regain access on 2026-12-01 at 00:00 UTC.", "2026-12-01T00:00:00+00:00"),
        ("You will regain access on 2026-12-01.", "2026-12-01T00:00:00+00:00"),
        ("You will regain access on 2026-99-01.", None),
        ("Your monthly limit is reached", None),
    ],
)
def test_a_limit_of_money_says_when_it_lifts(text: str, retry_at: str | None) -> None:
    outcome = failed(
        a_reading(INIT, an_error(api_error_status=400, result=text)), Ending(exit_code=1)
    )

    assert outcome.kind is F.SPEND_LIMIT
    assert outcome.retry_at == (retry_at and datetime.fromisoformat(retry_at))


def test_a_window_that_is_not_used_up_does_not_say_when_a_limit_of_money_lifts() -> None:
    info = {"status": "allowed", "rateLimitType": "five_hour", "resetsAt": 1795326416}
    event = {"type": "rate_limit_event", "rate_limit_info": info}
    result = an_error(api_error_status=400, result="Your monthly limit is reached")

    assert failed(a_reading(INIT, event, result), Ending(exit_code=1)).retry_at is None


@pytest.mark.parametrize(
    ("class_", "kind"),
    [
        ("authentication_failed", F.AUTHENTICATION),
        ("rate_limit", F.RATE_LIMITED),
        ("model_not_found", F.MODEL_NOT_FOUND),
        ("oauth_org_not_allowed", F.ACCESS_DENIED),
        ("unknown", F.EXECUTION_ERROR),
    ],
)
def test_without_a_status_an_error_is_told_by_the_class_of_its_message(
    class_: str, kind: FailureKind
) -> None:
    told = said("Something went wrong.", error=class_)
    of_a_subagent = said("Overloaded", "msg_2", error="overloaded", parent_tool_use_id="toolu_1")

    outcome = failed(a_reading(INIT, told, of_a_subagent, an_error()), Ending(exit_code=1))

    assert outcome.kind is kind


def test_a_spending_limit_among_the_limits_is_no_window() -> None:
    info = {"status": "rejected", "rateLimitType": "overage", "resetsAt": 1795326416}
    event = {
        "type": "rate_limit_event",
        "rate_limit_info": {**info, "memberSpendLimit": {"period": "weekly"}},
    }

    outcome = failed(a_reading(INIT, event, an_error(api_error_status=429)), Ending(exit_code=1))

    assert outcome.kind is F.SPEND_LIMIT
    assert outcome.retry_at == datetime.fromtimestamp(1795326416, UTC)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"startup_failure_reason": "config_file_invalid"}, ".claude.json is no valid JSON"),
        ({"startup_failure_reason": "new_reason"}, "(new_reason)"),
        (
            {"api_error_status": 400, "result": "API Error: 400 messages.1.content.0: bad"},
            "(400 at messages.1.content.0)",
        ),
        (
            {"api_error_status": 400, "result": "tools.0.input_schema.properties.secret: bad"},
            "(400)",
        ),
        (
            {"api_error_status": 400, "result": "prompt is too long: 210 tokens > 200 maximum"},
            "(400, 210 tokens > 200 maximum)",
        ),
    ],
)
def test_a_message_says_what_a_person_can_act_on(fields: dict[str, Any], words: str) -> None:
    message = failed(a_reading(INIT, an_error(**fields)), Ending(exit_code=1)).message

    assert words in message
    assert "secret" not in message


def test_nobody_reads_that_an_error_was_a_success() -> None:
    assert "success" not in failed(a_reading(INIT, an_error()), Ending(exit_code=1)).message


def test_what_went_with_the_power_may_have_been_anything() -> None:
    assert failed(a_reading(), Ending(may_have_lost_output=True)).evidence is NO_EVIDENCE
    assert failed(a_reading(), Ending()).evidence


def test_of_stderr_one_line_is_shown_bounded_and_masked() -> None:
    session = "16f796ee-460e-4038-bb16-59e24ed3caa6"
    secrets = f"Bearer abc token={SECRET} sk-ant-oat01-abc {'k' * 40}"
    stderr = f"\nError: {session} {secrets} {'w ' * 300}\nmore"

    message = failed(a_reading(), Ending(exit_code=1, stderr=stderr)).message

    assert session in message
    hidden = ("abc", SECRET, "kkk", "more")
    assert [word for word in hidden if word in message] == []
    assert len(message) < 400


def test_every_kind_of_a_run_is_given_by_this_package() -> None:
    # The owner alone knows why it stopped one, and why nothing was started.
    package = Path(conclude.__code__.co_filename).parent
    source = "".join(path.read_text() for path in package.glob("*.py") if path.name != "message.py")

    unused = [kind for kind in FailureKind if f"FailureKind.{kind.name}" not in source]

    assert set(unused) == {
        FailureKind.CANCELLED,
        FailureKind.NO_TOOL_RESULTS,
        FailureKind.QUEUE_TIMEOUT,
        FailureKind.SESSION_NOT_MOVED,
    }

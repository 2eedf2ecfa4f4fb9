from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from paths import CLI_RUNS

from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.output.stream import StreamReading, reading_of
from pool.executions.content.turn import ThinkingPart
from pool.executions.model_settings import ModelSettings, ThinkingSettings
from pool.executions.outcome import Completed, Failed, FailureKind
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, Usage, UsageSource

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
SESSION = "77ae021c-28d4-400d-9fda-9c9f53307d0d"
MODEL = "claude-sonnet-4-5-20250929"
TURN = 600_000
SECRET = "test-token-a"

F = FailureKind
NO_EVIDENCE = False

# folder -> (outcome, nano-dollars of this run, whether what was spent is known)
CAPTURED: dict[str, tuple[FailureKind | None, int, bool]] = {
    "auth-failed-oauth": (F.AUTHENTICATION, 0, True),
    "auth-missing": (F.AUTHENTICATION, 0, True),
    "connection-cut-then-ok": (None, TURN, True),
    "credit-too-low": (F.CREDIT_EXHAUSTED, 0, True),
    "empty-prompt": (F.CLI_USAGE, 0, True),
    "json-schema": (None, TURN, True),
    "json-verbose-array": (None, TURN, True),
    "killed-sigint": (F.INTERRUPTED, 435_000, True),
    "killed-sigkill": (F.KILLED, 0, NO_EVIDENCE),
    "killed-sigterm": (F.KILLED, 0, NO_EVIDENCE),
    "limit-overage": (None, TURN, True),
    "limit-rejected-five-hour": (F.USAGE_LIMIT, 0, True),
    "limit-rejected-seven-day": (F.USAGE_LIMIT, 0, True),
    "limit-warning": (None, TURN, True),
    "long-lived-ten-turns": (None, 10 * TURN, True),
    "max-budget": (F.MAX_BUDGET, TURN, True),
    "max-turns": (F.MAX_TURNS, 2 * TURN, True),
    "model-not-found": (F.MODEL_NOT_FOUND, 0, True),
    "overloaded-no-retries": (F.OVERLOADED, 0, True),
    "refusal": (F.REFUSAL, 2 * TURN, True),
    "resume-turn-1": (None, TURN, True),
    "resume-turn-2": (None, TURN, True),
    "resume-turn-3": (None, TURN, True),
    "resume-unknown": (F.SESSION_NOT_FOUND, 0, True),
    "slash-command": (F.EXECUTION_ERROR, 0, True),
    "success-json": (None, TURN, True),
    "success-stream-api-key": (None, TURN, True),
    "success-stream-oauth": (None, TURN, True),
    "success-stream-partial-messages": (None, TURN, True),
    "tools-three-turns": (None, 4 * TURN, True),
    "unknown-flag": (F.CLI_USAGE, 0, True),
}


def a_launch(**fields: Any) -> Launch:
    return Launch(
        **{
            "run_id": "exec_1",
            "prompt": "the prompt",
            "session_id": SESSION,
            "resumes": False,
            "model": MODEL,
            "timeout_seconds": 600,
            **fields,
        }
    )


def a_reading(*messages: dict[str, Any]) -> StreamReading:
    return reading_of((json.dumps(message).encode() for message in messages), NOW)


def captured(case: str) -> tuple[StreamReading, Ending]:
    folder = CLI_RUNS / case
    code = int((folder / "exit").read_text())
    ending = Ending(
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        stderr=(folder / "stderr").read_text(),
    )
    return reading_of((folder / "stdout").read_bytes().split(b"\n"), NOW), ending


def a_result(**fields: Any) -> dict[str, Any]:
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "num_turns": 1,
        "result": "the answer",
        "total_cost_usd": 0.0006,
        "usage": {"input_tokens": 100, "output_tokens": 20},
        "modelUsage": {MODEL: {"inputTokens": 100, "outputTokens": 20, "costUSD": 0.0006}},
        "uuid": "u1",
        "session_id": SESSION,
        **fields,
    }


def an_error(**fields: Any) -> dict[str, Any]:
    nothing = {"is_error": True, "total_cost_usd": 0, "usage": {}, "modelUsage": {}}
    return a_result(**{**nothing, "model_usage_since_last_result": {}, **fields})


INIT = {"type": "system", "subtype": "init", "session_id": SESSION, "model": MODEL}


def a_begun_message(id_: str = "msg_1", input_tokens: int = 100) -> dict[str, Any]:
    usage = {"input_tokens": input_tokens, "output_tokens": 1}
    message = {"id": id_, "model": MODEL, "usage": usage}
    return {"type": "stream_event", "event": {"type": "message_start", "message": message}}


def failed(reading: StreamReading, ending: Ending, **launch: Any) -> Failed:
    outcome = conclude(reading, ending, a_launch(**launch))
    assert isinstance(outcome, Failed)
    return outcome


def test_every_captured_run_is_in_the_table() -> None:
    assert {folder.name for folder in CLI_RUNS.iterdir() if folder.is_dir()} == set(CAPTURED)


@pytest.mark.parametrize("case", CAPTURED)
def test_a_captured_run_has_its_outcome_its_cost_and_its_evidence(case: str) -> None:
    resumed = case.startswith("resume-") and case != "resume-turn-1"
    base = {"resume-turn-2": TURN, "resume-turn-3": 2 * TURN}.get(case)

    outcome = conclude(*captured(case), a_launch(resumes=resumed, session_total_nano_usd=base))

    kind = outcome.kind if isinstance(outcome, Failed) else None
    evidence = outcome.evidence if isinstance(outcome, Failed) else True
    assert (kind, outcome.usage.cost_nano_usd, evidence) == CAPTURED[case]


@pytest.mark.parametrize("case", CAPTURED)
def test_no_message_about_a_failure_repeats_the_cli(case: str) -> None:
    reading, ending = captured(case)

    outcome = conclude(reading, ending, a_launch(resumes=True))

    said = (reading.result or {}).get("result")
    assert not isinstance(outcome, Failed) or not said or said not in outcome.message


def test_a_killed_run_keeps_the_tokens_that_were_seen() -> None:
    outcome = failed(*captured("killed-sigkill"))

    assert outcome.usage_source is UsageSource.PARTIAL
    assert outcome.usage.models == {MODEL: ModelUsage(input_tokens=100, output_tokens=1)}
    assert "SIGKILL" in outcome.message


def test_structured_output_is_handed_over() -> None:
    outcome = conclude(*captured("json-schema"), a_launch(json_schema={}))

    assert isinstance(outcome, Completed)
    assert outcome.structured_output == {"name": "fake", "n": 1}


def test_a_session_total_runs_on_for_the_next_difference() -> None:
    outcome = conclude(*captured("resume-turn-3"), a_launch(resumes=True))

    assert outcome.session_total_nano_usd == 3 * TURN


def test_without_figures_of_the_run_a_resumed_one_costs_the_difference() -> None:
    models = {MODEL: {"inputTokens": 300, "outputTokens": 60, "costUSD": 0.0018}}
    reading = a_reading(INIT, a_result(total_cost_usd=0.0018, modelUsage=models))

    launch = a_launch(resumes=True, session_total_nano_usd=2 * TURN)
    outcome = conclude(reading, Ending(exit_code=0), launch)

    expected = ModelUsage(input_tokens=100, output_tokens=20, cost_nano_usd=TURN)
    assert outcome.usage.models == {MODEL: expected}


@pytest.mark.parametrize("known", [TURN // 2, TURN, 5 * TURN])
def test_totals_of_an_old_release_are_the_runs_own_whatever_the_session_cost(known: int) -> None:
    reading = a_reading(INIT, a_result())

    launch = a_launch(resumes=True, session_total_nano_usd=known)
    outcome = conclude(reading, Ending(exit_code=0), launch)

    assert outcome.usage.cost_nano_usd == TURN
    assert outcome.session_total_nano_usd == known + TURN


def test_both_shapes_of_model_usage_say_the_same() -> None:
    rows = [{"model": MODEL, "inputTokens": 100, "outputTokens": 20, "cost": 0.0006}]
    as_array = a_reading(a_result(modelUsage=rows))
    as_object = a_reading(a_result())

    outcomes = [conclude(one, Ending(exit_code=0), a_launch()) for one in (as_array, as_object)]

    assert outcomes[0].usage == outcomes[1].usage
    assert outcomes[0].usage.cost_nano_usd == TURN


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


def test_an_answer_that_began_and_is_missing_from_the_result_leaves_no_evidence() -> None:
    reading = a_reading(INIT, a_begun_message(), an_error(api_error_status=529))

    outcome = failed(reading, Ending(exit_code=1))

    assert (outcome.evidence, outcome.usage_source) == (NO_EVIDENCE, UsageSource.PARTIAL)
    assert outcome.usage.total.input_tokens == 100


def test_a_result_that_counts_less_than_was_begun_is_no_evidence() -> None:
    counted = {MODEL: {"inputTokens": 100, "outputTokens": 20, "costUSD": 0.0006}}
    result = an_error(api_error_status=529, model_usage_since_last_result=counted)
    reading = a_reading(INIT, a_begun_message("msg_1"), a_begun_message("msg_2"), result)

    outcome = failed(reading, Ending(exit_code=1))

    assert (outcome.evidence, outcome.usage.cost_nano_usd) == (NO_EVIDENCE, TURN)


def tokens(output_tokens: int, cost_nano_usd: int) -> Usage:
    of_model = ModelUsage(
        input_tokens=100, output_tokens=output_tokens, cost_nano_usd=cost_nano_usd
    )
    return Usage(models={MODEL: of_model})


RATES = LearnedPrices().having_seen(tokens(20, TURN)).having_seen(tokens(1, 315_000))


@pytest.mark.parametrize("ended_by", [None, EndedBy.REQUEST, EndedBy.DEADLINE])
def test_what_a_result_leaves_out_costs_at_least_what_was_seen_of_it(
    ended_by: EndedBy | None,
) -> None:
    counted = {MODEL: {"inputTokens": 100, "outputTokens": 20, "costUSD": 0.0006}}
    result = an_error(api_error_status=529, model_usage_since_last_result=counted)
    reading = a_reading(INIT, a_begun_message("msg_1"), a_begun_message("msg_2"), result)
    nothing_told = a_reading(INIT, a_begun_message("msg_1"), an_error(api_error_status=529))
    ending = Ending(exit_code=1, ended_by=ended_by)

    some, none = (failed(each, ending, rates=RATES) for each in (reading, nothing_told))

    assert some.usage == Usage(
        models={MODEL: ModelUsage(input_tokens=200, output_tokens=20, cost_nano_usd=900_000)}
    )
    assert none.usage == tokens(1, 315_000)
    assert [(each.evidence, each.is_partial) for each in (some, none)] == [(True, True)] * 2
    assert [each.unfinished_answers for each in (some, none)] == [2, 1]


def test_a_cost_is_partial_where_it_may_be_more_than_is_said() -> None:
    exact = failed(a_reading(INIT, an_error()), Ending(exit_code=1))
    unknown = failed(a_reading(INIT), Ending(signal=9))
    never_began = failed(a_reading(), Ending(signal=9))

    assert [each.is_partial for each in (exact, unknown, never_began)] == [False, True, False]
    assert not conclude(a_reading(INIT, a_result()), Ending(exit_code=0), a_launch()).is_partial


@pytest.mark.parametrize(
    ("text", "evidence"),
    [("Connection refused (ECONNREFUSED)", True), ("dropped (ECONNRESET)", NO_EVIDENCE)],
)
def test_a_connection_that_broke_may_have_been_billed_and_one_never_made_not(
    text: str, evidence: bool
) -> None:
    result = an_error(api_error="connection_failed", result=text)

    assert failed(a_reading(INIT, result), Ending(exit_code=1)).evidence is evidence


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


@pytest.mark.parametrize(
    "ending", [Ending(exit_code=1), Ending(exit_code=143), Ending(signal=9), Ending(exit_code=0)]
)
def test_a_whole_answer_counts_however_its_process_ends(ending: Ending) -> None:
    outcome = conclude(a_reading(INIT, a_result()), ending, a_launch())

    assert isinstance(outcome, Completed)
    assert outcome.usage.cost_nano_usd == TURN


SPURIOUS = {"subtype": "error_during_execution", "num_turns": 0, "uuid": "u2", "total_cost_usd": 0}


def test_what_is_reported_after_a_whole_answer_does_not_take_it_away() -> None:
    outcome = conclude(
        a_reading(INIT, a_result(), an_error(**SPURIOUS)), Ending(exit_code=1), a_launch()
    )

    assert isinstance(outcome, Completed)
    assert (outcome.result, outcome.usage.cost_nano_usd) == (a_result()["result"], TURN)


def test_a_result_without_a_turn_is_not_the_answer() -> None:
    notice = a_result(result="", num_turns=0, uuid="u0", total_cost_usd=0, modelUsage={})

    outcome = conclude(a_reading(INIT, notice, a_result()), Ending(exit_code=0), a_launch())

    assert isinstance(outcome, Completed)
    assert (outcome.result, outcome.usage.cost_nano_usd) == (a_result()["result"], TURN)


def said(text: str, id_: str = "msg_1", **fields: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {
        "type": "assistant",
        "message": {"id": id_, "model": MODEL, "content": content},
        **fields,
    }


def used_a_tool(name: str = "Write") -> dict[str, Any]:
    content = [{"type": "tool_use", "id": "t", "name": name, "input": {}}]
    return {"type": "assistant", "message": {"id": "m", "model": MODEL, "content": content}}


def streamed(text: str) -> dict[str, Any]:
    delta = {"type": "text_delta", "text": text}
    event = {"type": "content_block_delta", "index": 0, "delta": delta}
    return {"type": "stream_event", "event": event}


def the_answer(*messages: dict[str, Any]) -> str:
    outcome = conclude(a_reading(INIT, *messages), Ending(exit_code=0), a_launch())
    assert isinstance(outcome, Completed)
    return outcome.result


@pytest.mark.parametrize(
    "before",
    [
        [said("The "), said("answer.")],
        [said("Let me see."), used_a_tool(), said("The answer.", "msg_2")],
        [said("The answer."), used_a_tool()],
        [said("The answer."), said("Mine.", "msg_2", parent_tool_use_id="toolu_1")],
        [a_begun_message("msg_1"), streamed("The "), streamed("answer."), said("The answer.")],
        [a_begun_message("msg_1"), streamed("The "), streamed("answer.")],
    ],
    ids=["blocks", "after a tool", "before a tool", "a subagent", "streamed", "only streamed"],
)
def test_an_empty_result_is_filled_with_what_the_model_said_last(
    before: list[dict[str, Any]],
) -> None:
    assert the_answer(*before, a_result(result="")) == "The answer."


def test_an_answer_that_goes_on_in_further_messages_is_told_whole() -> None:
    # 2.1.330 lets the model go on where it was cut off, and its result repeats the last piece.
    pieces = [said("The beginning, "), said("and the end.", "msg_2")]

    assert the_answer(*pieces, a_result(result="and the end.")) == "The beginning, and the end."


def test_what_was_said_for_a_background_task_is_no_part_of_the_answer() -> None:
    notice = a_result(result="", num_turns=0, uuid="u0")

    assert the_answer(said("Noted."), notice, said("yes", "msg_2"), a_result(result="yes")) == "yes"


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_turn_of_a_background_task_is_not_the_answer(when: str) -> None:
    task = a_result(result="Noted.", uuid="u0", origin={"kind": "task-notification"})
    results = [task, a_result()] if when == "before" else [a_result(), task]

    assert the_answer(*results) == a_result()["result"]


def test_a_further_answer_is_not_the_answer() -> None:
    assert the_answer(a_result(), a_result(result="later", uuid="u2")) == a_result()["result"]


def test_an_answer_after_a_failure_does_not_make_it_good() -> None:
    limit = an_error(api_error_status=429, api_error="usage_limit_reached")

    outcome = failed(a_reading(INIT, limit, a_result(uuid="u2")), Ending(exit_code=0))

    assert (outcome.kind, outcome.usage.cost_nano_usd) == (F.USAGE_LIMIT, TURN)


def test_a_turn_in_which_nothing_was_said_does_not_take_the_answer_away() -> None:
    assert the_answer(a_result(), a_result(result="", uuid="u2")) == a_result()["result"]


@pytest.mark.parametrize("after", [SPURIOUS, {"is_error": False, "num_turns": 0, "uuid": "u2"}])
def test_what_is_reported_after_a_failure_does_not_hide_it(after: dict[str, Any]) -> None:
    limit = an_error(api_error_status=429, api_error="usage_limit_reached")

    outcome = failed(a_reading(INIT, limit, an_error(**after)), Ending(exit_code=1))

    assert outcome.kind is F.USAGE_LIMIT


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


def test_an_answer_without_anything_in_it_has_a_name_and_is_booked() -> None:
    outcome = failed(a_reading(INIT, a_result(result="")), Ending(exit_code=0))

    assert (outcome.kind, outcome.usage.cost_nano_usd) == (F.EMPTY_ANSWER, TURN)


def test_work_done_with_tools_is_an_answer_without_words() -> None:
    assert the_answer(used_a_tool(), a_result(result="")) == ""


def test_an_answer_off_its_schema_has_a_name() -> None:
    outcome = failed(
        a_reading(INIT, a_result()), Ending(exit_code=0), json_schema={"type": "object"}
    )

    assert (outcome.kind, outcome.usage.cost_nano_usd) == (F.SCHEMA_MISMATCH, TURN)


def test_why_the_model_stopped_is_told() -> None:
    cut = a_result(stop_reason="max_tokens")

    outcome = conclude(a_reading(INIT, cut), Ending(exit_code=0), a_launch())

    assert isinstance(outcome, Completed)
    assert outcome.stop_reason == "max_tokens"


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


@pytest.mark.parametrize("by", [EndedBy.DEADLINE, EndedBy.REQUEST, EndedBy.LINGERED])
def test_a_whole_answer_counts_although_its_process_had_to_be_ended(by: EndedBy) -> None:
    outcome = conclude(a_reading(INIT, a_result()), Ending(signal=9, ended_by=by), a_launch())

    assert isinstance(outcome, Completed)


def test_a_whole_answer_counts_although_nobody_saw_its_process_end() -> None:
    assert isinstance(conclude(a_reading(INIT, a_result()), Ending(), a_launch()), Completed)


def test_a_run_ended_for_its_output_keeps_what_its_result_says_it_cost() -> None:
    ending = Ending(exit_code=0, ended_by=EndedBy.OUTPUT_LIMIT)

    assert failed(a_reading(INIT, a_result()), ending).usage.cost_nano_usd == TURN


def test_garbage_on_stdout_may_have_been_anything() -> None:
    reading = reading_of([b"<html>"], NOW)

    assert failed(reading, Ending(exit_code=1, stderr="x")).evidence is NO_EVIDENCE


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


def a_cut(words: str, id_: str) -> list[dict[str, Any]]:
    """A message of the model that is cut off at its longest."""
    delta = {"type": "text_delta", "text": words}
    events: list[dict[str, Any]] = [
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {}},
    ]
    return [
        a_begun_message(id_),
        *({"type": "stream_event", "event": each, "parent_tool_use_id": None} for each in events),
    ]


@pytest.mark.parametrize("goes_wrong", [False, True])
def test_an_answer_that_its_caller_has_bounded_ends_where_the_model_was_cut_off(
    *, goes_wrong: bool
) -> None:
    end = an_error(api_error="max_output_tokens") if goes_wrong else a_result(result="more")
    reading = a_reading(*a_cut("one", "msg_1"), *a_cut("more", "msg_2"), end)
    settings = ModelSettings(max_tokens=5)

    outcome = conclude(
        reading, Ending(), a_launch(model_settings=settings, stops_at_max_tokens=True)
    )

    assert isinstance(outcome, Completed)
    assert (outcome.result, outcome.stop_reason) == ("one", "max_tokens")


def test_thinking_is_told_where_it_was_asked_for() -> None:
    block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    said = {"type": "assistant", "message": {"id": "msg_1", "model": "m", "content": [block]}}
    reading = a_reading(said, a_result())
    asks = ModelSettings(thinking=ThinkingSettings(type="adaptive"))

    told = conclude(reading, Ending(), a_launch(model_settings=asks))
    kept = conclude(reading, Ending(), a_launch())

    assert isinstance(told, Completed)
    assert isinstance(kept, Completed)
    assert (told.thinking, kept.thinking) == ((ThinkingPart(thinking="hm", signature="s"),), ())

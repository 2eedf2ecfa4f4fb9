"""The conclusion of a run: every captured one, and what counts as its answer."""

from __future__ import annotations

from typing import Any

import pytest

from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.ending import EndedBy, Ending
from pool.executions.content.turn import ThinkingPart
from pool.executions.model_settings import ModelSettings, ThinkingSettings
from pool.executions.outcome import Completed, Failed, FailureKind
from tests.support.clis.concluded import (
    INIT,
    MODEL,
    NO_EVIDENCE,
    TURN,
    F,
    a_begun_message,
    a_launch,
    a_reading,
    a_result,
    an_error,
    captured,
    failed,
    said,
)
from tests.support.suite.paths import CLI_RUNS

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


def test_structured_output_is_handed_over() -> None:
    outcome = conclude(*captured("json-schema"), a_launch(json_schema={}))

    assert isinstance(outcome, Completed)
    assert outcome.structured_output == {"name": "fake", "n": 1}


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


@pytest.mark.parametrize("by", [EndedBy.DEADLINE, EndedBy.REQUEST, EndedBy.LINGERED])
def test_a_whole_answer_counts_although_its_process_had_to_be_ended(by: EndedBy) -> None:
    outcome = conclude(a_reading(INIT, a_result()), Ending(signal=9, ended_by=by), a_launch())

    assert isinstance(outcome, Completed)


def test_a_whole_answer_counts_although_nobody_saw_its_process_end() -> None:
    assert isinstance(conclude(a_reading(INIT, a_result()), Ending(), a_launch()), Completed)


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

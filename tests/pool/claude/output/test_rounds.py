from __future__ import annotations

import json
from typing import Any

from pool.claude.output.event_pages import ReadPosition, extract
from pool.claude.output.progress import ProgressReader
from pool.claude.output.rounds import CallsRefused, RoundEnded
from pool.executions.progress import (
    Cursor,
    Progress,
    ToolCalled,
    ToolCallPiece,
    WaitsForCaller,
)
from pool.executions.tools.client_tools import Round
from pool.executions.tools.strict_tools import MOST_REFUSED, StrictTools
from pool.usage.records import Usage, usage_report
from tests.support.clis.printed_output import ATTEMPT, NOW, printed


def says(text: str) -> dict[str, Any]:
    return streams("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def called(id_: str, name: str = "mcp__caller__weather") -> dict[str, Any]:
    block = {"type": "tool_use", "id": id_, "name": name, "input": {"city": id_}}
    return {"type": "assistant", "message": {"id": "msg_1", "model": "m", "content": [block]}}


def wants(id_: str) -> dict[str, Any]:
    message = {"method": "tools/call", "params": {"_meta": {"claudecode/toolUseId": id_}}}
    request = {"subtype": "mcp_message", "server_name": "caller", "message": message}
    return {"type": "control_request", "request_id": id_, "request": request}


def answers(id_: str) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": id_, "content": "no such tool"}
    return {"type": "user", "message": {"content": [block]}}


def streams(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "stream_event", "event": {"type": kind, **fields}}


BEGINS = streams("message_start", message={"id": "msg_1"})
COMPLETE = streams("message_delta", delta={"stop_reason": "tool_use"})


NONE_STRICT = StrictTools({})
STRICT = StrictTools({"weather": {"properties": {"city": {"enum": ["a", "b"]}}}})


def read(
    *messages: dict[str, Any], strict: StrictTools = NONE_STRICT
) -> list[Progress | RoundEnded | CallsRefused]:
    reader = ProgressReader(ATTEMPT, strict=strict)
    return [found for each in messages for found in reader.take(each, NOW)]


def rounds(*messages: dict[str, Any]) -> list[tuple[int, list[str]]]:
    ended = (each for each in read(*messages) if isinstance(each, RoundEnded))
    return [(each.number, [call.id for call in each.calls]) for each in ended]


def test_a_round_ends_where_its_message_is_complete_and_a_result_is_wanted() -> None:
    first = (BEGINS, called("a"), wants("a"), called("b"))

    assert rounds(*first) == []
    assert rounds(*first, COMPLETE, wants("b"), BEGINS, called("c"), COMPLETE) == [(0, ["a", "b"])]
    more = (answers("a"), answers("b"), BEGINS, called("c"), COMPLETE, wants("c"))
    assert rounds(*first, COMPLETE, wants("b"), *more) == [(0, ["a", "b"]), (1, ["c"])]


def test_what_the_cli_answers_itself_is_no_call_and_tools_of_its_own_end_no_round() -> None:
    refused = (called("x"), answers("x"))
    own = (called("r", "Read"), answers("r"))

    assert rounds(BEGINS, *refused, called("a"), wants("a"), COMPLETE) == [(0, ["a"])]
    assert rounds(BEGINS, *refused, *own, COMPLETE) == []


def strictly(*messages: dict[str, Any]) -> list[str]:
    return [type(each).__name__ for each in read(*messages, strict=STRICT)]


def test_calls_with_strict_tools_are_shown_at_the_end_of_their_round() -> None:
    block = {"type": "tool_use", "id": "a", "name": "mcp__caller__weather", "input": {}}
    begun = streams("content_block_start", index=0, content_block=block)
    first = (BEGINS, begun, called("a"), wants("a"))

    assert strictly(*first) == []
    assert strictly(*first, COMPLETE)[-2:] == ["ToolCalled", "RoundEnded"]
    assert "CallsRefused" not in strictly(*first, COMPLETE)


def test_calls_that_do_not_fit_are_shown_to_nobody_and_what_was_said_is_the_next_rounds() -> None:
    wrong = (BEGINS, says("hm "), called("x"), called("a"), wants("x"), COMPLETE, wants("a"))
    right = (answers("x"), answers("a"), BEGINS, says("so"), called("b"), wants("b"), COMPLETE)

    assert strictly(*wrong) == ["Text", "CallsRefused"]
    *_, ended = read(*wrong, *right, strict=STRICT)
    assert isinstance(ended, RoundEnded)
    assert (ended.number, ended.text, [each.id for each in ended.calls]) == (0, "hm so", ["b"])


def test_who_calls_wrongly_too_often_is_told_no_more_and_a_good_call_begins_anew() -> None:
    wrong = [(BEGINS, called(f"x{n}"), wants(f"x{n}"), COMPLETE) for n in range(2 * MOST_REFUSED)]
    good = (BEGINS, called("a"), wants("a"), COMPLETE)
    first, then = wrong[:MOST_REFUSED], wrong[MOST_REFUSED:]

    refused = [
        [
            each.is_last
            for each in read(*sum(some, ()), strict=STRICT)
            if isinstance(each, CallsRefused)
        ]
        for some in ([*first, then[0]], [*first, good, *then])
    ]

    assert refused == [[False] * MOST_REFUSED + [True], [False] * 2 * MOST_REFUSED]


def test_a_call_comes_in_pieces_which_are_its_input_and_then_whole() -> None:
    block = {"type": "tool_use", "id": "a", "name": "mcp__caller__weather", "input": {}}
    pieces = [{"type": "input_json_delta", "partial_json": text} for text in ('{"city"', ': "a"}')]
    streamed = [streams("content_block_start", index=0, content_block=block)]
    streamed += [streams("content_block_delta", index=0, delta=piece) for piece in pieces]

    for found in (read(BEGINS, *streamed, called("a")), read(called("a"))):
        joined = "".join(each.partial_json for each in found if isinstance(each, ToolCallPiece))
        assert json.loads(joined) == {"city": "a"}
        assert [each.call.name for each in found if isinstance(each, ToolCalled)] == ["weather"]


def test_the_end_of_a_round_is_shown_once_it_is_durable_and_nothing_before_it() -> None:
    messages = (BEGINS, called("a"), wants("a"), COMPLETE, streams("message_stop"))
    output = b"".join(json.dumps(each).encode() + b"\n" for each in messages)
    made = Round(number=0, usage=usage_report(Usage()), cursor="0-1", ended_at=NOW)
    start = ReadPosition(0, ProgressReader(ATTEMPT))

    early = extract(printed(output), start, Cursor(), until=None)
    waits = [WaitsForCaller(execution_id="exec_1", round=made)]
    later = extract(
        printed(output), early.place, Cursor(offset=early.place.offset), until=None, rounds=waits
    )

    assert [each.progress.type for each in early.events] == ["tool_call_piece", "tool_call"]
    assert [each.progress for each in later.events] == waits

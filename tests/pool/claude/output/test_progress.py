from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.claude.output.event_pages import ReadPosition, extract, position_at
from pool.claude.output.messages import MAX_RESULT_CHARACTERS
from pool.claude.output.progress import MAX_RAW_BYTES, ProgressReader
from pool.claude.output.stream import is_answer, reading_of
from pool.errors import InvalidRequest
from pool.executions.progress import (
    AnswerBegan,
    AttemptBegan,
    Cursor,
    Event,
    LimitsSeen,
    Progress,
    RawMessage,
    Text,
    Thinking,
    ToolAnswered,
    ToolUse,
    Withdrawn,
)
from tests.support.clis.printed_output import ATTEMPT, NOW, printed
from tests.support.suite.paths import CLI_RUNS

CASES = sorted(folder.name for folder in CLI_RUNS.iterdir() if folder.is_dir())


def shown(output: bytes, after: str = "0-0", *, raw: bool = False) -> list[Event]:
    """All events after a cursor, page by page."""
    cursor, events = Cursor.of(after), list[Event]()
    place = position_at(printed(output), cursor, ProgressReader(ATTEMPT), until=None)
    while True:
        page = extract(printed(output), place, cursor, until=None, raw=raw)
        events += page.events
        place, cursor = page.place, Cursor(offset=page.place.offset)
        if page.is_all:
            return events


def of(*messages: dict[str, Any], raw: bool = False) -> list[Progress]:
    lines = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    return [each.progress for each in shown(lines, raw=raw)]


def event(**fields: Any) -> dict[str, Any]:
    return {"type": "stream_event", "event": fields, "parent_tool_use_id": None}


def begins(id_: str = "msg_1") -> dict[str, Any]:
    return event(type="message_start", message={"id": id_, "content": []})


def piece(text: str, index: int = 0, kind: str = "text") -> dict[str, Any]:
    return event(
        type="content_block_delta", index=index, delta={"type": f"{kind}_delta", kind: text}
    )


def broken_off(from_block_index: int = 0) -> dict[str, Any]:
    abandoned = {"api_message_id": "msg_1", "from_block_index": from_block_index}
    return {**event(type="message_stop"), "abandoned_blocks": abandoned}


def whole(*blocks: dict[str, Any], id_: str = "msg_1", **fields: Any) -> dict[str, Any]:
    message = {"id": id_, "model": "m", "content": list(blocks)}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None, **fields}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def tool_use(id_: str = "toolu_1", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": "Bash", "input": arguments}


def result(words: str, *, is_error: bool = False) -> dict[str, Any]:
    return {"type": "result", "is_error": is_error, "result": words}


def answer(events: list[Event]) -> str:
    """The text since the last use of a tool, as a reader puts it together."""
    joined = ""
    for each in events:
        match each.progress:
            case Text(text=more):
                joined += more
            case Withdrawn(text_characters=count) if count:
                joined = joined[:-count]
            case ToolUse():
                joined = ""
            case _:
                pass
    return joined


# -- everything that was captured ----------------------------------------------------------------


@pytest.mark.parametrize("case", [each for each in CASES if each != "long-lived-ten-turns"])
def test_the_pieces_of_a_captured_run_are_its_answer(case: str) -> None:
    output = (CLI_RUNS / case / "stdout").read_bytes()
    result = reading_of(output.split(b"\n"), NOW).result
    lines = output.count(b"\n")

    if result is not None and is_answer(result) and output.startswith(b"{"):
        assert answer(shown(output)) == result["result"]
    elif result is not None and result.get("result") is not None and lines != 1:
        assert answer(shown(output)) == ""


def test_a_captured_run_with_partial_messages_streams_each_piece_once() -> None:
    output = (CLI_RUNS / "success-stream-partial-messages" / "stdout").read_bytes()

    began, answer, *rest = [each.progress for each in shown(output)]

    assert isinstance(began, AttemptBegan)
    assert answer == AnswerBegan(
        input_tokens=100, cache_creation_input_tokens=0, cache_read_input_tokens=0
    )
    assert [each.text for each in rest if isinstance(each, Text)] == [
        "FAKE-REPLY sha=27c6a6f2f",
        "967 model=claude-sonnet-",
        "4-5-20250929 messages=1",
    ]
    assert [type(each) for each in rest[3:]] == [LimitsSeen]


def test_captured_tools_are_shown_with_their_results_in_order() -> None:
    output = (CLI_RUNS / "tools-three-turns" / "stdout").read_bytes()

    events = [each.progress for each in shown(output)]

    uses = [each for each in events if isinstance(each, ToolUse)]
    results = [each for each in events if isinstance(each, ToolAnswered)]
    assert [each.input["command"] for each in uses] == ["echo step1", "echo step2", "echo step3"]
    assert [each.text for each in results] == ["step1", "step2", "step3"]
    assert [each.id for each in uses] == [each.tool_use_id for each in results]


def test_a_limit_that_was_hit_is_shown_and_the_clis_words_about_it_are_no_answer() -> None:
    output = (CLI_RUNS / "limit-rejected-five-hour" / "stdout").read_bytes()

    _, limit = [each.progress for each in shown(output)]

    assert isinstance(limit, LimitsSeen)
    assert limit.status == "rejected"
    assert limit.windows["five_hour"].observed_at == NOW


def test_what_was_said_before_an_interruption_stands() -> None:
    output = (CLI_RUNS / "killed-sigint" / "stdout").read_bytes()

    assert answer(shown(output)) == "FAKE-REPLY sha=27c6a6f2f967 model=cl"


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_every_cursor_of_a_captured_run_leads_to_exactly_the_rest(case: str, raw: bool) -> None:
    output = (CLI_RUNS / case / "stdout").read_bytes()
    events = shown(output, raw=raw)

    for number, each in enumerate(events, 1):
        assert shown(output, each.cursor, raw=raw) == events[number:]
    assert len({each.cursor for each in events}) == len(events)


# -- messages ------------------------------------------------------------------------------------


def test_a_message_repeats_what_was_streamed_and_is_passed_over() -> None:
    events = of(begins(), piece("Hel"), piece("lo"), whole(text("Hello")), result("Hello"))

    assert events == [Text(text="Hel"), Text(text="lo")]


def test_a_cli_that_streams_nothing_is_read_by_its_messages() -> None:
    assert of(whole(text("Hello")), result("Hello")) == [Text(text="Hello")]


def test_thinking_is_shown_apart_from_the_answer() -> None:
    thought = {"type": "thinking", "thinking": "Hm."}

    events = of(begins(), piece("Hm.", kind="thinking"), whole(thought), piece("Yes", 1))

    assert events == [Thinking(text="Hm."), Text(text="Yes")]


def test_thinking_that_was_not_streamed_is_taken_from_the_message() -> None:
    thought = {"type": "thinking", "thinking": "Hm."}

    events = of(begins(), piece("Yes", 1), whole(thought), whole(text("Yes")))

    assert events == [Text(text="Yes"), Thinking(text="Hm.")]


def test_a_result_without_a_turn_is_no_text_of_the_answer() -> None:
    notice = {**result("A task has ended."), "num_turns": 0}

    seen = of(begins(), notice, whole({"type": "text", "text": "yes"}), result("yes"))

    assert answer([Event(cursor="0-0", progress=each) for each in seen]) == "yes"


def test_structured_output_comes_with_the_result_as_text() -> None:
    use, outcome = of(begins(), whole(tool_use()), result('{"n":1}'))

    assert isinstance(use, ToolUse)
    assert outcome == Text(text='{"n":1}')


def test_an_error_brings_no_text() -> None:
    assert of(result("You've hit your limit", is_error=True)) == []


def test_what_a_sub_agent_says_is_not_the_answer() -> None:
    inner = [whole(text("inner")), piece("inner"), whole(tool_use())]

    events = of(*({**each, "parent_tool_use_id": "toolu_9"} for each in inner), piece("outer"))

    assert events == [Text(text="outer")]


def test_a_message_that_broke_off_is_withdrawn_and_comes_anew() -> None:
    events = of(
        *(begins(), piece("One t"), piece("wo"), broken_off()),
        *(begins("msg_2"), piece("Three"), whole(text("Three"), id_="msg_2"), result("Three")),
    )

    assert events == [
        *(Text(text="One t"), Text(text="wo")),
        Withdrawn(text_characters=7, thinking_characters=0),
        Text(text="Three"),
    ]


def test_an_answer_that_is_asked_again_without_streaming_is_shown_whole() -> None:
    events = of(begins(), piece("One"), broken_off(), whole(text("Two"), id_="msg_2"))

    withdrawn = Withdrawn(text_characters=3, thinking_characters=0)
    assert events == [Text(text="One"), withdrawn, Text(text="Two")]


def test_blocks_that_were_complete_when_a_message_broke_off_stand() -> None:
    first, second, withdrawn = of(begins(), piece("One", 0), piece("Two", 1), broken_off(1))

    assert (first, second) == (Text(text="One"), Text(text="Two"))
    assert withdrawn == Withdrawn(text_characters=3, thinking_characters=0)


def test_a_message_that_broke_off_before_its_first_word_withdraws_nothing() -> None:
    assert of(begins(), broken_off()) == []


def test_the_attempt_begins_once() -> None:
    init = {"type": "system", "subtype": "init", "session_id": "s-1", "model": "m-1"}

    assert of(init, init) == [
        ATTEMPT.model_copy(update={"session_id": "s-1", "model": "m-1"}),
    ]


def test_the_text_of_a_tools_answer_is_bounded_and_other_content_is_named() -> None:
    parts = [text("x" * MAX_RESULT_CHARACTERS), {"type": "image"}]
    blocks = [
        {"type": "tool_result", "tool_use_id": "a", "content": parts, "is_error": True},
        {"type": "tool_result", "tool_use_id": "b", "content": [text("ok"), {"type": "image"}]},
    ]

    long, short = of({"type": "user", "message": {"role": "user", "content": blocks}})

    assert isinstance(long, ToolAnswered)
    assert (len(long.text), long.is_error) == (MAX_RESULT_CHARACTERS, True)
    assert short == ToolAnswered(tool_use_id="b", text="ok\n[image]")


def test_raw_messages_come_after_what_was_understood_of_them() -> None:
    message = whole(text("Hello"))

    assert of(message, raw=True) == [Text(text="Hello"), RawMessage(message=message)]


def test_a_raw_message_beyond_the_limit_is_named_by_type_and_size() -> None:
    message = {"type": "new", "text": "x" * MAX_RAW_BYTES}

    (raw,) = of(message, raw=True)

    size = len(json.dumps(message)) + 1
    assert raw == RawMessage(message={"type": "new", "omitted_bytes": size})


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"what", b"[1]", b"{", b'{"type": ["assistant"]}', b"[" * 100_000),
        *(b'{"type": "assistant", "message": 1}', b'{"type": "user", "message": {"content": 1}}'),
        *(b'{"type": "stream_event"}', b'{"type": "stream_event", "event": {"delta": []}}'),
        b'{"type": "assistant", "message": {"content": [1, {"type": "tool_use", "input": 1}]}}',
    ],
)
def test_no_line_makes_the_reader_fail(line: bytes) -> None:
    events = ProgressReader(ATTEMPT).read(line, NOW, raw=True)

    assert not any(isinstance(each, Text) for each in events)


def test_half_a_surrogate_pair_is_replaced_so_that_the_event_can_be_sent() -> None:
    (event,) = of(piece("a\ud83d"))

    assert event == Text(text="a\ufffd")
    assert event.model_dump_json()


# -- the spool -----------------------------------------------------------------------------------

MESSAGES = st.lists(
    st.one_of(
        st.just(begins()),
        st.just(broken_off()),
        st.text(min_size=1, max_size=5).map(piece),
        st.lists(st.sampled_from([text("a"), tool_use(), tool_use("toolu_2")]), max_size=3).map(
            lambda blocks: whole(*blocks)
        ),
        st.just(result("done")),
        st.just({"type": "unknown"}),
    ),
    max_size=12,
)


@given(messages=MESSAGES, raw=st.booleans(), has_last_end=st.booleans())
def test_from_every_cursor_the_rest_comes_and_nothing_twice(
    messages: list[dict[str, Any]], raw: bool, has_last_end: bool
) -> None:
    output = b"\n".join(json.dumps(each).encode() for each in messages)
    output += b"\n" if has_last_end else b""

    events = shown(output, raw=raw)

    for number, each in enumerate(events, 1):
        assert shown(output, each.cursor, raw=raw) == events[number:]


@given(messages=MESSAGES, cuts=st.lists(st.integers(min_value=0, max_value=2000)))
def test_pages_of_a_growing_output_are_together_what_one_reading_shows(
    messages: list[dict[str, Any]], cuts: list[int]
) -> None:
    output = b"".join(json.dumps(each).encode() + b"\n" for each in messages)
    place, events = ReadPosition(0, ProgressReader(ATTEMPT)), list[Event]()

    for until in [*sorted(cuts), None]:
        now = output if until is None else output[:until]
        cursor = Cursor(offset=place.offset)
        size = None if until is None else len(now)
        page = extract(printed(now), place, cursor, until=size)
        events, place = [*events, *page.events], page.place

    assert events == shown(output)


def test_a_page_ends_at_its_limit_and_the_next_one_goes_on() -> None:
    output = b"".join(json.dumps(piece("x" * 50_000)).encode() + b"\n" for _ in range(20))

    page = extract(printed(output), ReadPosition(0, ProgressReader(ATTEMPT)), Cursor(), until=None)

    assert not page.is_all
    assert 250_000 < page.place.offset < 320_000
    assert len(shown(output)) == 20


def test_two_readers_go_on_from_the_same_place_without_touching_each_other() -> None:
    output = b"".join(json.dumps(each).encode() + b"\n" for each in (begins(), piece("Hi")))
    place = ReadPosition(0, ProgressReader(ATTEMPT))
    init = json.dumps({"type": "system", "subtype": "init"}).encode() + b"\n" + output

    first, second = (extract(printed(init), place, Cursor(), until=None).events for _ in range(2))

    assert first == second
    assert [each.progress.type for each in first] == ["attempt", "text"]


@pytest.mark.parametrize("cursor", ["0-3", "0-5000"])
def test_a_cursor_within_a_line_or_beyond_the_end_is_none(cursor: str) -> None:
    output = json.dumps(piece("Hello")).encode() + b"\n"

    with pytest.raises(InvalidRequest) as caught:
        shown(output, cursor)

    assert caught.value.field == "after"


@pytest.mark.parametrize(
    "words", ["", "0", "-1", "0-", "0-x", "a-1", "0-1.", "0-1-1", "\u0660-\u0661", "0-1\n"]
)
def test_what_is_no_cursor_is_refused(words: str) -> None:
    with pytest.raises(InvalidRequest):
        Cursor.of(words)


@given(
    attempt=st.integers(min_value=0, max_value=99),
    offset=st.integers(min_value=0, max_value=10**12),
    events=st.integers(min_value=0, max_value=999),
)
def test_a_cursor_is_read_as_it_was_written(attempt: int, offset: int, events: int) -> None:
    cursor = Cursor(attempt=attempt, offset=offset, events=events)

    assert Cursor.of(str(cursor)) == cursor
    assert Cursor.of(f"{attempt}-end") == Cursor(attempt=attempt, is_end=True)


def test_a_bounded_answer_is_over_where_the_model_was_cut_off() -> None:
    cut = event(type="message_delta", delta={"stop_reason": "max_tokens"})
    reader = ProgressReader(ATTEMPT, stops_at_max_tokens=True)
    lines = [begins(), piece("one"), cut, begins("msg_2"), piece("more")]
    result = {"type": "result", "is_error": False, "result": "more", "num_turns": 2}

    assert [
        progress
        for message in [*lines, result]
        for progress in reader.take(message, datetime.now(UTC))
    ] == [Text(text="one")]
    assert [Text(text="one"), Text(text="more")] == of(*lines)


def test_the_signature_of_a_thought_comes_with_its_end() -> None:
    thought = event(
        type="content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}
    )
    signed = event(
        type="content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s"}
    )

    assert [Thinking(text="hm"), Thinking(text="", signature="s")] == of(begins(), thought, signed)

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.claude.transcripts.transcript import Transcript, TranscriptReader
from pool.usage.records import ModelUsage

PROMPT = "0bde6b0a-4f0c-5c57-a66c-7b7f6c7d6b11"
MODEL = "claude-sonnet-4-5-20250929"

Entry = dict[str, Any]


def prompt(uuid: str = PROMPT, prompt_id: str = "p1", source: str = "sdk") -> Entry:
    return {"type": "user", "uuid": uuid, "promptId": prompt_id, "promptSource": source}


def of_a_subagent(prompt_id: str = "p1") -> Entry:
    return {"type": "user", "uuid": "u", "promptId": prompt_id, "isSidechain": True}


def request(id_: str = "r1") -> Entry:
    return {"type": "api-request", "id": id_}


def answer(id_: str = "msg_1", output_tokens: int = 20, **fields: Any) -> Entry:
    message = {
        "id": id_,
        "model": MODEL,
        "usage": {"input_tokens": 100, "output_tokens": output_tokens},
        "stop_reason": "end_turn",
        **fields.pop("message", {}),
    }
    entry = {"type": "assistant", "message": message, "requestId": f"req_{id_}"}
    return {**entry, "requestRef": "r1", "requestedModel": MODEL, **fields}


def lines(*entries: Entry) -> list[bytes]:
    return [json.dumps(entry).encode() + b"\n" for entry in entries]


def read(*files: list[bytes]) -> Transcript:
    reader = TranscriptReader(PROMPT)
    for file in files:
        reader.begin()
        for line in file:
            reader.take(line)
    return reader.transcript()


def ids(transcript: Transcript) -> list[str]:
    return [seen.message_id for seen in transcript.answers]


def test_an_answer_after_the_runs_prompt_is_the_runs() -> None:
    transcript = read(lines(prompt(), request(), answer()))

    (seen,) = transcript.answers
    assert (seen.message_id, seen.request_ids, seen.model) == ("msg_1", {"req_msg_1"}, MODEL)
    assert seen.usage == ModelUsage(input_tokens=100, output_tokens=20)
    assert seen.is_final
    assert transcript.unanswered == frozenset()


def test_turns_before_the_runs_prompt_and_after_the_next_are_not_the_runs() -> None:
    transcript = read(
        lines(
            *(prompt("before", "p0"), request("r0"), answer("msg_0")),
            *(prompt(), request(), answer("msg_1")),
            *(prompt("after", "p2"), request("r2"), answer("msg_2")),
        )
    )

    assert ids(transcript) == ["msg_1"]
    assert transcript.unanswered == frozenset()


def test_without_the_runs_prompt_nothing_is_the_runs() -> None:
    assert read(lines(prompt("another"), request(), answer())) == Transcript()


def test_what_the_cli_says_to_itself_does_not_end_the_run() -> None:
    told = {"type": "user", "uuid": "t", "promptId": "p1", "toolUseResult": {}}
    notified = prompt("n", "p1b", source="system")

    transcript = read(lines(prompt(), answer("msg_1"), told, answer("msg_2"), notified, answer()))

    assert ids(transcript) == ["msg_1", "msg_2"]


def test_repeated_blocks_of_an_answer_count_once_with_the_largest_counts() -> None:
    first, middle, last = answer(output_tokens=1), answer(output_tokens=50), answer()

    (seen,) = read(lines(prompt(), first, middle, last)).answers

    assert seen.usage == ModelUsage(input_tokens=100, output_tokens=50)


def test_one_message_under_two_requests_is_one_answer() -> None:
    again = answer(requestId="req_2")

    assert ids(read(lines(prompt(), answer(), again))) == ["msg_1"]


def test_a_subagent_of_the_run_is_the_runs_and_of_another_is_not() -> None:
    main = lines(prompt("x", "p0"), prompt(), answer("msg_1"))
    ours = lines(of_a_subagent("p1"), answer("msg_2"))
    anothers = lines(of_a_subagent("p0"), answer("msg_3"))

    assert ids(read(main, anothers, ours)) == ["msg_1", "msg_2"]


def test_a_subagent_that_several_runs_spoke_to_is_the_runs_for_its_part() -> None:
    main = lines(prompt("x", "p0"), prompt(), prompt("y", "p2"))
    shared = lines(
        *(of_a_subagent("p0"), answer("msg_1"), of_a_subagent("p1"), answer("msg_2")),
        *(of_a_subagent("p2"), answer("msg_3")),
    )

    assert ids(read(main, shared)) == ["msg_2"]


def test_a_subagent_that_a_notification_set_off_is_the_runs_as_well() -> None:
    main = lines(prompt(), prompt("n", "p1b", source="system"))
    files = [lines(of_a_subagent(id_), answer(f"msg_{id_}")) for id_ in ("p1", "p1b")]

    assert ids(read(main, *files)) == ["msg_p1", "msg_p1b"]


def test_a_new_file_begins_as_nobodys() -> None:
    assert read(lines(prompt()), lines(answer())).answers == ()


def test_requests_without_an_answer_are_told() -> None:
    transcript = read(lines(prompt(), request("r1"), answer(), request("r2"), request("r3")))

    assert transcript.unanswered == {"r2", "r3"}


def test_the_clis_own_words_are_no_answer() -> None:
    error = answer(message={"model": "<synthetic>", "id": "local"}, requestRef=None)

    assert read(lines(prompt(), request(), error)) == Transcript(unanswered=frozenset({"r1"}))


def test_usage_goes_by_the_name_that_was_asked_for() -> None:
    (seen,) = read(lines(prompt(), answer(requestedModel="claude-sonnet-4-5"))).answers
    (older,) = read(lines(prompt(), answer(requestedModel=None))).answers

    assert (seen.model, older.model) == ("claude-sonnet-4-5", MODEL)


def test_an_answer_without_a_reason_to_stop_is_not_final() -> None:
    (seen,) = read(lines(prompt(), answer(message={"stop_reason": None}))).answers

    assert not seen.is_final


def test_a_torn_last_line_loses_nothing_but_itself() -> None:
    whole, torn = lines(answer("msg_1"), answer("msg_2"))

    assert ids(read([*lines(prompt()), whole, torn[:-20]])) == ["msg_1"]


@pytest.mark.parametrize(
    "line",
    [
        *(b"\xff\x00", b"[]", b"7", b"null", b"[" * 100_000, b'{"type":["user"]}', b""),
        b'{"type":"api-request","id":"\\ud800"}',
        *lines(answer("\ud800")),
    ],
    ids=str,
)
def test_garbage_is_passed_over(line: bytes) -> None:
    transcript = read([*lines(prompt()), line, *lines(answer())])

    assert (ids(transcript), transcript.unanswered) == (["msg_1"], frozenset())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
NAMES = (
    *("uuid", "promptId", "promptSource", "isSidechain", "id", "message"),
    *("requestId", "requestRef", "requestedModel"),
)
names = st.sampled_from(NAMES)
kinds = st.sampled_from(("user", "assistant", "api-request"))
fields = ("id", "model", "usage", "stop_reason")


@given(
    kinds,
    st.dictionaries(names, json_values),
    st.none() | st.dictionaries(st.sampled_from(fields), json_values),
)
def test_no_value_in_any_place_is_more_than_passed_over(
    kind: str, entry: Entry, message: Entry | None
) -> None:
    odd = {"type": kind, **entry, **({} if message is None else {"message": message})}

    assert "msg_1" in ids(read(lines(prompt(), answer(), odd)))

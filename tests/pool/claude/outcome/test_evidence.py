from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.claude.outcome.evidence import Evidence, evidence
from pool.claude.output.stream import StreamReader, StreamReading
from pool.claude.transcripts.sighting import Sighting, merged
from pool.claude.transcripts.transcript import Transcript
from pool.usage.records import ModelUsage, Usage

MODEL = "claude-sonnet-4-5-20250929"


def usage(input_tokens: int = 100, output_tokens: int = 20) -> ModelUsage:
    return ModelUsage(input_tokens=input_tokens, output_tokens=output_tokens)


def a_sighting(message_id: str = "msg_1", **fields: Any) -> Sighting:
    known = {"model": MODEL, "usage": usage(), "is_final": True}
    return Sighting(message_id=message_id, **{**known, **fields})


def a_reading(*finished: str, model: str | None = MODEL, **messages: ModelUsage) -> StreamReading:
    return StreamReading(
        init_seen=True,
        model=model,
        messages={id_: Usage(models={MODEL: one}) for id_, one in messages.items()},
        finished=frozenset(finished),
    )


def test_an_answer_that_both_saw_counts_once_with_the_larger_counts() -> None:
    reading = a_reading(msg_1=usage(output_tokens=1))

    seen = evidence(reading, Transcript(answers=(a_sighting(),)))

    assert seen == Evidence(usage=Usage(models={MODEL: usage()}), answers=1)


def test_answers_that_one_of_them_saw_count_too() -> None:
    reading = a_reading("msg_2", msg_2=usage(7, 3))

    seen = evidence(reading, Transcript(answers=(a_sighting(),)))

    assert seen == Evidence(usage=Usage(models={MODEL: usage(107, 23)}), answers=2)


def test_an_answer_whose_end_nobody_saw_is_unfinished() -> None:
    reading = a_reading("msg_1", msg_1=usage(), msg_2=usage(100, 1))

    assert (
        evidence(reading, Transcript()).answers,
        evidence(reading, Transcript()).unfinished,
    ) == (
        2,
        1,
    )


@pytest.mark.parametrize(
    "ending",
    [
        {"type": "stream_event", "event": {"type": "message_delta", "usage": {"output_tokens": 9}}},
        {
            "type": "assistant",
            "message": {"id": "msg_1", "model": MODEL, "stop_reason": "end_turn"},
        },
    ],
    ids=["delta", "whole"],
)
def test_an_answer_whose_end_was_printed_is_finished(ending: dict[str, Any]) -> None:
    message = {"id": "msg_1", "model": MODEL, "usage": {"input_tokens": 100}, "stop_reason": None}
    begun = {"type": "stream_event", "event": {"type": "message_start", "message": message}}
    reader = StreamReader(datetime(2026, 11, 22, tzinfo=UTC))

    reader.take(json.dumps(begun).encode())
    assert evidence(reader.reading(), Transcript()).unfinished == 1
    reader.take(json.dumps(ending).encode())
    assert evidence(reader.reading(), Transcript()).unfinished == 0


@pytest.mark.parametrize(
    ("requests", "printed", "unanswered"), [((), 0, 0), (("a", "b"), 0, 2), (("a", "b"), 1, 1)]
)
def test_a_request_whose_answer_was_seen_to_begin_is_not_unanswered(
    requests: tuple[str, ...], printed: int, unanswered: int
) -> None:
    messages = {f"msg_{n}": Usage(models={MODEL: usage()}) for n in range(printed)}
    reading = StreamReading(init_seen=True, messages=messages)

    seen = evidence(reading, Transcript(unanswered=frozenset(requests)))

    assert seen.unanswered == unanswered


@pytest.mark.parametrize(
    ("asked", "counted"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        (f"{MODEL}[1m]", f"{MODEL}[1m]"),
        (MODEL, MODEL),
        ("claude-opus-4-5", MODEL),
        (None, MODEL),
    ],
)
def test_tokens_are_counted_under_the_name_that_the_run_asked_for(
    asked: str | None, counted: str
) -> None:
    reading = a_reading(model=asked, msg_1=usage())

    assert set(evidence(reading, Transcript()).usage.models) == {counted}


def test_the_transcript_knows_better_what_a_subagent_asked_for() -> None:
    reading = a_reading(model="claude-opus-4-5", msg_1=usage())
    transcript = Transcript(answers=(a_sighting(model="sonnet-alias"),))

    assert set(evidence(reading, transcript).usage.models) == {"sonnet-alias"}


sightings = st.lists(
    st.builds(
        Sighting,
        message_id=st.sampled_from(("msg_1", "msg_2")),
        request_ids=st.frozensets(st.sampled_from(("req_1", "req_2"))),
        hour_writes=st.integers(0, 9),
        terms=st.sampled_from(("", "fast")),
        model=st.just(MODEL),
        usage=st.builds(usage, st.integers(0, 9), st.integers(0, 9)),
        is_final=st.booleans(),
    ),
    max_size=8,
)


@given(sightings, st.randoms())
def test_the_order_of_sightings_does_not_matter(seen: list[Sighting], random: Any) -> None:
    shuffled = list(seen)
    random.shuffle(shuffled)

    def known(answers: tuple[Sighting, ...]) -> list[tuple[ModelUsage, bool]]:
        return [(one.usage, one.is_final) for one in answers]

    assert known(merged(shuffled)) == known(merged(seen))


@given(sightings)
def test_seeing_everything_again_changes_nothing(seen: list[Sighting]) -> None:
    assert merged([*seen, *seen]) == merged(seen) == merged(merged(seen))

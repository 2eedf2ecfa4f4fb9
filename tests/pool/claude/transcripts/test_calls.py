from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from pool.claude.transcripts.calls import NEAR, KnownCalls
from pool.usage.records import Call, ModelUsage, Usage, UsageRecord, UsageSource
from tests.support.values.examples import NOON, SONNET


def a_record(
    id_: str,
    call: Call | None,
    *,
    at: datetime = NOON,
    model: str = SONNET,
    output_tokens: int = 20,
) -> UsageRecord:
    usage = ModelUsage(input_tokens=100, output_tokens=output_tokens, cost_nano_usd=600_000)
    return UsageRecord(
        id=f"outside:{id_}",
        subscription_id="sub1",
        timestamp=at,
        source=UsageSource.OUTSIDE,
        call=call,
        usage=Usage(models={model: usage}),
    )


def in_a_transcript(
    message_id: str = "msg_1", *request_ids: str, at: datetime = NOON, output_tokens: int = 20
) -> UsageRecord:
    call = Call(message_id=message_id, request_ids=request_ids)
    model = f"{SONNET}-20250929"
    return a_record(message_id, call, at=at, model=model, output_tokens=output_tokens)


def in_telemetry(request_id: str | None = None, *, at: datetime = NOON) -> UsageRecord:
    call = Call(request_ids=(request_id,) if request_id else ())
    return a_record(request_id or f"digest-{at}", call, at=at)


def counted(*records: UsageRecord) -> int:
    known, count = KnownCalls(), 0
    for record in records:
        if not known.take(record):
            known.add(record)
            count += 1
    return count


def test_one_answer_under_several_requests_is_one_call() -> None:
    assert counted(in_a_transcript("msg_1", "req_1"), in_a_transcript("msg_1", "req_2")) == 1
    assert counted(in_a_transcript("msg_1", "req_1"), in_a_transcript("msg_1")) == 1


def test_two_answers_are_two_calls_though_their_requests_bear_one_name() -> None:
    assert counted(in_a_transcript("msg_1", "proxy"), in_a_transcript("msg_2", "proxy")) == 2


@pytest.mark.parametrize("request_ids", [("req_1",), ("req_1", "req_2"), ()])
@pytest.mark.parametrize("told_id", ["req_1", None])
def test_a_transcript_and_telemetry_of_one_call_are_one(
    request_ids: tuple[str, ...], told_id: str | None
) -> None:
    transcript = in_a_transcript("msg_1", *request_ids)
    telemetry = in_telemetry(told_id, at=NOON + NEAR)

    assert counted(transcript, telemetry) == counted(telemetry, transcript) == 1


@pytest.mark.parametrize(
    "transcript",
    [
        in_a_transcript("msg_1", "req_2"),
        in_a_transcript(at=NOON + NEAR + timedelta(seconds=1)),
        in_a_transcript(output_tokens=21),
    ],
    ids=["another request", "another time", "another count"],
)
def test_what_differs_is_not_taken_for_one(transcript: UsageRecord) -> None:
    assert counted(transcript, in_telemetry("req_1")) == 2


def test_two_calls_that_look_alike_stay_two() -> None:
    later = NOON + timedelta(seconds=1)
    transcripts = in_a_transcript("msg_1"), in_a_transcript("msg_2", at=later)
    telemetry = in_telemetry(), in_telemetry(at=later)

    assert counted(*transcripts, *telemetry) == 2
    assert counted(*telemetry, *transcripts) == 2
    assert counted(telemetry[0], *transcripts) == 2
    assert counted(*transcripts, *transcripts) == 2


def test_an_answer_that_was_paired_by_its_request_is_paired_no_more() -> None:
    told = in_telemetry("req_1")

    assert counted(told, in_a_transcript("msg_1", "req_1"), in_a_transcript("msg_2")) == 2


def test_a_name_that_was_learned_of_a_counted_call_holds() -> None:
    bare, forked = in_a_transcript("msg_1"), in_a_transcript("msg_1", "req_1")

    assert counted(bare, forked, in_telemetry("req_1", at=NOON + timedelta(hours=1))) == 1


@pytest.mark.parametrize("old", ["req_1", "msg_1"])
def test_records_from_before_calls_were_noted_are_known_by_their_id(old: str) -> None:
    assert counted(a_record(old, None), in_a_transcript("msg_1", "req_1")) == 1


def test_what_is_forgotten_is_not_known() -> None:
    known = KnownCalls([in_a_transcript("msg_1", "req_1"), in_telemetry(at=NOON)])

    known.forget(NOON)
    assert known.take(in_telemetry("req_1"))
    known.forget(NOON + timedelta(seconds=1))
    assert not known.take(in_a_transcript("msg_1", "req_1"))

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.claude.output.stream import StreamReading, reading_of
from pool.limits.windows import Window
from pool.usage.records import ModelUsage
from tests.support.suite.paths import CLI_RUNS

CASES = sorted(folder.name for folder in CLI_RUNS.iterdir() if folder.is_dir())
NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


def printed(case: str) -> bytes:
    return (CLI_RUNS / case / "stdout").read_bytes()


def read(*printed: bytes) -> StreamReading:
    return reading_of(b"".join(printed).split(b"\n"), NOW)


@given(case=st.sampled_from(CASES), repeats=st.lists(st.integers(0, 40), max_size=8))
def test_lines_that_are_printed_again_count_once(case: str, repeats: list[int]) -> None:
    lines = printed(case).splitlines(keepends=True)
    again = [lines[index] for index in repeats if index < len(lines)]

    once, twice = read(*lines), read(*lines, *again)

    assert twice.messages == once.messages
    by_id = [{one["uuid"] for one in reading.results} for reading in (once, twice)]
    assert by_id[0] == by_id[1]
    assert len(twice.results) == len(once.results)
    assert len(twice.limits) == len(once.limits)


@given(data=st.binary(max_size=3000))
def test_no_output_can_break_the_reader(data: bytes) -> None:
    assert read(data).garbage_lines <= data.count(b"\n") + 1


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    type_=st.sampled_from(["system", "result", "assistant", "stream_event", "rate_limit_event"]),
    name=st.sampled_from(["message", "event", "rate_limit_info", "usage", "subtype", "uuid"]),
    value=JSON,
)
def test_a_field_may_hold_anything(type_: str, name: str, value: object) -> None:
    read(json.dumps({"type": type_, name: value}).encode())


def test_init_tells_session_model_and_version() -> None:
    reading = read(printed("success-stream-oauth"))

    assert reading.init_seen
    assert reading.session_id == "634fbb1e-4256-459f-9794-14ea9ca8dac8"
    assert reading.model == "claude-sonnet-4-5-20250929"
    assert reading.cli_version == "2.1.330"


@pytest.mark.parametrize("case", ["success-json", "json-verbose-array", "success-stream-oauth"])
def test_one_object_an_array_and_lines_are_all_read(case: str) -> None:
    result = read(printed(case)).result

    assert result is not None
    assert result["num_turns"] == 1


def test_of_a_message_seen_several_times_the_largest_counts_are_kept() -> None:
    reading = read(printed("success-stream-partial-messages"))

    expected = ModelUsage(input_tokens=100, output_tokens=20)
    assert [each.models for each in reading.messages.values()] == [
        {"claude-sonnet-4-5-20250929": expected}
    ]


def test_messages_that_the_cli_made_up_itself_are_not_counted() -> None:
    assert read(printed("limit-rejected-five-hour")).messages == {}


def test_a_limit_is_read_with_its_windows_and_kept_raw() -> None:
    (event,) = read(printed("limit-rejected-seven-day")).limits

    reset = datetime.fromtimestamp(1795523935, UTC)
    assert (event.status, event.type, event.resets_at) == ("rejected", "seven_day", reset)
    assert event.windows["seven_day"] == Window(
        status="rejected", observed_at=NOW, utilization=1.0, resets_at=reset
    )
    assert event.raw["overageStatus"] == "rejected"


def test_a_limit_of_one_model_is_read_from_the_events_own_fields() -> None:
    info = {"status": "allowed_warning", "rateLimitType": "seven_day_opus", "utilization": 0.93}
    line = json.dumps({"type": "rate_limit_event", "rate_limit_info": info}).encode()

    (event,) = read(line).limits

    assert event.windows["seven_day_opus"].utilization == 0.93


def test_retries_are_counted() -> None:
    line = json.dumps({"type": "system", "subtype": "api_retry", "uuid": "u%d"}).encode()

    assert read(*(line.replace(b"%d", b"%d" % n) + b"\n" for n in (1, 2, 2))).api_retries == 2


def test_garbage_between_lines_is_counted_and_passed_over() -> None:
    reading = read(b"Warning: something\n42\n" + printed("success-stream-oauth") + b"{oops")

    assert reading.garbage_lines == 3
    assert reading.result is not None

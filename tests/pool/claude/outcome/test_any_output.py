"""Whatever the CLI prints, in whatever order, and however it ends."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.output.stream import reading_of
from pool.executions.outcome import Completed, Outcome

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
MODEL = "claude-sonnet-4-5"
SESSION = "77ae021c-28d4-400d-9fda-9c9f53307d0d"
TURN = 600_000

Lines = list[dict[str, Any] | bytes]


def a_launch(**fields: Any) -> Launch:
    known = {"run_id": "exec_1", "prompt": "p", "session_id": SESSION, "resumes": False}
    return Launch(**{**known, "model": MODEL, "timeout_seconds": 600, **fields})


def result(**fields: Any) -> dict[str, Any]:
    used = {MODEL: {"inputTokens": 100, "outputTokens": 20, "costUSD": 0.0006}}
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "num_turns": 1,
        "result": "the answer",
        "total_cost_usd": 0.0006,
        "model_usage_since_last_result": used,
        **fields,
    }


NOTHING = {"total_cost_usd": 0, "model_usage_since_last_result": {}}
ANSWER = result()
NOTICE = result(result="", num_turns=0, **NOTHING)
SPURIOUS = result(
    subtype="error_during_execution", is_error=True, num_turns=0, result=None, **NOTHING
)

text = st.text(st.characters(), max_size=20)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    (
        *("subtype", "is_error", "num_turns", "result", "errors", "api_error", "api_error_status"),
        *("stop_reason", "terminal_reason", "origin", "structured_output", "usage", "modelUsage"),
        *("model_usage_since_last_result", "total_cost_usd", "uuid", "session_id"),
    )
)
messages = st.one_of(
    st.just({"type": "system", "subtype": "init", "session_id": SESSION, "model": MODEL}),
    st.builds(
        lambda words, of: {
            "type": "assistant",
            "parent_tool_use_id": of,
            "message": {"id": "m", "model": MODEL, "content": [{"type": "text", "text": words}]},
        },
        text,
        st.sampled_from((None, "toolu_1")),
    ),
    st.builds(
        lambda type_, name, value: {"type": type_, name: value},
        st.sampled_from(("system", "assistant", "user", "stream_event", "rate_limit_event", "x")),
        st.sampled_from(("message", "event", "rate_limit_info", "subtype", "error")),
        anything,
    ),
)
noise = st.binary(max_size=30).map(lambda data: data.replace(b"{", b"").replace(b"[", b""))
odd_results = st.builds(
    lambda base, odd: {**base, **odd},
    st.sampled_from((ANSWER, NOTICE, SPURIOUS)),
    st.dictionaries(fields, anything, max_size=4),
)
endings = st.builds(
    lambda code, number, by: Ending(exit_code=code, signal=number, ended_by=by, stderr="oops"),
    st.none() | st.integers(0, 255),
    st.none() | st.sampled_from((2, 9, 11, 15)),
    st.none() | st.sampled_from([each for each in EndedBy if each is not EndedBy.OUTPUT_LIMIT]),
)


def concluded(lines: Iterable[dict[str, Any] | bytes], ending: Ending, **launch: Any) -> Outcome:
    printed = (json.dumps(line).encode() if isinstance(line, dict) else line for line in lines)
    return conclude(reading_of(printed, NOW), ending, a_launch(**launch))


def with_ids(lines: Lines) -> Lines:
    return [
        {**line, "uuid": f"u{place}"} if isinstance(line, dict) else line
        for place, line in enumerate(lines)
    ]


@given(
    before=st.lists(messages | noise | st.just(NOTICE), max_size=5),
    after=st.lists(messages | noise | st.sampled_from((NOTICE, SPURIOUS)), max_size=5),
    ending=endings,
)
def test_a_whole_answer_is_never_lost(before: Lines, after: Lines, ending: Ending) -> None:
    outcome = concluded(with_ids([*before, ANSWER, *after]), ending)

    assert isinstance(outcome, Completed)
    assert outcome.result.endswith("the answer")
    assert outcome.usage.cost_nano_usd == TURN


@given(
    lines=st.lists(messages | noise | st.sampled_from((ANSWER, NOTICE, SPURIOUS)), max_size=8),
    ending=endings,
)
def test_what_is_booked_is_the_sum_of_all_results(lines: Lines, ending: Ending) -> None:
    outcome = concluded(with_ids(lines), ending)

    assert outcome.usage.cost_nano_usd == TURN * lines.count(ANSWER)


@given(
    lines=st.lists(messages | noise | odd_results, max_size=8),
    ending=endings,
    resumes=st.booleans(),
    schema=st.none() | st.just({"type": "object"}),
)
def test_every_run_has_an_outcome_that_can_be_kept_and_sent(
    lines: Lines, ending: Ending, resumes: bool, schema: dict[str, Any] | None
) -> None:
    outcome = concluded(lines, ending, resumes=resumes, json_schema=schema)

    assert outcome.model_dump_json().encode()

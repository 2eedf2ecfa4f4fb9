"""Runs of the CLI to conclude: what they printed, and how they ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.ending import Ending
from pool.claude.output.stream import StreamReading, reading_of
from pool.executions.outcome import Failed, FailureKind
from tests.support.suite.paths import CLI_RUNS

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
SESSION = "77ae021c-28d4-400d-9fda-9c9f53307d0d"
MODEL = "claude-sonnet-4-5-20250929"
TURN = 600_000
F = FailureKind
NO_EVIDENCE = False


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


def said(text: str, id_: str = "msg_1", **fields: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {
        "type": "assistant",
        "message": {"id": id_, "model": MODEL, "content": content},
        **fields,
    }

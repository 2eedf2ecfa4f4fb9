"""What the CLI prints: the cases, and what a case is.

A line says what was printed, by whom, and what must come of it. ``runs`` are by subscription, in
the order in which they are asked while they are equally healthy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.support.clis.scripted_cli import COST, OK, Prints, error, failed, init, ok, prints, says


@dataclass(frozen=True)
class Comes:
    """What must come of a case's last request, and of all of them for the books."""

    result: str | None = "yes"
    status: str = "succeeded"
    error: str | None = None
    http: int = 200
    """Of ``POST /v1/executions``, waiting."""
    retry_after: timedelta | None = None
    """When a caller that was turned away may ask again."""
    dialects: int = 200
    """Of ``POST /v1/messages``; OpenAI's API has 503 for 529."""
    messages_error: str | None = None
    """The type of the error that Anthropic's API would name."""
    text: str | None = "yes"
    """The answer as both dialects show it."""
    stop_reason: str = "end_turn"
    cost: str = COST
    """What all subscriptions have recorded, in US dollars."""
    attempts: tuple[tuple[str, str], ...] = (("sub1", "completed"),)
    asked: tuple[str, ...] | None = None
    """Whom all runs of all requests went to, one after the other; None: not looked at."""
    states: Mapping[str, str] = field(default_factory=dict)
    """Of the subscriptions that are not available at the end."""
    windows: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """What is known at the end to be used of the windows that still count; by subscription."""
    alerts: tuple[str, ...] = ()
    """The kinds of all alerts, sorted."""


@dataclass(frozen=True)
class Case:
    name: str
    runs: Mapping[str, Sequence[Prints]]
    comes: Comes
    request: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the request beside its prompt."""
    before: tuple[Mapping[str, Any] | timedelta, ...] = ()
    """What happens before it: other requests, by their fields beside the prompt, and time."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of every subscription."""
    each: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further settings, by subscription."""

    @property
    def has_schema(self) -> bool:
        return "json_schema" in self.request


def alone(*runs: Prints) -> dict[str, Sequence[Prints]]:
    return {"sub1": runs}


def beside(*runs: Prints) -> dict[str, Sequence[Prints]]:
    """Beside a subscription with which nothing is wrong."""
    return {"sub1": runs, "sub2": (OK,)}


NO_COST: dict[str, Any] = {
    "total_cost_usd": 0,
    "modelUsage": {},
    "model_usage_since_last_result": {},
}
NOTICE = ok("", num_turns=0, **NO_COST)
"""A success that took no turn: a background task tells that it has ended."""
SPURIOUS = error(None, None, "", subtype="error_during_execution", num_turns=0, errors=["late"])
LONG_PAUSE = 0.8
"""Longer than a CLI may linger here after its result."""


def deep(levels: int) -> Any:
    return [deep(levels - 1)] if levels else 1


TITLE = b"\x1b]0;claude\x07"
AS_BYTES = json.dumps(ok()).encode()


def ends_in(
    kind: str,
    *,
    dialects: int = 500,
    messages_error: str = "api_error",
    cost: str = COST,
    **comes: Any,
) -> Comes:
    """An execution that fails without anybody being blamed; nor is anybody else tried, unless
    ``attempts`` says so.
    """
    return Comes(
        result=None,
        status="failed",
        error=kind,
        dialects=dialects,
        messages_error=messages_error,
        cost=cost,
        **{"attempts": (("sub1", kind),), **comes},
    )


CLI_OUTPUT: tuple[Case, ...] = (
    Case("an ordinary answer", alone(OK), Comes()),
    Case(
        "a notice before the real turn is not the answer",
        alone(prints(init(), NOTICE, LONG_PAUSE, says("yes"), ok())),
        Comes(),
    ),
    Case("an error after the answer", alone(prints(init(), ok(), SPURIOUS, exit=1)), Comes()),
    Case("exit 1 after the answer", alone(prints(init(), ok(), exit=1)), Comes()),
    Case("exit 143 after the answer", alone(prints(init(), ok(), exit=143)), Comes()),
    Case("killed after the answer", alone(prints(init(), ok(), kills_itself="KILL")), Comes()),
    Case("will not end after the answer", alone(prints(init(), ok(), lingers=True)), Comes()),
    Case("an empty result of an answer", alone(prints(init(), says("yes"), ok(""))), Comes()),
    Case(
        "an answer that went on where it was cut off",
        alone(prints(init(), says("y"), says("es", id="msg_2"), ok("es"))),
        Comes(),
    ),
    Case(
        "a turn of a background task before the real one",
        alone(
            prints(
                init(),
                ok("", origin={"kind": "task-notification"}, **NO_COST),
                LONG_PAUSE,
                says("yes"),
                ok(),
            )
        ),
        Comes(),
    ),
    Case(
        "nothing at all, and billed",
        beside(prints(init(), ok(""))),
        ends_in("empty_answer"),
    ),
    Case(
        "cut off at its longest",
        alone(prints(init(), ok(stop_reason="max_tokens"))),
        Comes(stop_reason="max_tokens"),
    ),
    Case(
        "longer than the model may write",
        beside(
            failed(
                None,
                None,
                "API Error: Claude's response exceeded the 32000 output token maximum.",
                total_cost_usd=0.0006,
                model_usage_since_last_result=ok()["modelUsage"],
            )
        ),
        ends_in("answer_too_long", dialects=400, messages_error="invalid_request_error"),
    ),
    *(
        Case(
            f"a full context, {told}",
            beside(failed(status, type_, text, **fields)),
            ends_in("context_full", dialects=400, messages_error="invalid_request_error", cost="0"),
        )
        for told, status, type_, text, fields in (
            ("told by the API", 400, "invalid_request_error", "prompt is too long: 3 > 2", {}),
            ("told by the CLI", None, None, "Prompt is too long", {}),
            ("by its name", None, None, "", {"terminal_reason": "prompt_too_long"}),
            ("by its size", 413, "request_too_large", "Request exceeds the maximum size", {}),
        )
    ),
    Case(
        "half a surrogate pair",
        alone(prints(init(), ok("yes\ud83d"))),
        Comes(result="yes\ufffd", text="yes\ufffd"),
    ),
    Case("NUL", alone(prints(init(), ok("yes\0"))), Comes(result="yes\ufffd", text="yes\ufffd")),
    Case(
        "a number that is none, and a depth that nobody can be sent",
        alone(prints(init(), ok("yes", structured_output={"a": float("nan"), "b": deep(300)}))),
        Comes(),
    ),
    Case("a title on the line", alone(prints(init(), TITLE + AS_BYTES + b"\n")), Comes()),
    Case("two messages on a line", alone(prints(init(), b"{}" + AS_BYTES + b"\n")), Comes()),
    Case("no end of the last line", alone(prints(init(), AS_BYTES)), Comes()),
    Case(
        "noise around the answer", alone(prints("warning {", init(), "<b>", ok(), "bye")), Comes()
    ),
    Case(
        "an answer off its schema",
        beside(prints(init(), ok("words"))),
        ends_in("schema_mismatch"),
        request={"json_schema": {"type": "object"}},
    ),
    Case(
        "an answer of another kind than an object",
        alone(prints(init(), ok("", structured_output={"pool_answer": ["yes"]}))),
        Comes(result='["yes"]', text='["yes"]'),
        request={"json_schema": {"type": "array"}},
    ),
    Case(
        "no answer within the schema's tries",
        beside(
            failed(
                None,
                None,
                "",
                subtype="error_max_structured_output_retries",
                total_cost_usd=0.0006,
                model_usage_since_last_result=ok()["modelUsage"],
            )
        ),
        ends_in("schema_mismatch"),
        request={"json_schema": {"type": "object"}},
    ),
)

"""The behaviour of the next answer: said from Python, over HTTP, or by a marker inside the prompt
itself.

`[[standin stall]]`, `[[standin status=529]]`, `[[standin slow seconds=3 chunks=20]]`, `[[standin
in=1000 out=50]]`: a word names what happens, `key=value` pairs fill a `Behaviour`. `text=` and
`input=` take the rest of their marker; several markers add up. What a marker says beats the queue
of next answers, which beats the standing rule; a credential's own queue and rule beat those for
everybody. A marker that cannot be read is answered 400 with the reason.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Json, TypeAdapter, model_validator

from api.demo.standin.bill import Usage
from api.demo.standin.quota import WindowName

MAX_SECONDS = 600
MAX_QUEUED = 1_000

Kind = Literal[
    "answer",
    "refusal",
    "max_tokens",
    "tool",
    "stall",
    "cut",
    "drop",
    "error_event",
    "error",
    "usage_limit",
]


class Call(BaseModel):
    """A call of a tool. A name without `mcp__` is also that of a tool of some MCP server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    input: dict[str, Any] = {}
    id: str | None = None


class Behaviour(BaseModel):
    """What one answer does.

    `answer` and `refusal` end normally, `max_tokens` where the model may write no more; `tool`
    asks for `steps` tool calls first, or makes several `calls` at once, after `text`. `stall`
    falls silent half way until it is released, the client leaves, or `max_stall_seconds` have
    passed; `cut` closes the connection half way, `drop` before the first byte, `error_event`
    reports an overload half way. `error` answers with `status` and the words of `text`,
    `usage_limit` with the 429 of a subscription whose `window` is used up. Errors are not billed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "answer"
    usage: Usage = Usage()
    caches: bool = Field(
        default=False,
        description="count what the request has, and what of it the cache of prompts knows, in the "
        "place of the usage's input",
    )
    text: str | None = Field(
        default=None, description="the answer; by default one derived from the request"
    )
    thought: str | None = Field(
        default=None, description="what the model thinks before it answers, where it is to think"
    )
    megabytes: float = Field(default=0, ge=0, le=64, description="pad the answer to this many MB")
    delay_seconds: float = Field(
        default=0, ge=0, le=MAX_SECONDS, description="before the first byte"
    )
    seconds: float = Field(default=0, ge=0, le=MAX_SECONDS, description="spread over the chunks")
    chunks: int = Field(default=4, ge=1, le=10_000)
    max_stall_seconds: float = Field(default=120, gt=0, le=MAX_SECONDS)
    status: Literal[400, 401, 403, 404, 413, 429, 500, 529] | None = None
    window: WindowName = "five_hour"
    resets_in_seconds: float = Field(default=3600, gt=0)
    name: str = Field(default="Bash", description="the tool to call")
    input: dict[str, Any] | None = Field(
        default=None, description="the tool's input, or the instance where a schema is asked for"
    )
    steps: int = Field(default=1, ge=1, le=100)
    at_once: int = Field(default=1, ge=1, le=100, description="how many calls a step makes")
    calls: tuple[Call, ...] = Field(default=(), max_length=200)

    @model_validator(mode="after")
    def _a_status_is_an_error(self) -> Self:
        if (self.status is not None) != (self.kind == "error"):
            raise ValueError("`status` goes with kind `error`, and only with it")
        if self.calls and self.kind != "tool":
            raise ValueError("`calls` go with kind `tool`, and only with it")
        return self


class UnreadableMarker(ValueError):
    """A marker in the prompt that is not of the form this module describes."""


_MARKER = re.compile(r"\[\[standin\s+(.*?)\]\]", re.DOTALL)
_REST = re.compile(r"\b(text|input)=(.*)$", re.DOTALL)
_WORDS: dict[str, dict[str, Any]] = {
    "slow": {"seconds": 2.0},
    "empty": {"text": "", "usage": {"output_tokens": 0}},
    "huge": {"megabytes": 1},
    "caches": {"caches": True},
    "unauthorized": {"kind": "error", "status": 401},
    "credit_too_low": {"kind": "error", "status": 400},
    "burst": {"kind": "error", "status": 429},
    "overloaded": {"kind": "error", "status": 529},
}
_USAGE_KEYS = {
    "in": "input_tokens",
    "out": "output_tokens",
    "cache_5m": "cache_creation_5m_input_tokens",
    "cache_1h": "cache_creation_1h_input_tokens",
    "cache_read": "cache_read_input_tokens",
}
_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(Json[dict[str, Any]])


def marked(prompt: str) -> Behaviour | None:
    """What the markers in `prompt` ask for; None without any. Raises `UnreadableMarker`."""
    fields: dict[str, Any] = {}
    found = False
    try:
        for marker in _MARKER.finditer(prompt):
            found = True
            _read(marker.group(1), fields)
        return Behaviour.model_validate(fields) if found else None
    except ValueError as error:
        raise UnreadableMarker(str(error)) from error


def _read(marker: str, fields: dict[str, Any]) -> None:
    if rest := _REST.search(marker):
        key, value = rest.groups()
        fields[key] = value if key == "text" else _OBJECT.validate_python(value)
        marker = marker[: rest.start()]
    for word in marker.split():
        key, equals, value = word.partition("=")
        if not equals:
            shortcut = dict(_WORDS.get(word, {"kind": word}))
            usage = shortcut.pop("usage", {})
            fields.update(shortcut)
            fields["usage"] = {**fields.get("usage", {}), **usage}
        elif key in _USAGE_KEYS:
            fields["usage"] = {**fields.get("usage", {}), _USAGE_KEYS[key]: int(value)}
        elif key == "status":
            fields.update(kind="error", status=int(value))
        else:
            fields[key] = value


class Script:
    """The behaviours to come. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str | None, deque[Behaviour]] = {}
        self._rules: dict[str | None, Behaviour] = {}

    def queue(self, credential: str | None, behaviours: tuple[Behaviour, ...]) -> None:
        """Let the next answers (to a credential's fingerprint, or to anybody) be these, one each,
        in order.

        Raises ValueError when more than `MAX_QUEUED` would wait.
        """
        with self._lock:
            queue = self._queues.setdefault(credential, deque())
            if len(queue) + len(behaviours) > MAX_QUEUED:
                raise ValueError(f"at most {MAX_QUEUED} behaviours may wait")
            queue.extend(behaviours)

    def rule(self, credential: str | None, behaviour: Behaviour | None) -> None:
        """Let every answer without a queued behaviour be this one; None takes the rule away."""
        with self._lock:
            if behaviour is None:
                self._rules.pop(credential, None)
            else:
                self._rules[credential] = behaviour

    def take(self, credential: str) -> Behaviour:
        """The behaviour for a request that arrives now; a queued one is used up."""
        with self._lock:
            for key in (credential, None):
                if queue := self._queues.get(key):
                    return queue.popleft()
            return self._rules.get(credential) or self._rules.get(None) or Behaviour()

    def clear(self) -> None:
        """Back to plain answers."""
        with self._lock:
            self._queues.clear()
            self._rules.clear()

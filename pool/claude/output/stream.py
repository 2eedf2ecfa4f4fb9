"""The CLI's output, read without doing any I/O.

Lines go in one after the other; a ``StreamReading`` says what has been understood so far. The same
reader takes a line of JSON a message (``stream-json``), a single object (``json``) and an
array (``json --verbose``). Messages of unknown types are passed over, lines without any are
counted.

Messages repeat: a partial message comes once a content block and again when it ends, each time
with other token counts. They are kept apart by their id, and of each count the largest is kept:
the first would be too small, the sum too large.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import Field, NonNegativeInt

from pool.claude.output.lines import messages_of
from pool.claude.output.messages import SYNTHETIC, stopped_by, thoughts
from pool.claude.output.progress import ProgressReader
from pool.claude.output.rate_limit_event import rate_limit_event
from pool.claude.output.tokens import count, larger, message_usage
from pool.executions.content.turn import ThinkingPart
from pool.executions.progress import Text, ToolCalled, ToolUse, Withdrawn
from pool.executions.schemas.answer_schema import opened
from pool.limits.windows import RateLimitEvent
from pool.usage.records import ModelUsage, Usage
from pool.values import Value

_STRUCTURED_OUTPUT = "StructuredOutput"
"""The CLI's own tool, in which the model answers where a schema was asked for."""


class StreamReading(Value):
    """What one run printed, as far as it was understood."""

    init_seen: bool = False
    """The CLI was about to ask the API; what ends before this has spent nothing."""
    session_id: str | None = None
    model: str | None = None
    cli_version: str | None = None
    results: tuple[dict[str, Any], ...] = ()
    """All ``result`` messages as they were printed, each once: a run may be charged in several."""
    said: tuple[str, ...] = ()
    """What the main thread said last in the turn of each result, after its last use of a tool, as
    a caller that reads along has it."""
    cut_off: str | None = None
    """What it had said when the model was first cut off at its longest: there the answer of a
    caller ends who has bounded it, though the CLI has the model go on."""
    stop_sequence: str | None = None
    """The one that its last answer ended before."""
    thinking: tuple[ThinkingPart, ...] = ()
    """What was shown of the model's thinking, up to where it was cut off."""
    used_tools: bool = False
    error_class: str | None = None
    """What the CLI calls the last error that it put in the place of an answer."""
    limits: tuple[RateLimitEvent, ...] = ()
    api_retries: NonNegativeInt = 0
    messages: dict[str, Usage] = Field(default_factory=dict)
    """By message id: what the API said of each answer that began."""
    finished: frozenset[str] = frozenset()
    """Ids of the answers whose last counts were printed."""
    garbage_lines: NonNegativeInt = 0

    @property
    def result(self) -> dict[str, Any] | None:
        """The result that counts: the first that is the run's, else the best of the others.

        Before it one without a turn may tell of a background task. After it the CLI may fail while
        it tidies up, or go on for a background task: by then the answer has left.
        """
        return self._counts[0]

    @property
    def answer(self) -> str:
        """The text of the result that counts.

        Seen in the field: an empty result though the model's message has the answer. Seen of
        2.1.330: an answer longer than the model may write goes on in further messages, and the
        result repeats the last one alone.
        """
        result, said = self._counts
        text, _ = opened(result or {})
        text = text if isinstance(text, str) else ""
        return said if said.rstrip().endswith(text.rstrip()) else text

    @property
    def _counts(self) -> tuple[dict[str, Any] | None, str]:
        results = [*zip(self.results, self.said, strict=True)]
        best = max(reversed(results), key=lambda each: _worth(*each), default=(None, ""))
        return next((each for each in results if is_the_runs(each[0])), best)


def is_answer(result: dict[str, Any]) -> bool:
    """Whether a result is free of errors and took a turn of the model."""
    return not is_error(result) and count(result.get("num_turns")) >= 1


def is_error(result: dict[str, Any]) -> bool:
    """Whether a result reports an error. Older releases tell some by the subtype alone."""
    return result.get("is_error") is not False or str(result.get("subtype")).startswith("error")


def is_the_runs(result: dict[str, Any]) -> bool:
    """Whether a result ends the run: the supervisor knows it by the same words
    (``process.supervisor.output``). One of a turn that was set off by a background task's end, and
    not by the prompt, does not; nor does one without a turn, unless it is an error.
    """
    origin = result.get("origin")
    if isinstance(origin, dict) and origin.get("kind") == "task-notification":
        return False
    return bool(result.get("is_error") or result.get("num_turns"))


def _worth(result: dict[str, Any], said: str) -> int:
    """Which of the results that are not the run's counts: the last one of the most worth."""
    if not is_answer(result):
        return int(is_error(result)) + int(count(result.get("num_turns")) > 0)
    is_empty = not (said or result.get("result") or result.get("structured_output") is not None)
    return 3 if is_empty else 4


def reading_of(lines: Iterable[bytes], printed_at: datetime) -> StreamReading:
    """What the lines of a whole output say."""
    reader = StreamReader(printed_at)
    for line in lines:
        reader.take(line)
    return reader.reading()


class StreamReader:
    """Reads the output of one run. ``now`` is when it was printed, the time of its limits."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._seen: dict[str, Any] = {}
        self._results: dict[str, tuple[dict[str, Any], str]] = {}
        self._progress = ProgressReader()
        self._said: list[str] = []
        self._thinking: list[ThinkingPart] = []
        self._stands_alone = False
        """A tool was used since: what is said next begins anew."""
        self._limits: dict[str, RateLimitEvent] = {}
        self._retries: set[str] = set()
        self._messages: dict[str, tuple[str, ModelUsage]] = {}
        self._finished: set[str] = set()
        self._open_message: str | None = None
        self._used_tools = False
        self._garbage_lines = 0

    def take(self, line: bytes) -> None:
        """Take the next line."""
        messages = messages_of(line)
        if not messages and line.strip():
            self._garbage_lines += 1
        for message in messages:
            self._take(message)

    def reading(self) -> StreamReading:
        """What has been read so far."""
        return StreamReading(
            **self._seen,
            results=tuple(result for result, _ in self._results.values()),
            said=tuple(said for _, said in self._results.values()),
            thinking=tuple(self._thinking),
            used_tools=self._used_tools,
            limits=tuple(self._limits.values()),
            api_retries=len(self._retries),
            messages={
                id_: Usage(models={model: usage}) for id_, (model, usage) in self._messages.items()
            },
            finished=frozenset(self._finished),
            garbage_lines=self._garbage_lines,
        )

    def _take(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "system":
                self._take_system(message)
            case "stream_event":
                self._take_event(message.get("event"), message.get("api_message_id"))
            case "assistant":
                if message.get("parent_tool_use_id") is None:
                    self._note(error_class=message.get("error"))
                self._take_message(message.get("message"))
            case "rate_limit_event":
                if event := rate_limit_event(message, self._now, self._seen.get("model")):
                    self._limits[_identity(message, len(self._limits))] = event
            case "result":
                self._take_result(message)
            case _:
                pass
        if message.get("type") in ("assistant", "stream_event"):
            self._take_words(message)
            self._take_stop(message)

    def _take_result(self, message: dict[str, Any]) -> None:
        self._note(session_id=message.get("session_id"))
        # A repeated result is the same one.
        id_ = _identity(message, len(self._results))
        self._results.setdefault(id_, (message, "".join(self._said)))
        self._said, self._stands_alone = [], False

    def _take_words(self, message: dict[str, Any]) -> None:
        """What the main thread says, as it is shown to those who read along."""
        for event in self._progress.take(message, self._now):
            match event:
                case Text(text=text):
                    if self._stands_alone:
                        self._said, self._stands_alone = [], False
                    self._said.append(text)
                case Withdrawn(text_characters=size):
                    said = "".join(self._said)
                    self._said = [said[: len(said) - size]]
                case ToolCalled():
                    self._stands_alone = self._used_tools = True
                case ToolUse(name=name):
                    self._stands_alone = True
                    self._used_tools = self._used_tools or name != _STRUCTURED_OUTPUT
                case _:
                    pass

    def _take_stop(self, message: dict[str, Any]) -> None:
        """How an answer of the main thread ended, and what was thought before."""
        reason, sequence = stopped_by(message)
        if reason:
            self._seen["stop_sequence"] = sequence
        if reason == "max_tokens":
            self._seen.setdefault("cut_off", "".join(self._said))
        if "cut_off" not in self._seen:
            self._thinking += [each for each in thoughts(message) if each not in self._thinking]

    def _take_system(self, message: dict[str, Any]) -> None:
        match message.get("subtype"):
            case "init":
                self._seen["init_seen"] = True
                self._note(
                    session_id=message.get("session_id"),
                    model=message.get("model"),
                    cli_version=message.get("claude_code_version"),
                )
            case "api_retry":
                self._retries.add(_identity(message, len(self._retries)))
            case _:
                pass

    def _take_event(self, event: Any, message_id: Any) -> None:
        if not isinstance(event, dict):
            return
        match event.get("type"):
            case "message_start":
                self._open_message = self._take_message(event.get("message"))
            case "message_delta":
                # Older releases do not name the message: it is the one that was begun last.
                id_ = message_id if isinstance(message_id, str) else self._open_message
                if id_ in self._messages:
                    model, known = self._messages[id_]
                    usage = larger(known, message_usage(event.get("usage")))
                    self._messages[id_] = (model, usage)
                    self._finished.add(id_)
            case _:
                pass

    def _take_message(self, message: Any) -> str | None:
        if not isinstance(message, dict):
            return None
        id_, model = message.get("id"), message.get("model")
        if not isinstance(id_, str) or not isinstance(model, str) or model == SYNTHETIC:
            return None
        _, known = self._messages.get(id_, (model, ModelUsage()))
        self._messages[id_] = (model, larger(known, message_usage(message.get("usage"))))
        if message.get("stop_reason") is not None:
            self._finished.add(id_)
        return id_

    def _note(self, **seen: Any) -> None:
        self._seen.update({name: value for name, value in seen.items() if isinstance(value, str)})


def _identity(message: dict[str, Any], position: int) -> str:
    """What tells a message from another: its uuid, or, where it has none, its place."""
    uuid = message.get("uuid")
    return uuid if isinstance(uuid, str) else f"#{position}"

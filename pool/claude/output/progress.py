"""Events of a run in progress, read line by line from its output, without any I/O.

The answer's text comes in pieces (``stream_event``); the message that follows repeats it whole, and
is passed over as far as its blocks were streamed. A CLI that streams nothing is read by its
messages, and where even those bring no text (structured output), by its result. What sub-agents
say is no part of the answer.

Calls of callers' tools come in pieces, too. Where a message that makes some is complete and the
CLI has asked for a result, a round has ended (``RoundEnded``): what it said since the last one is
all that its caller gets. A call that the CLI answers by itself, such as one of a tool that nobody
has, is none; and where a strict tool's call does not fit its schema, none of that answer's is
(``CallsRefused``). So with strict tools all calls are shown where the round ends.

When the API breaks off in the middle of a message the CLI asks again, and the text comes anew,
mostly in other words. Seen of 2.1.330: the broken message ends with ``abandoned_blocks``, whatever
the number of retries; so the pieces are withdrawn by an event, and nothing is guessed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pool.claude.output.lines import messages_of
from pool.claude.output.rate_limit_event import rate_limit_event
from pool.claude.output.tokens import message_usage
from pool.executions.content.turn import ThinkingPart
from pool.executions.progress import (
    AnswerBegan,
    AttemptBegan,
    LimitsSeen,
    Progress,
    RawMessage,
    Text,
    Thinking,
    ToolAnswered,
    ToolCalled,
    ToolCallPiece,
    ToolUse,
    Withdrawn,
)
from pool.executions.schemas.answer_schema import opened
from pool.executions.tools.client_tools import PREFIX, SERVER, ToolCall
from pool.executions.tools.strict_tools import MOST_REFUSED, StrictTools
from pool.usage.records import ModelUsage

MAX_RESULT_CHARACTERS = 100_000
"""Of what a tool answered."""
MAX_RAW_BYTES = 1_000_000
"""A longer message is named by its type and size alone."""
_OF_THE_ANSWER = ("stream_event", "assistant", "user", "result")
_SYNTHETIC = "<synthetic>"
"""The model of messages that the CLI makes up itself: its errors, mostly."""


@dataclass(frozen=True)
class RoundEnded:
    """The caller's turn has come: what was said in this round, and called."""

    number: int
    text: str
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True)
class CallsRefused:
    """The model has made calls that its caller does not get, and is to make others."""

    answers: dict[str, str]
    """What it is told, by call."""
    is_last: bool
    """It has done so too often: there is nothing more to wait for."""


_NONE_STRICT = StrictTools({})


class ProgressReader:
    """Reads the lines of one attempt in their order. ``attempt`` is what is known beforehand; with
    ``stops_at_max_tokens`` its answer is over where the model was cut off at its longest, though
    the CLI has it go on. ``strict`` are the tools whose calls have to fit their schemas.
    """

    def __init__(
        self,
        attempt: AttemptBegan,
        *,
        stops_at_max_tokens: bool = False,
        strict: StrictTools = _NONE_STRICT,
    ) -> None:
        self._attempt = attempt
        self._strict = strict
        self._held: list[ToolCallPiece | ToolCalled] = []
        """Calls that are shown once the round has ended."""
        self._refused = 0
        """Answers in a row whose calls were."""
        self._stops = stops_at_max_tokens
        self._is_over = False
        self._began = False
        self._answered = False
        """Text has come since the last use of a tool: the result repeats it."""
        self._message: str | None = None
        """The message that is streamed, or was streamed last."""
        self._streamed: set[str] = set()
        """Kinds of its blocks that came in pieces."""
        self._text: Counter[int] = Counter()
        """Characters that came of it, by block."""
        self._thinking: Counter[int] = Counter()
        self._pieces: dict[int, ToolCall] = {}
        """Calls of callers' tools that it makes, by block, without their inputs."""
        self._calls: dict[str, ToolCall] = {}
        """Calls of the present round, whole."""
        self._known_calls: set[str] = set()
        self._asked: set[str] = set()
        """Calls that the CLI wants the results of."""
        self._is_complete = False
        """The message is that was begun last."""
        self._round = 0
        self._said = ""

    def copy(self) -> ProgressReader:
        """A reader that goes on from here on its own."""
        return deepcopy(self)

    @property
    def may_end_round(self) -> bool:
        """Whether the next line may end a round."""
        return bool(self._calls)

    def read(
        self, line: bytes, printed_at: datetime, *, raw: bool = False
    ) -> tuple[Progress | RoundEnded | CallsRefused, ...]:
        """The events of the next line; with ``raw``, each message after its own."""
        return tuple(self._events(messages_of(line), printed_at, len(line), raw=raw))

    def _events(
        self, messages: Iterable[dict[str, Any]], printed_at: datetime, size: int, *, raw: bool
    ) -> Iterator[Progress | RoundEnded | CallsRefused]:
        for message in messages:
            yield from self.take(message, printed_at)
            if raw:
                yield _raw(message, size)

    def take(
        self, message: dict[str, Any], printed_at: datetime
    ) -> Iterator[Progress | RoundEnded | CallsRefused]:
        """The events of the next message."""
        if self._stops and stopped_by(message)[0] == "max_tokens":
            self._is_over = True
        is_of_the_answer = message.get("type") in _OF_THE_ANSWER
        if message.get("parent_tool_use_id") is not None or (self._is_over and is_of_the_answer):
            return
        for event in self._taken(message, printed_at):
            self._note_said(event)
            yield from self._shown(event)
        if (id_ := called_id(message)) is not None:
            self._asked.add(id_)
        if self._is_complete and not self._asked.isdisjoint(self._calls):
            yield from self._round_ended()

    def _round_ended(self) -> Iterator[Progress | RoundEnded | CallsRefused]:
        calls, held, self._calls, self._held = self._calls, self._held, {}, []
        if answers := self._strict.refused(calls.values()):
            self._refused += 1
            yield CallsRefused(answers, is_last=self._refused > MOST_REFUSED)
            return
        for event in held:
            if (event.call.id if isinstance(event, ToolCalled) else event.id) in calls:
                yield event
        yield RoundEnded(self._round, self._said, tuple(calls.values()))
        self._round, self._said, self._refused = self._round + 1, "", 0

    def _shown(self, event: Progress) -> Iterator[Progress]:
        """What is shown of an event at once: with strict tools no call before the round's end."""
        match event:
            case ToolCallPiece() | ToolCalled() if self._strict:
                self._held.append(event)
            case Withdrawn(tool_call_ids=ids) if self._strict and ids:
                self._held = [
                    each
                    for each in self._held
                    if not (isinstance(each, ToolCallPiece) and each.id in ids)
                ]
                if event.text_characters or event.thinking_characters:
                    yield event.model_copy(update={"tool_call_ids": ()})
            case _:
                yield event

    def _note_said(self, event: Progress) -> None:
        match event:
            case Text(text=text):
                self._said += text
            case Withdrawn(text_characters=size):
                self._said = self._said[: len(self._said) - size]
            case _:
                pass

    def _taken(self, message: dict[str, Any], printed_at: datetime) -> Iterator[Progress]:
        match message.get("type"):
            case "system" if message.get("subtype") == "init" and not self._began:
                self._began = True
                yield self._attempt.model_copy(
                    update={
                        name: message[name]
                        for name in ("session_id", "model")
                        if isinstance(message.get(name), str)
                    }
                )
            case "stream_event":
                yield from self._piece(
                    _object(message, "event"), _object(message, "abandoned_blocks")
                )
            case "assistant":
                yield from self._whole(_object(message, "message"))
            case "user":
                yield from self._results(_object(message, "message"))
            case "rate_limit_event":
                if seen := rate_limit_event(message, printed_at):
                    yield LimitsSeen(
                        status=seen.status,
                        is_using_overage=seen.is_using_overage,
                        windows=seen.windows,
                    )
            case "result" if _is_shown(message) and not self._answered:
                text, _ = opened(message)
                if isinstance(text, str) and text:
                    self._answered = True
                    yield Text(text=text)
            case _:
                pass

    def _piece(self, event: dict[str, Any], abandoned: dict[str, Any]) -> Iterator[Progress]:
        match event.get("type"):
            case "message_start":
                self._message = _string(_object(event, "message"), "id")
                self._streamed, self._text, self._thinking = set(), Counter(), Counter()
                self._pieces, self._is_complete = {}, False
                yield from _begun(_object(event, "message"))
            case "content_block_start":
                yield from self._streamed_block(event, _object(event, "content_block"))
            case "message_delta" if _string(_object(event, "delta"), "stop_reason"):
                self._is_complete = True
            case "content_block_delta":
                yield from self._streamed_block(event, _object(event, "delta"))
            case "message_stop" if abandoned:
                yield from self._withdrawn(_index(abandoned, "from_block_index"))
            case _:
                pass

    def _streamed_block(self, event: dict[str, Any], piece: dict[str, Any]) -> Iterator[Progress]:
        index = _index(event, "index")
        if text := _string(piece, "text"):
            self._streamed.add("text")
            self._text[index] += len(text)
            self._answered = True
            yield Text(text=text)
        elif thought := _string(piece, "thinking"):
            self._streamed.add("thinking")
            self._thinking[index] += len(thought)
            yield Thinking(text=thought)
        elif signature := _string(piece, "signature"):
            yield Thinking(text="", signature=signature)
        elif (call := _call(piece)) is not None:
            self._pieces[index] = call
            yield ToolCallPiece(id=call.id, name=call.name, partial_json="")
        elif index in self._pieces and (json_text := _string(piece, "partial_json")):
            call = self._pieces[index]
            self._streamed.add(call.id)
            yield ToolCallPiece(id=call.id, name=call.name, partial_json=json_text)

    def _withdrawn(self, from_index: int) -> Iterator[Progress]:
        text, thinking = _from(self._text, from_index), _from(self._thinking, from_index)
        calls = tuple(call.id for index, call in self._pieces.items() if index >= from_index)
        if text or thinking or calls:
            self._answered = self._answered and not text
            yield Withdrawn(text_characters=text, thinking_characters=thinking, tool_call_ids=calls)

    def _whole(self, message: dict[str, Any]) -> Iterator[Progress]:
        """A message as it stands when a block of it is complete."""
        if message.get("model") == _SYNTHETIC:
            return
        streamed = self._streamed if message.get("id") == self._message else set()
        if message.get("stop_reason") is not None:
            self._is_complete = True
        for block in _objects(message.get("content")):
            match block.get("type"):
                case "text" if "text" not in streamed and (text := _string(block, "text")):
                    self._answered = True
                    yield Text(text=text)
                case "thinking" if "thinking" not in streamed and (
                    thought := _string(block, "thinking")
                ):
                    yield Thinking(text=thought)
                case "tool_use" if (call := _call(block)) is not None:
                    yield from self._called(call, streamed)
                case "tool_use":
                    self._answered = False
                    yield ToolUse(
                        id=_string(block, "id"),
                        name=_string(block, "name"),
                        input=_object(block, "input"),
                    )
                case _:
                    pass

    def _called(self, call: ToolCall, streamed: set[str]) -> Iterator[Progress]:
        self._answered = False
        self._calls[call.id] = call
        self._known_calls.add(call.id)
        if call.id not in streamed:
            whole = json.dumps(call.input) if call.input else ""
            yield ToolCallPiece(id=call.id, name=call.name, partial_json=whole)
        yield ToolCalled(call=call)

    def _results(self, message: dict[str, Any]) -> Iterator[ToolAnswered]:
        """What tools of the CLI answered. Of a caller's tool that is what the CLI says itself, or
        what the caller knows.
        """
        for answer in _answers(message):
            if answer.tool_use_id in self._known_calls:
                self._calls.pop(answer.tool_use_id, None)
            else:
                yield answer


def called_id(message: dict[str, Any]) -> str | None:
    """The id of the call of a caller's tool that the CLI wants the result of; None where a message
    asks for none.
    """
    asked = server_message(message)
    if asked is None or asked.get("method") != "tools/call":
        return None
    about = _object(_object(asked, "params"), "_meta")
    return _string(about, "claudecode/toolUseId") or None


def server_message(message: dict[str, Any]) -> dict[str, Any] | None:
    """What the CLI says to the server of callers' tools; None where a message is none to it."""
    request = _object(message, "request")
    is_for_it = message.get("type") == "control_request" and request.get("server_name") == SERVER
    return _object(request, "message") if is_for_it else None


def _call(block: dict[str, Any]) -> ToolCall | None:
    name, id_ = _string(block, "name"), _string(block, "id")
    if block.get("type") != "tool_use" or not name.startswith(PREFIX) or not id_:
        return None
    return ToolCall(id=id_, name=name.removeprefix(PREFIX), input=_object(block, "input"))


def _begun(message: dict[str, Any]) -> Iterator[AnswerBegan]:
    usage = message_usage(message.get("usage"))
    if usage == ModelUsage():
        return
    yield AnswerBegan(
        input_tokens=usage.input_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
    )


def stopped_by(message: dict[str, Any]) -> tuple[str, str | None]:
    """Why the API says that an answer of the main thread ended, and the stop sequence that it ended
    before; "" where a message says nothing of it.
    """
    event = _object(message, "event")
    if message.get("parent_tool_use_id") is not None or event.get("type") != "message_delta":
        return "", None
    delta = _object(event, "delta")
    return _string(delta, "stop_reason"), _string(delta, "stop_sequence") or None


def thoughts(message: dict[str, Any]) -> Iterator[ThinkingPart]:
    """What a message of the main thread shows of the model's thinking."""
    if message.get("type") == "assistant" and message.get("parent_tool_use_id") is None:
        for block in _objects(_object(message, "message").get("content")):
            if block.get("type") == "thinking" and (thought := _string(block, "thinking")):
                yield ThinkingPart(thinking=thought, signature=_string(block, "signature"))


def _is_shown(result: dict[str, Any]) -> bool:
    """Whether a result may be all that is shown of its answer; one without a turn has none."""
    return result.get("is_error") is False and result.get("num_turns") != 0


def _answers(message: dict[str, Any]) -> Iterator[ToolAnswered]:
    for block in _objects(message.get("content")):
        if block.get("type") == "tool_result":
            yield ToolAnswered(
                tool_use_id=_string(block, "tool_use_id"),
                text=_shown(block.get("content"))[:MAX_RESULT_CHARACTERS],
                is_error=block.get("is_error") is True,
            )


def _shown(content: Any) -> str:
    """A tool's answer as text; what is no text is named by its kind."""
    if isinstance(content, str):
        return content
    return "\n".join(
        _string(part, "text") if part.get("type") == "text" else f"[{part.get('type')}]"
        for part in _objects(content)
    )


def _raw(message: dict[str, Any], size_bytes: int) -> RawMessage:
    if size_bytes > MAX_RAW_BYTES:
        return RawMessage(message={"type": message.get("type"), "omitted_bytes": size_bytes})
    return RawMessage(message=message)


def _from(characters: Counter[int], index: int) -> int:
    return sum(count for block, count in characters.items() if block >= index)


def _object(message: dict[str, Any], name: str) -> dict[str, Any]:
    value = message.get(name)
    return value if isinstance(value, dict) else {}


def _objects(content: Any) -> list[dict[str, Any]]:
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


def _string(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    return value if isinstance(value, str) else ""


def _index(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    return value if isinstance(value, int) else 0

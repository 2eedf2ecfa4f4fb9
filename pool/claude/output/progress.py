"""Events of a run in progress, read line by line from its output, without any I/O.

The answer's text comes in pieces (``stream_event``); the message that follows repeats it whole, and
is passed over as far as its blocks were streamed. A CLI that streams nothing is read by its
messages, and where even those bring no text (structured output), by its result. What sub-agents
say is no part of the answer.

Calls of callers' tools come in pieces, too; which of them are shown, and when, is a matter of the
round that they are made in (``rounds``).

When the API breaks off in the middle of a message the CLI asks again, and the text comes anew,
mostly in other words. Seen of 2.1.330: the broken message ends with ``abandoned_blocks``, whatever
the number of retries; so the pieces are withdrawn by an event, and nothing is guessed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from datetime import datetime
from typing import Any

from pool.claude.output.lines import messages_of
from pool.claude.output.messages import (
    SYNTHETIC,
    answers_in,
    call_in,
    called_id,
    index_in,
    object_in,
    objects_in,
    stopped_by,
    string_in,
)
from pool.claude.output.rate_limit_event import rate_limit_event
from pool.claude.output.rounds import CallsRefused, RoundEnded, Rounds
from pool.claude.output.tokens import message_usage
from pool.executions.progress import (
    AnswerBegan,
    AttemptBegan,
    LimitsSeen,
    Progress,
    RawMessage,
    Text,
    Thinking,
    ToolCalled,
    ToolCallPiece,
    ToolUse,
    Withdrawn,
)
from pool.executions.schemas.answer_schema import opened
from pool.executions.tools.client_tools import ToolCall
from pool.executions.tools.strict_tools import StrictTools
from pool.usage.records import ModelUsage

MAX_RAW_BYTES = 1_000_000
"""A longer message is named by its type and size alone."""
_OF_THE_ANSWER = ("stream_event", "assistant", "user", "result")
_NO_ATTEMPT = AttemptBegan(number=0, subscription_id="", session_id="", model="")
_NONE_STRICT = StrictTools({})


class ProgressReader:
    """Reads the lines of one attempt in their order. ``attempt`` is what is known beforehand; with
    ``stops_at_max_tokens`` its answer is over where the model was cut off at its longest, though
    the CLI has it go on. ``strict`` are the tools whose calls have to fit their schemas.
    """

    def __init__(
        self,
        attempt: AttemptBegan = _NO_ATTEMPT,
        *,
        stops_at_max_tokens: bool = False,
        strict: StrictTools = _NONE_STRICT,
    ) -> None:
        self._attempt = attempt
        self._rounds = Rounds(strict)
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
        self._is_complete = False
        """The message is that was begun last."""

    def copy(self) -> ProgressReader:
        """A reader that goes on from here on its own."""
        return deepcopy(self)

    @property
    def may_end_round(self) -> bool:
        """Whether the next line may end a round."""
        return self._rounds.has_calls

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
            yield from self._rounds.take(event)
        if (id_ := called_id(message)) is not None:
            self._rounds.wants(id_)
        if self._is_complete:
            yield from self._rounds.ended()

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
                    object_in(message, "event"), object_in(message, "abandoned_blocks")
                )
            case "assistant":
                yield from self._whole(object_in(message, "message"))
            case "user":
                yield from answers_in(object_in(message, "message"))
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
                self._message = string_in(object_in(event, "message"), "id")
                self._streamed, self._text, self._thinking = set(), Counter(), Counter()
                self._pieces, self._is_complete = {}, False
                yield from _begun(object_in(event, "message"))
            case "content_block_start":
                yield from self._streamed_block(event, object_in(event, "content_block"))
            case "message_delta" if string_in(object_in(event, "delta"), "stop_reason"):
                self._is_complete = True
            case "content_block_delta":
                yield from self._streamed_block(event, object_in(event, "delta"))
            case "message_stop" if abandoned:
                yield from self._withdrawn(index_in(abandoned, "from_block_index"))
            case _:
                pass

    def _streamed_block(self, event: dict[str, Any], piece: dict[str, Any]) -> Iterator[Progress]:
        index = index_in(event, "index")
        if text := string_in(piece, "text"):
            self._streamed.add("text")
            self._text[index] += len(text)
            self._answered = True
            yield Text(text=text)
        elif thought := string_in(piece, "thinking"):
            self._streamed.add("thinking")
            self._thinking[index] += len(thought)
            yield Thinking(text=thought)
        elif signature := string_in(piece, "signature"):
            yield Thinking(text="", signature=signature)
        elif (call := call_in(piece)) is not None:
            self._pieces[index] = call
            yield ToolCallPiece(id=call.id, name=call.name, partial_json="")
        elif index in self._pieces and (json_text := string_in(piece, "partial_json")):
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
        if message.get("model") == SYNTHETIC:
            return
        streamed = self._streamed if message.get("id") == self._message else set()
        if message.get("stop_reason") is not None:
            self._is_complete = True
        for block in objects_in(message.get("content")):
            match block.get("type"):
                case "text" if "text" not in streamed and (text := string_in(block, "text")):
                    self._answered = True
                    yield Text(text=text)
                case "thinking" if "thinking" not in streamed and (
                    thought := string_in(block, "thinking")
                ):
                    yield Thinking(text=thought)
                case "tool_use" if (call := call_in(block)) is not None:
                    yield from self._called(call, streamed)
                case "tool_use":
                    self._answered = False
                    yield ToolUse(
                        id=string_in(block, "id"),
                        name=string_in(block, "name"),
                        input=object_in(block, "input"),
                    )
                case _:
                    pass

    def _called(self, call: ToolCall, streamed: set[str]) -> Iterator[Progress]:
        self._answered = False
        if call.id not in streamed:
            whole = json.dumps(call.input) if call.input else ""
            yield ToolCallPiece(id=call.id, name=call.name, partial_json=whole)
        yield ToolCalled(call=call)


def _begun(message: dict[str, Any]) -> Iterator[AnswerBegan]:
    usage = message_usage(message.get("usage"))
    if usage == ModelUsage():
        return
    yield AnswerBegan(
        input_tokens=usage.input_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
    )


def _is_shown(result: dict[str, Any]) -> bool:
    """Whether a result may be all that is shown of its answer; one without a turn has none."""
    return result.get("is_error") is False and result.get("num_turns") != 0


def _raw(message: dict[str, Any], size_bytes: int) -> RawMessage:
    if size_bytes > MAX_RAW_BYTES:
        return RawMessage(message={"type": message.get("type"), "omitted_bytes": size_bytes})
    return RawMessage(message=message)


def _from(characters: Counter[int], index: int) -> int:
    return sum(count for block, count in characters.items() if block >= index)

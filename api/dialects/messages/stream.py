"""An answer of Anthropic's Messages, in events."""

from __future__ import annotations

from typing import Any, Literal

from api.dialects.answer.frames import event
from api.dialects.answer.reply import Reply, reply_name
from api.dialects.answer.shown import pool_part, speech_of
from api.dialects.answer.streamed_calls import CallPiece
from api.dialects.messages.message import (
    Message,
    MessageUsage,
    TextContent,
    ThinkingContent,
    ToolUseContent,
    message_id,
    message_of,
    usage_of,
)
from api.dialects.request.request import DialectRequest
from pool.executions.execution import Execution
from pool.executions.progress import Thinking
from pool.values import Value


class MessageEvent(Value):
    """An event of a streamed message; which fields it has depends on its type."""

    type: Literal[
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    ]
    message: Message | None = None
    index: int | None = None
    content_block: ThinkingContent | TextContent | ToolUseContent | None = None
    delta: dict[str, Any] | None = None
    usage: MessageUsage | None = None
    pool: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    request_id: str | None = None


class MessageStream:
    """The events of a streamed message. It begins with the tokens that it was asked with, as far as
    the CLI has told them by then; what it cost is known at the end, in ``message_delta``.
    """

    heartbeat = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self, asked: DialectRequest) -> None:
        self._asked = asked
        self._speech = speech_of(asked)
        self._blocks = 0
        """How many have begun."""
        self._open: str | None = None
        """What the one holds that has not ended."""

    def begin(self, execution: Execution, number: int) -> bytes:
        begun = Message(
            id=message_id(reply_name(execution, number)),
            model=execution.model,
            content=(),
            stop_reason=None,
            usage=usage_of(execution.usage),
            pool=pool_part(execution, self._asked.ignored, execution.usage.cost_usd),
        )
        return event("message_start", message=begun.model_dump(mode="json"))

    def text(self, piece: str) -> bytes:
        return self._text(self._speech.hear(piece))

    def thinking(self, piece: Thinking) -> bytes:
        """A thought ends with its signature; it is not shown to whoever did not ask for any."""
        if not self._asked.shows_thinking:
            return b""
        if piece.signature is None:
            begun = self._begin("thinking", ThinkingContent(thinking="", signature=""))
            return begun + self._delta({"type": "thinking_delta", "thinking": piece.text})
        if self._open != "thinking":
            return b""
        signed = {"type": "signature_delta", "signature": piece.signature}
        return self._delta(signed) + self._close()

    def call(self, piece: CallPiece) -> bytes:
        begun = self._begin(piece.id, ToolUseContent(id=piece.id, name=piece.name, input={}))
        return begun + self._delta({"type": "input_json_delta", "partial_json": piece.arguments})

    def end(self, reply: Reply) -> bytes:
        """The rest of the answer, and its end."""
        rest = self._speech.end(reply.text)
        message = message_of(reply, self._asked, self._speech, rest).model_dump(mode="json")
        delta = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
        return (
            self._text(rest)
            + self._close()
            + event("message_delta", delta=delta, usage=message["usage"], pool=message["pool"])
            + event("message_stop")
        )

    def failure(self, body: dict[str, Any]) -> bytes:
        return event(**body)

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        begun = self._begin("text", TextContent(text=""))
        return begun + self._delta({"type": "text_delta", "text": text})

    def _begin(self, kind: str, empty: Value) -> bytes:
        """The beginning of a block of this kind, or of this call; nothing where it is open."""
        if self._open == kind:
            return b""
        closed = self._close()
        self._open, self._blocks = kind, self._blocks + 1
        block = empty.model_dump()
        return closed + event("content_block_start", index=self._blocks - 1, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event("content_block_delta", index=self._blocks - 1, delta=delta)

    def _close(self) -> bytes:
        """The end of the block that has begun, if one has."""
        is_open, self._open = self._open is not None, None
        return event("content_block_stop", index=self._blocks - 1) if is_open else b""

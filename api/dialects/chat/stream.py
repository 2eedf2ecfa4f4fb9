"""An answer of OpenAI's Chat Completions, in chunks."""

from __future__ import annotations

from typing import Any, Literal

from api.dialects.answer.frames import data, data_text
from api.dialects.answer.reply import Reply, reply_name
from api.dialects.answer.shown import PoolPart, pool_part_of, speech_of
from api.dialects.answer.stops import Speech
from api.dialects.answer.streamed_calls import CallPiece
from api.dialects.chat.completion import (
    ChatUsage,
    FinishReason,
    completion_id,
    created_at,
    finish_reason,
    usage_of,
)
from api.dialects.request.request import DialectRequest
from pool.executions.execution import Execution
from pool.executions.progress import Thinking
from pool.values import Value


class Delta(Value):
    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: tuple[dict[str, Any], ...] | None = None


class ChunkChoice(Value):
    index: int
    delta: Delta
    logprobs: None
    finish_reason: FinishReason | None


class ChatCompletionChunk(Value):
    """A piece of a streamed completion."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    usage: ChatUsage | None = None
    pool: PoolPart | None = None


class ChatStream:
    """The chunks of a streamed completion."""

    heartbeat = b": nothing new\n\n"

    def __init__(self, asked: DialectRequest) -> None:
        self._asked = asked
        self._speech: Speech = speech_of(asked)
        self._shell: dict[str, Any] = {}

    def begin(self, execution: Execution, number: int) -> bytes:
        self._shell = {
            "id": completion_id(reply_name(execution, number)),
            "object": "chat.completion.chunk",
            "created": created_at(execution),
            "model": execution.model,
        }
        if self._asked.stream_usage:
            self._shell["usage"] = None
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, piece: str) -> bytes:
        return self._content(self._speech.hear(piece))

    def thinking(self, piece: Thinking) -> bytes:  # noqa: ARG002 - it has no place for it
        return b""

    def call(self, piece: CallPiece) -> bytes:
        function = {"arguments": piece.arguments}
        call: dict[str, Any] = {"index": piece.place, "function": function}
        if piece.begins:
            function["name"] = piece.name
            call |= {"id": piece.id, "type": "function"}
        return self._chunk({"tool_calls": [call]})

    def end(self, reply: Reply) -> bytes:
        """The rest of the answer, and its end."""
        if reply.refusal is not None:
            rest = self._chunk({"refusal": reply.refusal})
        else:
            rest = self._content(self._speech.end(reply.text))
        part = pool_part_of(reply, self._asked.ignored).model_dump(mode="json")
        last = self._chunk({}, finish_reason(reply), pool=part)
        return rest + last + self._usage_chunk(reply) + data_text("[DONE]")

    def failure(self, body: dict[str, Any]) -> bytes:
        return data(body)

    def _usage_chunk(self, reply: Reply) -> bytes:
        if not self._asked.stream_usage:
            return b""
        usage = usage_of(reply.usage).model_dump(mode="json")
        return data({**self._shell, "choices": [], "usage": usage})

    def _content(self, text: str) -> bytes:
        return self._chunk({"content": text}) if text else b""

    def _chunk(
        self, delta: dict[str, Any], finish_reason: FinishReason | None = None, **more: Any
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return data({**self._shell, "choices": [choice], **more})

"""An answer of Anthropic's Messages, as a whole."""

from __future__ import annotations

from typing import Any, Literal

from api.dialects.answer.reply import Reply
from api.dialects.answer.shown import PoolPart, pool_part_of, speech_of
from api.dialects.answer.stops import Speech
from api.dialects.request.request import DialectRequest
from pool.usage.records import UsageReport
from pool.values import Value


class TextContent(Value):
    type: Literal["text"] = "text"
    text: str


class ThinkingContent(Value):
    """What the model thought, where the request asked it to."""

    type: Literal["thinking"] = "thinking"
    thinking: str
    signature: str


class ToolUseContent(Value):
    """A call of a tool of the caller's, which answers with its result."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]


class MessageUsage(Value):
    """Tokens of this answer, those of the cache beside the others."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int


StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


class StopDetails(Value):
    """Why the model declined."""

    type: Literal["refusal"] = "refusal"
    explanation: str


class Message(Value):
    """An answer."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: tuple[ThinkingContent | TextContent | ToolUseContent, ...]
    stop_reason: StopReason | None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: MessageUsage
    pool: PoolPart


def message(reply: Reply, asked: DialectRequest) -> Message:
    """A reply, as a message."""
    speech = speech_of(asked)
    return message_of(reply, asked, speech, speech.end(reply.text))


def message_of(reply: Reply, asked: DialectRequest, speech: Speech, text: str) -> Message:
    stop_reason, details = _stop(reply, speech)
    thinking = (
        ThinkingContent(thinking=each.thinking, signature=each.signature) for each in reply.thinking
    )
    said = (TextContent(text=text),) if text else ()
    calls = (ToolUseContent(id=each.id, name=each.name, input=each.input) for each in reply.calls)
    return Message(
        id=message_id(reply.name),
        model=reply.execution.model,
        content=(*thinking, *said, *calls),
        stop_reason=stop_reason,
        stop_sequence=speech.stopped_by or reply.stop_sequence,
        stop_details=details,
        usage=usage_of(reply.usage),
        pool=pool_part_of(reply, asked.ignored),
    )


def _stop(reply: Reply, speech: Speech) -> tuple[StopReason, StopDetails | None]:
    if reply.refusal is not None:
        return "refusal", StopDetails(explanation=reply.refusal)
    if reply.calls:
        return "tool_use", None
    if speech.stopped_by is not None or reply.stop_sequence is not None:
        return "stop_sequence", None
    return ("max_tokens" if reply.is_cut_off else "end_turn"), None


def message_id(name: str) -> str:
    return f"msg_{name}"


def usage_of(usage: UsageReport) -> MessageUsage:
    return MessageUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
    )

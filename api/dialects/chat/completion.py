"""An answer of OpenAI's Chat Completions, as a whole."""

from __future__ import annotations

import json
from typing import Literal

from api.dialects.answer.reply import Reply
from api.dialects.answer.shown import PoolPart, pool_part_of, speech_of
from api.dialects.request.request import DialectRequest
from pool.executions.execution import Execution
from pool.executions.tools.client_tools import ToolCall
from pool.usage.records import UsageReport
from pool.values import Value


class PromptDetails(Value):
    cached_tokens: int
    cache_write_tokens: int


class ChatUsage(Value):
    """Tokens of this answer; those of the cache are among the prompt's."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]


class CalledFunction(Value):
    name: str
    arguments: str
    """JSON."""


class ChatToolCall(Value):
    """A call of a tool of the caller's, which answers with its result."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(Value):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    tool_calls: tuple[ChatToolCall, ...] | None = None


class Choice(Value):
    index: int = 0
    message: ChatMessage
    logprobs: None = None
    finish_reason: FinishReason


class ChatCompletion(Value):
    """An answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: ChatUsage
    pool: PoolPart


def completion(reply: Reply, asked: DialectRequest) -> ChatCompletion:
    """A reply, as a completion."""
    return ChatCompletion(
        id=completion_id(reply.name),
        created=created_at(reply.execution),
        model=reply.execution.model,
        choices=(Choice(message=_message(reply, asked), finish_reason=finish_reason(reply)),),
        usage=usage_of(reply.usage),
        pool=pool_part_of(reply, asked.ignored),
    )


def _message(reply: Reply, asked: DialectRequest) -> ChatMessage:
    if reply.refusal is not None:
        return ChatMessage(content=None, refusal=reply.refusal)
    text, calls = speech_of(asked).end(reply.text), tuple(map(_tool_call, reply.calls))
    if calls:
        return ChatMessage(content=text or None, tool_calls=calls)
    return ChatMessage(content=text)


def _tool_call(call: ToolCall) -> ChatToolCall:
    function = CalledFunction(name=call.name, arguments=json.dumps(call.input))
    return ChatToolCall(id=call.id, function=function)


def completion_id(name: str) -> str:
    return f"chatcmpl-{name}"


def created_at(execution: Execution) -> int:
    return int(execution.created_at.timestamp())


def finish_reason(reply: Reply) -> FinishReason:
    if reply.refusal is not None:
        return "content_filter"
    if reply.calls:
        return "tool_calls"
    return "length" if reply.is_cut_off else "stop"


def usage_of(usage: UsageReport) -> ChatUsage:
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    prompt = usage.input_tokens + cached + written
    return ChatUsage(
        prompt_tokens=prompt,
        completion_tokens=usage.output_tokens,
        total_tokens=prompt + usage.output_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=cached, cache_write_tokens=written),
    )

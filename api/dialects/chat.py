"""OpenAI's Chat Completions: what is asked in it, and how an answer is told, whole or in chunks."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from api.dialects.answer.shown import (
    PoolPart,
    answered_text,
    is_cut_off,
    is_refusal,
    pool_part,
    refusal_of,
    speech_of,
)
from api.dialects.answer.stops import Speech
from api.dialects.request.field_support import CHAT, CHAT_PARTS, ignored
from api.dialects.request.parts import Part
from api.dialects.request.reading import Reading, Role
from api.dialects.request.request import (
    MAX_MESSAGES,
    MAX_PARTS,
    MAX_STOPS,
    DialectRequest,
    Lenient,
    StopSequence,
    execution_request,
    extra_of,
    session_of,
)
from pool.errors import InvalidRequest
from pool.executions.execution import Execution
from pool.executions.request import SessionId
from pool.usage.model_names import ModelId
from pool.usage.records import UsageReport
from pool.values import Value

_NAMES = {
    "prompt": "messages",
    "images": "messages",
    "system_prompt": "messages",
    "json_schema": "response_format.json_schema.schema",
}
_ANY_OBJECT = {"type": "object"}
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}

# -- what is asked -------------------------------------------------------------------------------


class ChatMessageParam(Lenient):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS)] | None = None
    refusal: str | None = None


class SchemaFormat(Lenient):
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


class ResponseFormat(Lenient):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None


class StreamOptions(Lenient):
    include_usage: bool | None = None


def _listed(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class ChatBody(Lenient):
    """The body of `POST /v1/chat/completions`. Others are refused or ignored: see README.md."""

    model: ModelId
    messages: Annotated[list[ChatMessageParam], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: (
        Annotated[list[StopSequence], Field(max_length=MAX_STOPS), BeforeValidator(_listed)] | None
    ) = None
    response_format: ResponseFormat | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    session_id: SessionId | None = None


def asked(body: ChatBody, *, session_id: str | None = None) -> DialectRequest:
    """What a body asks of the pool. ``Unsupported`` or ``InvalidRequest`` where it cannot be."""
    session = session_of(body.session_id, session_id)
    names = ignored(extra_of(body), CHAT)
    options = body.stream_options or StreamOptions()
    reading = Reading(CHAT, CHAT_PARTS)
    for at, each in enumerate(body.messages):
        said = each.content or ()
        reading.take(each, _ROLES.get(each.role), said, f"messages.{at}", each.refusal)
    request = execution_request(
        _NAMES,
        reading.news(session),
        model=body.model,
        session_id=session,
        system_prompt="\n\n".join(reading.system) or None,
        json_schema=_schema(body.response_format),
        metadata={**(body.metadata or {}), **({"user": body.user} if body.user else {})},
    )
    return DialectRequest(
        request=request,
        ignored=(
            *names,
            *ignored(extra_of(options), CHAT, "stream_options"),
            *reading.ignored,
        ),
        stops=tuple(body.stop or ()),
        stream=bool(body.stream),
        stream_usage=bool(options.include_usage),
    )


def _schema(asked: ResponseFormat | None) -> dict[str, Any] | None:
    match asked.type if asked else "text":
        case "json_object":
            return _ANY_OBJECT
        case "json_schema":
            if asked is None or asked.json_schema is None:
                raise InvalidRequest("response_format.json_schema", "is missing: send the schema")
            return asked.json_schema.json_schema
        case _:
            return None


# -- what is answered ----------------------------------------------------------------------------


class PromptDetails(Value):
    cached_tokens: int
    cache_write_tokens: int


class ChatUsage(Value):
    """Tokens of the whole run; those of the cache are among the prompt's."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


FinishReason = Literal["stop", "length", "content_filter"]


class ChatMessage(Value):
    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None


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


def completion(execution: Execution, asked: DialectRequest) -> ChatCompletion:
    """An ended execution that has an answer, as a completion."""
    refused = is_refusal(execution)
    text = None if refused else speech_of(asked).end(answered_text(execution, asked))
    refusal = refusal_of(execution) if refused else None
    return ChatCompletion(
        id=_id(execution),
        created=_created(execution),
        model=execution.model,
        choices=(
            Choice(
                message=ChatMessage(content=text, refusal=refusal),
                finish_reason=_finish_reason(execution),
            ),
        ),
        usage=_usage(execution.usage),
        pool=pool_part(execution, asked.ignored),
    )


def _id(execution: Execution) -> str:
    return f"chatcmpl-{execution.id.removeprefix('exec_')}"


def _created(execution: Execution) -> int:
    return int(execution.created_at.timestamp())


def _finish_reason(execution: Execution) -> FinishReason:
    if is_refusal(execution):
        return "content_filter"
    return "length" if is_cut_off(execution) else "stop"


def _usage(usage: UsageReport) -> ChatUsage:
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    prompt = usage.input_tokens + cached + written
    return ChatUsage(
        prompt_tokens=prompt,
        completion_tokens=usage.output_tokens,
        total_tokens=prompt + usage.output_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=cached, cache_write_tokens=written),
    )


class Delta(Value):
    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None


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

    def begin(self, execution: Execution) -> bytes:
        self._shell = {
            "id": _id(execution),
            "object": "chat.completion.chunk",
            "created": _created(execution),
            "model": execution.model,
        }
        if self._asked.stream_usage:
            self._shell["usage"] = None
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, piece: str) -> bytes:
        return self._content(self._speech.hear(piece))

    def end(self, execution: Execution) -> bytes:
        """The rest of the answer, and its end."""
        if is_refusal(execution):
            rest = self._chunk({"refusal": refusal_of(execution)})
        else:
            rest = self._content(self._speech.end(answered_text(execution, self._asked)))
        part = pool_part(execution, self._asked.ignored).model_dump(mode="json")
        last = self._chunk({}, _finish_reason(execution), pool=part)
        return rest + last + self._usage_chunk(execution) + _data("[DONE]")

    def failure(self, body: dict[str, Any]) -> bytes:
        return _data(_compact(body))

    def _usage_chunk(self, execution: Execution) -> bytes:
        if not self._asked.stream_usage:
            return b""
        usage = _usage(execution.usage).model_dump(mode="json")
        return _data(_compact({**self._shell, "choices": [], "usage": usage}))

    def _content(self, text: str) -> bytes:
        return self._chunk({"content": text}) if text else b""

    def _chunk(
        self, delta: dict[str, Any], finish_reason: FinishReason | None = None, **more: Any
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _data(_compact({**self._shell, "choices": [choice], **more}))


def _data(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))

"""A request of OpenAI's Chat Completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from api.dialects.chat.tools import (
    NamedChoice,
    ToolCallParam,
    ToolParam,
    calls_in,
    choice,
    client_tools,
)
from api.dialects.request.field_support import CHAT, CHAT_PARTS, ignored
from api.dialects.request.model_settings import effort, own_stops, settings
from api.dialects.request.parts import AnyPart, Part, TextPart, ToolResultPart
from api.dialects.request.reading import Reading, Role, request_unless_results
from api.dialects.request.request import (
    MAX_MESSAGES,
    MAX_PARTS,
    DialectRequest,
    Lenient,
    extra_of,
    session_of,
)
from pool.errors import InvalidRequest
from pool.executions.model_settings import MAX_STOPS, StopSequence
from pool.executions.request import SessionId
from pool.usage.model_names import ModelId

_NAMES = {
    "prompt": "messages",
    "messages": "messages",
    "system_prompt": "messages",
    "json_schema": "response_format.json_schema.schema",
    "stop_sequences": "stop",
    "effort": "reasoning_effort",
    "client_tools": "tools",
}
_ANY_OBJECT = {"type": "object"}
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
}


class ChatMessageParam(Lenient):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS)] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallParam] | None = None
    tool_call_id: str | None = None


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
    tools: list[ToolParam] | None = None
    tool_choice: Literal["auto", "required", "none"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: (
        Annotated[list[StopSequence], Field(max_length=MAX_STOPS), BeforeValidator(_listed)] | None
    ) = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning_effort: str | None = None
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
        said = _said(each, f"messages.{at}")
        reading.take(each, _ROLES.get(each.role), said, f"messages.{at}", each.refusal)
    tools, schema = client_tools(body.tools), _schema(body.response_format)
    request = request_unless_results(
        reading,
        _NAMES,
        session,
        model=body.model,
        system_prompt="\n\n".join(reading.system) or None,
        json_schema=schema,
        client_tools=tools,
        tool_choice=choice(tools, body.tool_choice, parallel=body.parallel_tool_calls),
        model_settings=settings(
            stops=body.stop,
            max_tokens=body.max_completion_tokens or body.max_tokens,
            temperature=body.temperature,
            top_p=body.top_p,
            **effort(body.reasoning_effort),
        ),
        metadata={**(body.metadata or {}), **({"user": body.user} if body.user else {})},
    )
    return DialectRequest(
        request=request,
        ignored=(
            *names,
            *ignored(extra_of(options), CHAT, "stream_options"),
            *reading.ignored,
        ),
        results=tuple(reading.results),
        is_structured=schema is not None,
        stops=own_stops(body.stop),
        stream=bool(body.stream),
        stream_usage=bool(options.include_usage),
    )


def _said(message: ChatMessageParam, where: str) -> Sequence[AnyPart]:
    """What a message says, with the calls that it makes, or as the result that it is."""
    content = message.content or ()
    if message.role == "tool":
        if message.tool_call_id is None:
            raise InvalidRequest(f"{where}.tool_call_id", "is missing: send the id of the call")
        parts = content if isinstance(content, str) else list(content)
        return [ToolResultPart(tool_use_id=message.tool_call_id, content=parts)]
    parts = [TextPart(type="text", text=content)] if isinstance(content, str) else list(content)
    return [*parts, *calls_in(message.tool_calls, where)]


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

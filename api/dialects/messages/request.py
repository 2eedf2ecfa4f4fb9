"""A request of Anthropic's Messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from api.dialects.messages.tools import ToolChoiceParam, ToolParam, choice, client_tools
from api.dialects.request.field_support import MESSAGE_BLOCKS, MESSAGES, ignored
from api.dialects.request.model_settings import own_stops, settings
from api.dialects.request.parts import Part, SpokenPart
from api.dialects.request.reading import Reading, request_unless_results
from api.dialects.request.request import (
    MAX_MESSAGES,
    MAX_PARTS,
    DialectRequest,
    Lenient,
    extra_of,
    session_of,
)
from pool.executions.model_settings import MAX_STOPS, StopSequence
from pool.executions.request import SessionId
from pool.usage.model_names import ModelId

_NAMES = {
    "prompt": "messages",
    "messages": "messages",
    "system_prompt": "system",
    "json_schema": "output_config.format.schema",
    "effort": "output_config.effort",
    "client_tools": "tools",
}


class MessageParam(Lenient):
    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS)]


class Format(Lenient):
    type: Literal["json_schema"]
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(Lenient):
    format: Format | None = None
    effort: str | None = None


class ThinkingSettings(Lenient):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class Metadata(Lenient):
    user_id: str | None = None


class MessagesBody(Lenient):
    """The body of `POST /v1/messages`. Other fields are refused or ignored: see README.md."""

    model: ModelId
    messages: Annotated[list[MessageParam], Field(min_length=1, max_length=MAX_MESSAGES)]
    system: str | Annotated[list[SpokenPart], Field(max_length=MAX_PARTS)] | None = None
    tools: list[ToolParam] | None = None
    tool_choice: ToolChoiceParam | None = None
    stream: bool | None = None
    stop_sequences: Annotated[list[StopSequence], Field(max_length=MAX_STOPS)] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    thinking: ThinkingSettings | None = None
    cache_control: dict[str, Any] | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    metadata: Metadata | None = None
    session_id: SessionId | None = None


def asked(
    body: MessagesBody, *, session_id: str | None = None, beta: str | None = None
) -> DialectRequest:
    """What a body asks of the pool. ``Unsupported`` or ``InvalidRequest`` where it cannot be."""
    session = session_of(body.session_id, session_id)
    extra = {**extra_of(body), "anthropic-beta": beta}
    config, metadata = body.output_config or OutputConfig(), body.metadata or Metadata()
    format_ = config.format or body.output_format
    reading = Reading(MESSAGES, MESSAGE_BLOCKS)
    for at, each in enumerate(body.messages):
        reading.take(each, each.role, each.content, f"messages.{at}")
    tools, thinking = client_tools(body.tools), _thinking(body.thinking)
    request = request_unless_results(
        reading,
        _NAMES,
        session,
        model=body.model,
        system_prompt="\n\n".join([*_texts(body.system), *reading.system]) or None,
        json_schema=format_.json_schema if format_ else None,
        client_tools=tools,
        tool_choice=choice(tools, body.tool_choice),
        model_settings=settings(
            stops=body.stop_sequences,
            max_tokens=body.max_tokens,
            temperature=body.temperature,
            top_p=body.top_p,
            top_k=body.top_k,
            thinking=thinking,
            effort=config.effort,
        ),
        metadata={} if metadata.user_id is None else {"user_id": metadata.user_id},
    )
    return DialectRequest(
        request=request,
        ignored=(
            *ignored(extra, MESSAGES),
            *ignored(extra_of(config), MESSAGES, "output_config"),
            *ignored(extra_of(metadata), MESSAGES, "metadata"),
            *(ignored(extra_of(body.thinking), MESSAGES, "thinking") if body.thinking else ()),
            *_unread(body.tools),
            *reading.ignored,
        ),
        results=tuple(reading.results),
        is_structured=format_ is not None,
        shows_thinking=thinking is not None and thinking.get("display") not in {None, "omitted"},
        stops=own_stops(body.stop_sequences),
        stream=bool(body.stream),
    )


def _thinking(asked: ThinkingSettings | None) -> dict[str, Any] | None:
    """What is thought is shown, unless it is asked that it be not."""
    if asked is None:
        return None
    sent = {"type": asked.type, "budget_tokens": asked.budget_tokens}
    return sent if asked.type == "disabled" else {**sent, "display": asked.display or "summarized"}


def _unread(tools: list[ToolParam] | None) -> list[str]:
    """The names of what is ignored of tools."""
    return [name for tool in tools or () for name in ignored(extra_of(tool), MESSAGES, "tools")]


def _texts(system: str | list[SpokenPart] | None) -> list[str]:
    match system:
        case None:
            return []
        case str():
            return [system]
        case blocks:
            return [block.text for block in blocks]

"""A request of OpenAI's Responses."""

from __future__ import annotations

from typing import Annotated, Any, Literal, assert_never

from pydantic import Discriminator, Field, Tag

from api.dialects.chat.tools import tool_use
from api.dialects.request.field_support import ignored, pass_over
from api.dialects.request.model_settings import effort, settings
from api.dialects.request.parts import Part, ToolResultPart
from api.dialects.request.reading import Reading, Role, request_unless_results
from api.dialects.request.request import (
    MAX_MESSAGES,
    MAX_PARTS,
    DialectRequest,
    Lenient,
    extra_of,
    session_of,
)
from api.dialects.responses.fields import RESPONSE_ITEMS, RESPONSE_PARTS, RESPONSES
from api.dialects.responses.tools import NamedChoice, ToolParam, choice, client_tools
from pool.errors import InvalidRequest
from pool.executions.request import SessionId
from pool.usage.model_names import ModelId

_NAMES = {
    "prompt": "input",
    "messages": "input",
    "system_prompt": "instructions",
    "json_schema": "text.format.schema",
    "max_tokens": "max_output_tokens",
    "effort": "reasoning.effort",
    "client_tools": "tools",
}
_ANY_OBJECT = {"type": "object"}
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


class InputMessage(Lenient):
    """What somebody said; an answer is sent back with all that it had."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS)]
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class ItemReference(Lenient):
    """An item that an earlier response had, by its id alone."""

    type: Literal["item_reference"] = "item_reference"
    id: str


class FunctionCall(Lenient):
    """A call in an earlier answer."""

    type: Literal["function_call"] = "function_call"
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None


class FunctionCallOutput(Lenient):
    """What the caller's function gave."""

    type: Literal["function_call_output"] = "function_call_output"
    call_id: str
    output: str | Annotated[list[Part], Field(max_length=MAX_PARTS)]
    id: str | None = None
    status: str | None = None


class OtherItem(Lenient):
    """Of any other kind; ``RESPONSE_ITEMS`` says what becomes of it."""

    type: str


_KINDS = {"message", "item_reference", "function_call", "function_call_output"}


def _kind(item: Any) -> str:
    """What was sent as an item, or as its type, may be anything."""
    sent = item if isinstance(item, dict) else getattr(item, "__dict__", {})
    kind = sent.get("type") or ("message" if "role" in sent else "item_reference")
    return kind if isinstance(kind, str) and kind in _KINDS else "other"


Item = Annotated[
    Annotated[InputMessage, Tag("message")]
    | Annotated[ItemReference, Tag("item_reference")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
    | Annotated[OtherItem, Tag("other")],
    Discriminator(_kind),
]


class TextFormat(Lenient):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None


class TextConfig(Lenient):
    format: TextFormat | None = None


class Reasoning(Lenient):
    effort: str | None = None


class ResponsesBody(Lenient):
    """The body of `POST /v1/responses`. Other fields are refused or ignored: see README.md."""

    model: ModelId
    input: str | Annotated[list[Item], Field(min_length=1, max_length=MAX_MESSAGES)]
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: list[ToolParam] | None = None
    tool_choice: Literal["auto", "required", "none"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    text: TextConfig | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning: Reasoning | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    store: bool | None = None
    session_id: SessionId | None = None

    @property
    def has_results(self) -> bool:
        """Whether it tells what functions of the caller's gave."""
        return any(isinstance(item, FunctionCallOutput) for item in self.input)


def asked(body: ResponsesBody, *, session_id: str | None = None) -> DialectRequest:
    """What a body asks of the pool, once nothing in it refers to something else; ``session_id`` is
    the session to go on with, where the field names none. ``Unsupported`` or ``InvalidRequest``
    where it cannot be.
    """
    session = session_of(body.session_id, session_id)
    text, reasoning = body.text or TextConfig(), body.reasoning or Reasoning()
    reading = _read(body)
    tools, schema = client_tools(body.tools), _schema(text.format)
    request = request_unless_results(
        reading,
        _NAMES,
        session,
        model=body.model,
        system_prompt="\n\n".join([*filter(None, [body.instructions]), *reading.system]) or None,
        json_schema=schema,
        client_tools=tools,
        tool_choice=choice(tools, body.tool_choice, parallel=body.parallel_tool_calls),
        model_settings=settings(
            max_tokens=body.max_output_tokens,
            temperature=body.temperature,
            top_p=body.top_p,
            **effort(reasoning.effort),
        ),
        metadata={**(body.metadata or {}), **({"user": body.user} if body.user else {})},
    )
    return DialectRequest(
        request=request,
        ignored=(
            *ignored(extra_of(body), RESPONSES),
            *ignored(extra_of(text), RESPONSES, "text"),
            *ignored(extra_of(reasoning), RESPONSES, "reasoning"),
            *(["store"] if body.store is False else []),
            *reading.ignored,
        ),
        results=tuple(reading.results),
        earlier_results=tuple(reading.earlier_results),
        results_in="input",
        is_structured=schema is not None,
        stream=bool(body.stream),
    )


def _read(body: ResponsesBody) -> Reading:
    reading = Reading(RESPONSES, RESPONSE_PARTS, "input")
    items: list[Item] = (
        [InputMessage(role="user", content=body.input)]
        if isinstance(body.input, str)
        else body.input
    )
    for at, item in enumerate(items):
        where = f"input.{at}"
        match item:
            case InputMessage():
                reading.take(item, _ROLES[item.role], item.content, where)
            case ItemReference():
                raise InvalidRequest(where, "refers to no answer of this pool: send it as it was")
            case FunctionCall():
                said = [tool_use(item.call_id, item.name, item.arguments)]
                reading.take(item, "assistant", said, where)
            case FunctionCallOutput():
                given = ToolResultPart(tool_use_id=item.call_id, content=item.output)
                reading.take(item, "user", [given], where)
            case OtherItem(type=kind):
                pass_over(kind, RESPONSE_ITEMS, where)
                reading.ignored.append(f"input.{kind}")
            case never:
                assert_never(never)
    return reading


def _schema(asked: TextFormat | None) -> dict[str, Any] | None:
    match asked.type if asked else "text":
        case "json_object":
            return _ANY_OBJECT
        case "json_schema":
            if asked is None or asked.json_schema is None:
                raise InvalidRequest("text.format.schema", "is missing: send the schema")
            return asked.json_schema
        case _:
            return None

"""Callers' tools in a request, of whichever dialect: what its words for them come to.

A result is matched to its call by the id that the pool gave; which history stands around it does
not matter, for the execution that made the call has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import ValidationError

from api.dialects.request.parts import AnyPart, ImagePart, TextPart, image_of
from api.web.problems.dialect_errors import Unsupported
from pool.errors import InvalidRequest
from pool.executions.tools import client_tools as values
from pool.executions.tools.client_tools import ClientTool, ToolChoice, ToolResult
from pool.values import problem_in

PROVIDERS_OWN = "the provider would run it, or knows its schema: send a tool with a schema instead"


def client_tool(
    where: str,
    name: str,
    description: str | None,
    schema: dict[str, Any] | None,
    names: dict[str, str],
    *,
    strict: bool | None = None,
) -> ClientTool:
    """A tool from what was sent; ``names`` says what the dialect calls its fields."""
    sent = {"description": description, "input_schema": schema, "strict": strict}
    try:
        return ClientTool.model_validate(
            {"name": name, **{key: value for key, value in sent.items() if value is not None}}
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise InvalidRequest(f"{where}.{names.get(field, field)}", problem_in(first)) from None


def tool_choice(
    tools: Iterable[ClientTool],
    type_: Literal["auto", "any", "tool", "none"],
    name: str | None = None,
    *,
    parallel: bool | None = None,
) -> ToolChoice:
    """A choice that fits the tools; without any there is none."""
    known = {tool.name for tool in tools}
    if type_ == "tool" and name not in known:
        raise InvalidRequest("tool_choice", f"names {name!r}, which is none of the tools")
    if type_ == "any" and not known:
        raise InvalidRequest("tool_choice", "has the model call a tool: send some tools")
    if not known:
        return ToolChoice()
    return ToolChoice(
        type=type_, name=name if type_ == "tool" else None, parallel=parallel is not False
    )


def tool_result(
    where: str, call_id: str, content: Sequence[AnyPart], *, is_error: bool = False
) -> ToolResult:
    """The result of a call; ``Unsupported`` or ``InvalidRequest`` names what cannot be one."""
    try:
        return ToolResult(
            tool_use_id=call_id,
            content=tuple(shown(part, f"{where}.{at}") for at, part in enumerate(content)),
            is_error=is_error,
        )
    except ValidationError as error:
        raise InvalidRequest(where, problem_in(error.errors()[0])) from None


def shown(part: AnyPart, where: str) -> values.Part:
    """A part of a result."""
    match part:
        case TextPart(text=text):
            return values.TextPart(text=text)
        case ImagePart():
            image = image_of(part, where)
            return values.ImagePart(media_type=image.media_type, data=image.data)
        case _:
            raise Unsupported(where, "a tool's result is made of texts and images")

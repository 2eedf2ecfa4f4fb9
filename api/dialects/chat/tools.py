"""Tools in a request of OpenAI's Chat Completions, and calls of them in its messages."""

from __future__ import annotations

import json
from typing import Any, Literal

from api.dialects.request.parts import ToolUsePart
from api.dialects.request.request import Lenient
from api.dialects.request.tools import PROVIDERS_OWN, client_tool, tool_choice
from api.web.problems.dialect_errors import Unsupported
from pool.executions.tools.client_tools import ClientTool, ToolChoice

Parameters = dict[str, Any]
_KINDS: dict[str, Literal["auto", "any", "none"]] = {
    "auto": "auto",
    "required": "any",
    "none": "none",
}


class FunctionParam(Lenient):
    name: str
    description: str | None = None
    parameters: Parameters | None = None
    strict: bool | None = None


class ToolParam(Lenient):
    type: str = "function"
    function: FunctionParam | None = None


class FunctionName(Lenient):
    name: str


class NamedChoice(Lenient):
    type: str
    function: FunctionName | None = None


class CalledFunction(Lenient):
    name: str
    arguments: str


class ToolCallParam(Lenient):
    """A call in an answer that is told again."""

    id: str
    type: str | None = None
    function: CalledFunction | None = None


def client_tools(tools: list[ToolParam] | None) -> tuple[ClientTool, ...]:
    return tuple(_client_tool(tool, f"tools.{at}") for at, tool in enumerate(tools or ()))


def _client_tool(tool: ToolParam, where: str) -> ClientTool:
    function = tool.function
    if tool.type != "function" or function is None:
        raise Unsupported(where, PROVIDERS_OWN)
    return function_tool(
        f"{where}.function",
        function.name,
        function.description,
        function.parameters,
        strict=function.strict,
    )


def function_tool(
    where: str,
    name: str,
    description: str | None,
    parameters: Parameters | None,
    *,
    strict: bool | None,
) -> ClientTool:
    """A tool as OpenAI's APIs have it."""
    names = {"input_schema": "parameters"}
    return client_tool(where, name, description, parameters, names, strict=strict)


def choice(
    tools: tuple[ClientTool, ...],
    sent: Literal["auto", "required", "none"] | NamedChoice | None,
    *,
    parallel: bool | None,
) -> ToolChoice:
    match sent:
        case NamedChoice(type="function", function=FunctionName(name=name)):
            return tool_choice(tools, "tool", name, parallel=parallel)
        case NamedChoice():
            raise Unsupported("tool_choice", "send the tools alone that may be called")
        case _:
            return tool_choice(tools, _KINDS[sent or "auto"], parallel=parallel)


def calls_in(calls: list[ToolCallParam] | None, where: str) -> list[ToolUsePart]:
    """The calls of an answer, as parts of it."""
    return [called(call, f"{where}.tool_calls.{at}") for at, call in enumerate(calls or ())]


def called(call: ToolCallParam, where: str) -> ToolUsePart:
    if call.function is None:
        raise Unsupported(where, PROVIDERS_OWN)
    return tool_use(call.id, call.function.name, call.function.arguments)


def tool_use(call_id: str, name: str, arguments: str) -> ToolUsePart:
    """A call whose input is a text of JSON, whatever a model has made of that."""
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        given = arguments
    return ToolUsePart(
        id=call_id, name=name, input=given if isinstance(given, dict) else {"arguments": given}
    )

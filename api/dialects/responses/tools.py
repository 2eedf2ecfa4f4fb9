"""Tools in a request of OpenAI's Responses."""

from __future__ import annotations

from typing import Literal

from api.dialects.chat import tools as chat
from api.dialects.request.request import Lenient
from api.dialects.request.tools import PROVIDERS_OWN, tool_choice
from api.web.problems.dialect_errors import Unsupported
from pool.executions.tools.client_tools import ClientTool, ToolChoice


class ToolParam(Lenient):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: chat.Parameters | None = None
    strict: bool | None = None


class NamedChoice(Lenient):
    type: str
    name: str | None = None


def client_tools(tools: list[ToolParam] | None) -> tuple[ClientTool, ...]:
    return tuple(_client_tool(tool, f"tools.{at}") for at, tool in enumerate(tools or ()))


def _client_tool(tool: ToolParam, where: str) -> ClientTool:
    if tool.type != "function" or tool.name is None:
        raise Unsupported(where, PROVIDERS_OWN)
    return chat.function_tool(
        where, tool.name, tool.description, tool.parameters, strict=tool.strict
    )


def choice(
    tools: tuple[ClientTool, ...],
    sent: Literal["auto", "required", "none"] | NamedChoice | None,
    *,
    parallel: bool | None,
) -> ToolChoice:
    if not isinstance(sent, NamedChoice):
        return chat.choice(tools, sent, parallel=parallel)
    if sent.type != "function":
        raise Unsupported("tool_choice", "send the tools alone that may be called")
    return tool_choice(tools, "tool", sent.name, parallel=parallel)

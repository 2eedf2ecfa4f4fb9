"""Tools in a request of Anthropic's Messages."""

from __future__ import annotations

from typing import Any, Literal

from api.dialects.request.request import Lenient
from api.dialects.request.tools import PROVIDERS_OWN, client_tool, tool_choice
from api.web.problems.dialect_errors import Unsupported
from pool.executions.tools.client_tools import ClientTool, ToolChoice


class ToolParam(Lenient):
    """A tool of the caller's, or by its ``type`` one of Anthropic's."""

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoiceParam(Lenient):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


def client_tools(tools: list[ToolParam] | None) -> tuple[ClientTool, ...]:
    return tuple(_client_tool(tool, f"tools.{at}") for at, tool in enumerate(tools or ()))


def _client_tool(tool: ToolParam, where: str) -> ClientTool:
    if tool.type not in {None, "custom"}:
        raise Unsupported(where, PROVIDERS_OWN)
    name, schema = tool.name, tool.input_schema
    return client_tool(where, name, tool.description, schema, {}, strict=tool.strict)


def choice(tools: tuple[ClientTool, ...], sent: ToolChoiceParam | None) -> ToolChoice:
    if sent is None:
        return ToolChoice()
    parallel = not sent.disable_parallel_tool_use
    return tool_choice(tools, sent.type, sent.name, parallel=parallel)

"""Calling a program's own functions for the model: the caller's side of a round of tools."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, validate_call

from pool.errors import InvalidRequest
from pool.executions.request import ExecutionRequest
from pool.executions.tools.client_tools import ClientTool, ImagePart, TextPart, ToolCall, ToolResult

Functions = Mapping[str, Callable[..., Any]]
"""Functions, plain or async, by the name of the tool that each is. What one returns is the result:
a text, ``TextPart`` and ``ImagePart`` in a list, or anything that can be written as JSON; what it
raises goes to the model as an error."""


def with_tools(request: ExecutionRequest, functions: Functions) -> ExecutionRequest:
    """The request with the functions as its ``client_tools``, where it does not describe them
    itself. ``InvalidRequest`` where it describes one that is not there.
    """
    if not request.client_tools:
        tools = tuple(ClientTool.of(function, name) for name, function in functions.items())
        return ExecutionRequest.model_validate({**dict(request), "client_tools": tools})
    missing = [tool.name for tool in request.client_tools if tool.name not in functions]
    if missing:
        raise InvalidRequest("tools", f"has no function {missing[0]!r}, which client_tools names")
    return request


async def results_of(calls: Iterable[ToolCall], functions: Functions) -> tuple[ToolResult, ...]:
    """The results of calls, which are made side by side."""
    return tuple(await asyncio.gather(*(_result_of(call, functions) for call in calls)))


async def _result_of(call: ToolCall, functions: Functions) -> ToolResult:
    try:
        function = validate_call(functions[call.name])
        if inspect.iscoroutinefunction(functions[call.name]):
            given = await function(**call.input)
        else:
            given = await asyncio.to_thread(function, **call.input)
        return ToolResult(tool_use_id=call.id, content=_content(given))
    except Exception as error:  # noqa: BLE001 - whatever it is, the model is to know, and may mend it
        problem = f"{type(error).__name__}: {error}"
        return ToolResult.model_validate(
            {"tool_use_id": call.id, "content": problem, "is_error": True}
        )


def _content(given: Any) -> tuple[TextPart | ImagePart, ...]:
    match given:
        case str():
            return (TextPart(text=given),)
        case TextPart() | ImagePart():
            return (given,)
        case [*parts] if parts and all(isinstance(each, TextPart | ImagePart) for each in parts):
            return tuple(parts)
        case BaseModel():
            return (TextPart(text=given.model_dump_json()),)
        case _:
            return (TextPart(text=json.dumps(given)),)

"""A caller with a tool, before a pool that only notes what it is asked."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from api.demo.standin.standin import Standin
from api.demo.tool_caller import ToolCaller

CALL = {"id": "toolu_1", "name": "get_weather", "input": {"city": "Rome"}}


async def conversation(*answers: dict[str, Any], status: int = 200) -> tuple[list[Any], Any, Any]:
    """What was asked, how it ended, and what was told meanwhile."""
    asked: list[Any] = []
    told: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, json.loads(request.content)))
        return httpx.Response(status, json=answers[len(asked) - 1])

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://pool") as http:
        ended = await ToolCaller(http, Standin(), 0).ask("Rome", told=told.append)
    return asked, ended, told


async def test_it_brings_its_tool_and_sends_what_came_of_the_call() -> None:
    waits = {"id": "exec_1", "status": "waiting_for_caller", "tool_calls": [CALL]}

    asked, ended, told = await conversation(waits, {"id": "exec_1", "status": "succeeded"})

    assert [each[0] for each in asked] == ["/v1/executions", "/v1/executions/exec_1/tool_results"]
    assert asked[0][1]["client_tools"][0]["name"] == "get_weather"
    assert asked[1][1] == {"results": [{"tool_use_id": "toolu_1", "content": "21 degrees in Rome"}]}
    assert (told, ended["status"]) == ([waits], "succeeded")


async def test_a_refusal_is_raised() -> None:
    with pytest.raises(httpx.HTTPStatusError):
        await conversation({"title": "no room"}, status=429)

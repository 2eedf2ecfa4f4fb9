"""A caller with a tool of its own, as a program has one: it asks with the tool, is told of the
call, works for a moment, and sends what came of it. Meanwhile the execution waits for its caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from api.demo.standin.behaviour import Behaviour, Call
from api.demo.standin.standin import Standin

WAITING = "waiting_for_caller"
TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class ToolCaller:
    """Asks one question that takes a round of its tool. ``seconds`` is how long the tool takes."""

    def __init__(self, http: httpx.AsyncClient, standin: Standin, seconds: float) -> None:
        self._http = http
        self._standin = standin
        self._seconds = seconds

    async def ask(
        self,
        city: str,
        *,
        begins: Behaviour | None = None,
        told: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> dict[str, Any]:
        """The execution at its end. ``begins`` has the usage and the pace of the first round;
        ``told`` hears of the execution as it waits. Raises what ``httpx`` does for a refusal.
        """
        calls = (Call(name=TOOL["name"], input={"city": city}),)
        first = (begins or Behaviour()).model_copy(update={"kind": "tool", "calls": calls})
        self._standin.next(first)
        prompt = f"What is the weather in {city}?"
        about = {"client_tools": [TOOL], "metadata": {"project": "weather"}}
        execution = await self._post("/v1/executions", {"prompt": prompt, **about})
        while execution.get("status") == WAITING:
            told(execution)
            await asyncio.sleep(self._seconds)
            results = [
                {"tool_use_id": each["id"], "content": f"21 degrees in {each['input']['city']}"}
                for each in execution["tool_calls"]
            ]
            address = f"/v1/executions/{execution['id']}/tool_results"
            execution = await self._post(address, {"results": results})
        return execution

    async def _post(self, address: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._http.post(address, json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

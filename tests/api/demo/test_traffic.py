"""The traffic of a demonstration that stays, before a pool that only notes what it is asked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from api.demo import traffic
from api.demo.standin.standin import Standin
from api.demo.traffic import Traffic


async def asked_of(
    monkeypatch: pytest.MonkeyPatch, count: int, status: int
) -> list[dict[str, Any]]:
    """The first requests of it, each answered with a status."""
    asked: list[dict[str, Any]] = []
    enough = asyncio.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        if len(asked) >= count:
            enough.set()
        return httpx.Response(status, json={"session_id": f"session-{len(asked)}"})

    monkeypatch.setattr(traffic, "PAUSE_SECONDS", (0.0, 0.0))
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://pool") as http:
        running = asyncio.create_task(Traffic(http, Standin(), ("test-token-a",)).run())
        async with asyncio.timeout(30):
            await enough.wait()
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
    return asked


async def test_it_asks_of_several_projects_and_goes_on_with_conversations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = await asked_of(monkeypatch, 200, status=200)

    assert len({each["metadata"]["project"] for each in asked}) > 3
    assert any(each.get("session_id") for each in asked)
    assert any(each.get("session_id", "") is None for each in asked)


async def test_what_is_refused_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(await asked_of(monkeypatch, 20, status=429)) >= 20

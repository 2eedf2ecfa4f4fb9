"""The light traffic of a demonstration that stays: jobs, conversations, tool rounds, and now and
then a limit or an overload, so that whoever looks at the page sees a pool at work.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import httpx

from api.demo.standin.behaviour import Behaviour
from api.demo.standin.bill import Usage
from api.demo.standin.standin import Standin
from api.demo.tool_caller import ToolCaller
from pool.config import ClaudeSettings

PAUSE_SECONDS = (1.0, 4.0)
SESSIONS = 3
"""Conversations that go on."""
TOOLS, BEGINS = 0.2, 0.4
"""How likely a job has a tool round, and a turn is the first of a new conversation."""
TOOL_SECONDS = (2.0, 8.0)
_CITIES = ("Lima", "Oslo", "Rome", "Kyoto")
_JOBS = ("summarise", "translate", "review", "classify", "draft")


class Traffic:
    """Requests as several programs make them, over HTTP, until it is cancelled."""

    def __init__(self, http: httpx.AsyncClient, standin: Standin, tokens: tuple[str, ...]) -> None:
        self._http = http
        self._standin = standin
        self._tokens = tokens
        self._random = random.Random()  # noqa: S311 - nothing here is a secret
        self._sessions: list[str] = []

    async def run(self) -> None:
        """Keep going. What is refused or fails is part of the show."""
        async with asyncio.TaskGroup() as asked:
            while True:
                what = self._random.choices(
                    (self._job, self._turn, self._tool, self._overload, self._limit),
                    (8, 5, 2, 1, 0.4),
                )[0]
                asked.create_task(what())
                await asyncio.sleep(self._random.uniform(*PAUSE_SECONDS))

    async def _job(self) -> None:
        usage, seconds = self._usage(), self._seconds()
        plain = Behaviour(usage=usage, seconds=seconds)
        tool = Behaviour(kind="tool", name="Read", usage=usage, seconds=seconds)
        self._standin.next(tool if self._random.random() < TOOLS else plain)
        job = self._random.choice(_JOBS)
        await self._ask(f"{job} the next one", metadata={"project": job})

    async def _turn(self) -> None:
        """One more turn of a conversation, or the first of a new one."""
        begins = len(self._sessions) < SESSIONS and self._random.random() < BEGINS
        session = self._random.choice(self._sessions) if self._sessions and not begins else None
        self._standin.next(Behaviour(usage=self._usage(), seconds=self._seconds()))
        told = await self._ask("and then?", session_id=session, metadata={"project": "chat"})
        if session is None and told.get("session_id"):
            self._sessions = [*self._sessions[1 - SESSIONS :], told["session_id"]]

    async def _tool(self) -> None:
        """A round of a caller's own tool, which takes long enough to be seen."""
        begins = Behaviour(usage=self._usage(), seconds=self._seconds())
        caller = ToolCaller(self._http, self._standin, self._random.uniform(*TOOL_SECONDS))
        with suppress(httpx.HTTPError):
            await caller.ask(self._random.choice(_CITIES), begins=begins)

    async def _overload(self) -> None:
        """One subscription is overloaded for a moment: its work goes on elsewhere."""
        overload = Behaviour(kind="error", status=529)
        token = self._random.choice(self._tokens)
        self._standin.next(*[overload] * (1 + ClaudeSettings().max_retries), token=token)
        await self._job()

    async def _limit(self) -> None:
        """One subscription is out of its window for a minute; its conversations move."""
        token = self._random.choice(self._tokens)
        self._standin.next(Behaviour(kind="usage_limit", resets_in_seconds=60), token=token)
        await self._turn()

    def _usage(self) -> Usage:
        size = self._random.randint(2_000, 40_000)
        return Usage(input_tokens=size, output_tokens=size // 9)

    def _seconds(self) -> float:
        return round(self._random.uniform(0.5, 6), 1)

    async def _ask(self, prompt: str, **options: Any) -> dict[str, Any]:
        try:
            answer = await self._http.post("/v1/executions", json={"prompt": prompt, **options})
        except httpx.HTTPError:
            return {}
        told: dict[str, Any] = answer.json()
        return told

"""A pool whose CLIs are scripts, and what tests read off it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from httpx import AsyncClient
from localpool import LocalPool

OpenField = Callable[..., Awaitable["Field"]]


class Field:
    """A pool, and HTTP before it."""

    def __init__(self, pool: LocalPool, http: AsyncClient) -> None:
        self.pool = pool
        self.http = http
        self.clock = pool.clock

    async def alerts(self, expected: tuple[str, ...]) -> tuple[str, ...]:
        """The kinds of all alerts, as soon as they are the expected ones, or after 5 s. Some come
        by way of the router's watch, a moment later than the answer.
        """
        until = time.monotonic() + 5
        while (found := await self._alerts()) != expected and time.monotonic() < until:
            await asyncio.sleep(0.02)
        return found

    async def _alerts(self) -> tuple[str, ...]:
        reports = [
            await self.pool.peers.subscription(id_).next_report(-1, -1, 0)
            for id_ in sorted(self.pool.peers.subscriptions)
        ]
        await self.pool.router._alerting.consider(reports)
        page = await self.pool.client.alerts(limit=50)
        return tuple(sorted(each.kind.value for each in page.items))

    async def states(self) -> dict[str, str]:
        """What each subscription says of itself."""
        return {
            id_: (await each.next_report(-1, -1, 0)).state.value
            for id_, each in self.pool.peers.subscriptions.items()
        }

    async def cost_usd(self) -> str:
        """What all of them have recorded."""
        totals = [
            (await each.next_report(-1, -1, 0)).weekly.used_usd
            for each in self.pool.peers.subscriptions.values()
        ]
        return str(sum(totals))

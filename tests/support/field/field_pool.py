"""A pool whose CLIs are scripts, and what tests read off it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

from httpx import AsyncClient

from pool.alerts.alerts import AlertKind
from tests.support.pools.localpool import LocalPool
from tests.support.pools.pool_requests import later

OpenField = Callable[..., Awaitable["Field"]]
LOOKS = 6
"""While time passes."""
OF_FORECASTS = {AlertKind.POOL_NEARLY_DRY, AlertKind.USAGE_OUTSIDE_POOL}
"""What is concluded from the course of many figures: not what a single case is about."""


class Field:
    """A pool, and HTTP before it."""

    def __init__(self, pool: LocalPool, http: AsyncClient) -> None:
        self.pool = pool
        self.http = http
        self.clock = pool.clock

    async def passes(self, by: timedelta) -> None:
        """Let time pass, and have the router hear of everybody, and look for alerts, on and on."""
        await self._alerts()
        for _ in range(LOOKS if by else 1):
            await later(self.pool, by / LOOKS)
            await self._alerts()

    async def windows(self) -> dict[str, dict[str, float | None]]:
        """What is known to be used of each subscription's windows, where it counts still."""
        reports = {
            id_: await each.next_report(-1, -1, 0)
            for id_, each in self.pool.actors.subscriptions.items()
        }
        return {
            id_: {name: each.utilization for name, each in report.windows.items() if each.fresh}
            for id_, report in reports.items()
        }

    async def alerts(self, expected: tuple[str, ...]) -> tuple[str, ...]:
        """The kinds of all alerts, as soon as they are the expected ones, or after 5 s. Some come
        by way of its follower, a moment later than the answer.
        """
        until = time.monotonic() + 5
        while (found := await self._alerts()) != expected and time.monotonic() < until:
            await asyncio.sleep(0.02)
        return found

    async def _alerts(self) -> tuple[str, ...]:
        reports = [
            await self.pool.actors.subscription(id_).next_report(-1, -1, 0)
            for id_ in sorted(self.pool.actors.subscriptions)
        ]
        await self.pool.router._alerts.consider(reports)
        page = await self.pool.client.alerts(limit=50)
        return tuple(
            sorted(each.kind.value for each in page.items if each.kind not in OF_FORECASTS)
        )

    async def states(self, expected: dict[str, str]) -> dict[str, str]:
        """What each subscription says of itself, as soon as it is the expected, or after 5 s: that
        one is suspect it hears a moment after the answer was given elsewhere.
        """
        until = time.monotonic() + 5
        while (found := await self._states()) != expected and time.monotonic() < until:
            await asyncio.sleep(0.02)
        return found

    async def _states(self) -> dict[str, str]:
        return {
            id_: (await each.next_report(-1, -1, 0)).state.value
            for id_, each in self.pool.actors.subscriptions.items()
        }

    async def cost_usd(self) -> str:
        """What all of them have recorded."""
        totals = [
            (await each.next_report(-1, -1, 0)).weekly.used_usd
            for each in self.pool.actors.subscriptions.values()
        ]
        return format(sum(totals, Decimal(0)).normalize(), "f")

"""The pool as a whole, as a client watches, saves and stops it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

from actors.aiokit import forwarded
from actors.client.calls.view import PoolView, router
from actors.client.rest import put_to_rest
from actors.interfaces.messages import LONGEST_POLL_SECONDS
from actors.interfaces.router_actor import RouterActor
from pool.errors import Conflict
from pool.storage.backup import Backup, backup_name
from pool.subscriptions.overview.pool_overview import Overview
from pool.telemetry.counters import Figures, only
from pool.telemetry.events import EventFilter, PoolEventPage, StoredEvent


class OperationCalls(PoolView):
    """What a client does with the whole pool."""

    async def backup(self) -> Backup:
        """Copy every store of the running pool into a new folder of its data directory.

        ``StoreError`` for a pool in PostgreSQL, which has tools of its own for that.
        """
        name, router = backup_name(self._clock()), self._router()
        with suppress(Conflict):  # no organization is compared: there is no reconciler
            await self._actors.reconciler().backup(name)
        return await router.backup(name)

    async def stop(self, drain_seconds: float) -> None:
        """Put the pool at rest: take no new work, let what runs end for ``drain_seconds``, then
        interrupt it and see it settled. What waits stays where it is, for the next start.
        """
        await put_to_rest(self._router(), drain_seconds)

    async def pool(self) -> Overview:
        """Totals, states and forecast of the whole pool."""
        return await self._router().pool(self._access)

    alerts = forwarded(router, RouterActor.alerts)
    nodes = forwarded(router, RouterActor.nodes)

    async def figures(self) -> Figures:
        """The figures behind the metrics, from memory: no call to a subscription, and no wait."""
        return only(await self._router().figures(), self._covers)

    async def shown_figures(self, *, openmetrics: bool = False) -> str:
        """The same as the text that Prometheus reads, or as OpenMetrics without its end."""
        return await self._router().shown_figures(self._access, openmetrics=openmetrics)

    async def happenings(
        self,
        *,
        after: str | None = None,
        wanted: EventFilter | None = None,
        wait_seconds: float = 0,
    ) -> PoolEventPage:
        """One page of what happens in the pool, after an id or from now on; an empty one where
        nothing did while it was waited (at most 30 s). ``InvalidRequest`` for an id that is none.
        """
        wanted = (wanted or EventFilter()).model_copy(update={"access": self._access})
        return await self._router().happenings(
            after=after, wanted=wanted, wait_seconds=wait_seconds
        )

    async def watch(
        self, *, after: str | None = None, wanted: EventFilter | None = None
    ) -> AsyncGenerator[StoredEvent, None]:
        """What happens in the pool, after an id or from now on, without an end. Where something may
        be missing, a ``gap`` comes first. ``ActorLost`` for a router who stays away.
        """
        cursor = after or (await self.happenings()).cursor
        while True:
            page = await self.happenings(
                after=cursor, wanted=wanted, wait_seconds=LONGEST_POLL_SECONDS
            )
            for event in page.items:
                yield event
            cursor = page.cursor

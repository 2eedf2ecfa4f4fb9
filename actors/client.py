"""How programs use the pool.

What HTTP can do, a client can do, with the same values and the same errors. Every request has an
execution id before it leaves; when a part of the pool dies on the way, asking again by that id
gives the same run and the same answer, so that a caller does not feel it (G5).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from actors.dispatching import Dispatch
from actors.router import Router
from actors.subscription import LONGEST_POLL_SECONDS, Subscription
from pool.backup import Backup, backup_name
from pool.errors import NotFound
from pool.execution import Execution, ExecutionRequest, ExecutionStatus, new_execution_id
from pool.overview import Overview
from pool.report import BlockReport, Report
from pool.reported import (
    RecordedUsage,
    ReportedUsage,
    ShownRecord,
    record_of,
    shown_block,
    shown_record,
)
from pool.store.cursors import cursor_of
from pool.store.protocol import Page
from pool.subscription import SubscriptionChange, SubscriptionSpec

INTERRUPT_SECONDS = 10.0
"""For runs to end once they were interrupted: the ladder takes 4 s, and then they are settled."""
REST_POLL_SECONDS = 0.05


def now_in_utc() -> datetime:
    """The clock of the real world."""
    return datetime.now(UTC)


class Whole(Protocol):
    """Where a client finds the router, and the subscriptions it waits at."""

    def router(self) -> Router: ...

    def subscription(self, subscription_id: str) -> Subscription: ...


class PoolClient:
    """The pool, from inside an event loop. Cheap to make; holds nothing but its peers."""

    def __init__(self, peers: Whole, clock: Callable[[], datetime] = now_in_utc) -> None:
        self._peers = peers
        self._clock = clock

    # -- executions ------------------------------------------------------------------------------

    async def start(
        self,
        request: ExecutionRequest,
        *,
        idempotency_key: str | None = None,
        caller: str = "",
        execution_id: str | None = None,
    ) -> Execution:
        """Have a request admitted, and answer at once: it runs, waits, or has ended already.

        Raises ``Exhausted``, ``Unavailable``, ``KeyReused``, ``NotFound`` or ``InvalidRequest``;
        then nothing runs and nothing was spent.
        """
        now = self._clock()
        dispatch = Dispatch(
            execution_id=execution_id or new_execution_id(now),
            request=request,
            caller=caller,
            idempotency_key=idempotency_key,
            created_at=now,
        )
        return await self._peers.router().dispatch(dispatch)

    async def execute(
        self,
        request: ExecutionRequest,
        *,
        idempotency_key: str | None = None,
        caller: str = "",
        execution_id: str | None = None,
    ) -> Execution:
        """Run a request to its end, however it ends: its ``status`` says how."""
        execution = await self.start(
            request, idempotency_key=idempotency_key, caller=caller, execution_id=execution_id
        )
        return await self.ended(execution)

    async def ended(self, execution: Execution) -> Execution:
        """Wait until an execution that was started has ended."""
        peer = self._peers.subscription(execution.subscription_id)
        while not execution.status.is_final:
            execution = await peer.result(execution.id)
        return execution

    async def result(self, execution_id: str, *, wait_seconds: float = 0) -> Execution:
        """An execution; with ``wait_seconds``, once it has ended or so much time has passed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        peer = self._peers.subscription(await self._peers.router().locate(execution_id))
        while True:
            left = max(0.0, deadline - loop.time())
            execution = await peer.result(execution_id, min(left, LONGEST_POLL_SECONDS))
            if execution.status.is_final or left == 0:
                return execution

    async def cancel(self, execution_id: str) -> Execution:
        """Stop an execution and wait for its end; one that has ended stays as it is."""
        home = await self._peers.router().locate(execution_id)
        return await self._peers.subscription(home).cancel(execution_id)

    async def executions(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
        subscription_id: str | None = None,
    ) -> Page[Execution]:
        """Executions of every subscription, newest first."""
        registrations = await self._peers.router().registrations()
        known = [each.spec.id for each in registrations]
        if subscription_id is not None and subscription_id not in known:
            raise NotFound("subscription", subscription_id)
        ids = known if subscription_id is None else [subscription_id]
        pages = await asyncio.gather(
            *(
                self._peers.subscription(id_).executions(
                    limit=limit, cursor=cursor, status=status, session_id=session_id
                )
                for id_ in ids
            )
        )
        return _newest_first(pages, limit)

    # -- subscriptions ---------------------------------------------------------------------------

    async def subscriptions(self) -> tuple[Report, ...]:
        """The latest report of every subscription, from the router's memory."""
        return await self._peers.router().reports()

    async def subscription(self, subscription_id: str) -> Report:
        return await self._peers.router().report(subscription_id)

    async def add(self, spec: SubscriptionSpec) -> Report:
        """Add a subscription while the pool runs. ``Conflict`` where the id is taken."""
        return await self._peers.router().add(spec)

    async def change(self, subscription_id: str, change: SubscriptionChange) -> Report:
        """Change settings of a subscription. One that is declared in ``pool.toml`` has those of
        the file again after the next start.
        """
        return await self._peers.router().change(subscription_id, change)

    async def remove(self, subscription_id: str) -> None:
        """Drain a subscription and forget it. ``Conflict`` while it still has work."""
        await self._peers.router().remove(subscription_id)

    async def pause(self, subscription_id: str) -> Report:
        return await self._peers.router().pause(subscription_id)

    async def resume(self, subscription_id: str) -> Report:
        return await self._peers.router().resume(subscription_id)

    async def drain(self, subscription_id: str) -> Report:
        return await self._peers.router().drain(subscription_id)

    async def report_usage(self, subscription_id: str, reported: ReportedUsage) -> RecordedUsage:
        """Count usage that the pool did not see. The same id counts once."""
        record = record_of(subscription_id, reported, self._clock())
        added = await self._peers.router().record(record)
        return RecordedUsage(record=shown_record(record), added=added)

    async def usage(
        self,
        subscription_id: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[ShownRecord]:
        """Usage records with ``since <= timestamp < until``, newest first."""
        owner = await self._owner(subscription_id)
        page = await owner.usage(limit=limit, cursor=cursor, since=since, until=until)
        items = tuple(shown_record(each) for each in page.items)
        return Page[ShownRecord](items=items, next_cursor=page.next_cursor)

    async def blocks(
        self, subscription_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[BlockReport]:
        """The blocks in which something was spent, newest first."""
        expected = (await self.subscription(subscription_id)).expected_block_usd
        page = await self._peers.subscription(subscription_id).blocks(limit=limit, cursor=cursor)
        items = tuple(shown_block(each, expected) for each in page.items)
        return Page[BlockReport](items=items, next_cursor=page.next_cursor)

    async def backup(self) -> Backup:
        """Copy every store of the running pool into a new folder of its data directory.

        ``StoreError`` for a pool in PostgreSQL, which has tools of its own for that.
        """
        return await self._peers.router().backup(backup_name(self._clock()))

    async def stop(self, drain_seconds: float) -> None:
        """Put the pool at rest: take no new work, let what runs end for ``drain_seconds``, then
        interrupt it and see it settled. What waits stays where it is, for the next start.
        """
        router = self._peers.router()
        await router.suspend()
        if not await self._comes_to_rest(drain_seconds):
            await router.interrupt()
            await self._comes_to_rest(INTERRUPT_SECONDS)

    async def _comes_to_rest(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while any(each.running for each in await self.subscriptions()):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(REST_POLL_SECONDS)
        return True

    async def pool(self) -> Overview:
        """Totals, states and forecast of the whole pool."""
        return await self._peers.router().overview()

    async def _owner(self, subscription_id: str) -> Subscription:
        """The owner of a subscription that exists; ``NotFound`` otherwise."""
        await self.subscription(subscription_id)
        return self._peers.subscription(subscription_id)


def _newest_first(pages: Sequence[Page[Execution]], limit: int) -> Page[Execution]:
    found = sorted(
        (each for page in pages for each in page.items),
        key=lambda each: (each.created_at, each.id),
        reverse=True,
    )
    more = len(found) > limit or any(page.next_cursor for page in pages)
    items = tuple(found[:limit])
    cursor = cursor_of(items[-1]) if items and more else None
    return Page[Execution](items=items, next_cursor=cursor)

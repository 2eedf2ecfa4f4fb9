"""What the ledgers of those who sleep hold, for lists of what everybody has done: nobody is woken
to be looked at. Those that cannot come up are read here, too.

Nobody owns the ledger of a sleeper, so the router takes it over for as long as it reads; whoever
wakes its subscription waits for that, some milliseconds. One that is awake by then is asked itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from actors.interfaces.messages import Listed
from actors.interfaces.protocols import SubscriptionActors
from actors.router.ledgers.ledger_pages import newest_page
from actors.router.presence.followers import Followers
from actors.router.presence.sleepers import Sleepers
from pool.errors import NotFound
from pool.executions.execution import Execution, shown
from pool.keys.access import Access
from pool.storage.ledger.ledger import Ledger
from pool.storage.ledger.usage_query import empty_table, usage_table
from pool.storage.paging import Page
from pool.storage.stores import Stores
from pool.usage.breakdown.breakdown import UsageTable
from pool.usage.breakdown.question import Question
from pool.usage.records import UsageRecord

MOST_READ = 5_000
"""Records that are read while their subscription waits: 0.1 s."""
_LATEST = datetime.max.replace(tzinfo=UTC)


class RestingLedgers:
    """The ledgers of those who sleep."""

    def __init__(
        self,
        stores: Stores,
        followers: Followers,
        sleepers: Sleepers,
        actors: SubscriptionActors,
        tags: tuple[str, ...],
    ) -> None:
        """``tags``: the keys of metadata that records keep."""
        self._stores = stores
        self._followers = followers
        self._sleepers = sleepers
        self._actors = actors
        self._tags = tags

    async def executions(self, wanted: Listed, subscription_ids: Sequence[str]) -> Page[Execution]:
        """Those of some subscriptions, newest first. Ledgers are opened as far as the page needs
        them.
        """
        with_ledgers = [each for each in subscription_ids if not await self._is_new(each)]
        newest = {each: self._newest(each) for each in with_ledgers}
        return await newest_page(newest, wanted, self._page)

    async def usage_by(
        self, asked: Question, subscription_ids: Sequence[str]
    ) -> tuple[UsageTable, ...]:
        """The sums of their usage, each as its subscription would tell them. No ledger is opened
        that has nothing in the range; one of which very many records are to be read has its
        subscription read them, so that a request there waits for neither.
        """
        return tuple([await self._usage_by(asked, each) for each in subscription_ids])

    async def records(
        self,
        subscription_id: str,
        *,
        limit: int,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[UsageRecord] | None:
        """The first page of the records of one that sleeps, newest first; None for one that is
        awake.
        """
        is_new = await self._is_new(subscription_id)
        if is_new or (since and self._sleepers.records_since(subscription_id, since) == 0):
            return Page[UsageRecord](items=())
        async with self.of(subscription_id) as ledger:
            if ledger is None:
                return None
            return await ledger.usage(limit=limit, since=since, until=until)

    async def _usage_by(self, asked: Question, subscription_id: str) -> UsageTable:
        records = self._sleepers.records_since(subscription_id, asked.since)
        if records == 0 or await self._is_new(subscription_id):
            return empty_table(subscription_id, asked, self._tags)
        is_little = records is not None and records <= MOST_READ
        nobody_else_can = subscription_id in self._followers.unusable
        if nobody_else_can or is_little or not asked.needs_records:
            async with self.of(subscription_id) as ledger:
                if ledger is not None:
                    return await usage_table(ledger, asked, self._tags)
        return await self._actors.subscription(subscription_id).usage_by(asked)

    async def execution_of_call(
        self, call_id: str, tenant: str | None, subscription_ids: Iterable[str]
    ) -> str | None:
        """The execution that made a call of its caller's tools; None where none of these has."""
        for each in subscription_ids:
            if await self._is_new(each):
                continue
            async with self.of(each) as ledger:
                if ledger is not None:
                    found = await ledger.execution_of_call(call_id, tenant)
                else:
                    found = await self._actors.subscription(each).execution_of_call(call_id, tenant)
            if found is not None:
                return found
        return None

    async def backup(self, subscription_id: str, file: Path) -> None:
        """Copy a ledger, of one that sleeps or of any other; see ``Subscription.backup``. One that
        never was up has none.
        """
        if await self._is_new(subscription_id):
            return
        async with self.of(subscription_id) as ledger:
            if ledger is None:
                await self._actors.subscription(subscription_id).backup(file)
            elif not await asyncio.to_thread(file.exists):
                await ledger.backup(file)

    async def ended(
        self, subscription_id: str, execution_id: str, access: Access
    ) -> Execution | None:
        """An execution that has ended at one that cannot come up, or went on from there; None for
        one that has not. ``NotFound`` where somebody has no access to it.
        """
        async with self.of(subscription_id) as ledger:
            row = None if ledger is None else await ledger.execution(execution_id)
        if row is None or not row.status.is_final:
            return None
        if not access.covers(row):
            raise NotFound("execution", execution_id)
        return shown(subscription_id, row)

    @asynccontextmanager
    async def of(self, subscription_id: str) -> AsyncIterator[Ledger | None]:
        """The ledger of one that sleeps, and does so meanwhile; None for one that is awake. That of
        one that cannot come up is read beside whoever may have it still, on a node that is cut off,
        or as it lets go of what waits there. Where the store does not allow that, it is waited for.
        """
        async with AsyncExitStack() as held:
            ledger = None
            if subscription_id in self._followers.unusable:
                ledger = await self._stores.read_ledger(subscription_id)
            if ledger is None:
                if await held.enter_async_context(self._followers.asleep(subscription_id)):
                    ledger = await self._stores.open_ledger(subscription_id)
                else:
                    await held.aclose()  # it may be asked to come up
            if ledger is not None:
                held.push_async_callback(ledger.close)
            yield ledger

    async def _is_new(self, subscription_id: str) -> bool:
        """Whether it never was up, so that it has no ledger."""
        if subscription_id not in self._followers.unusable:
            return self._sleepers.is_new(subscription_id)
        return subscription_id not in await self._stores.ledgers()

    def _newest(self, subscription_id: str) -> datetime | None:
        """When the newest execution there was asked for; None where there never was one, and the
        latest of all instants where only its ledger knows.
        """
        report = self._followers.known_report(subscription_id)
        if report is None:
            return _LATEST if subscription_id in self._followers.unusable else None
        return report.last_request_at

    async def _page(self, subscription_id: str, wanted: Listed) -> Page[Execution]:
        async with self.of(subscription_id) as ledger:
            if ledger is None:
                actor = self._actors.subscription(subscription_id)
                return await actor.executions(**dict(wanted))
            rows = await ledger.executions(**dict(wanted))
        items = tuple(shown(subscription_id, row) for row in rows.items)
        return Page[Execution](items=items, next_cursor=rows.next_cursor)

"""Executions of subscriptions that were removed: read from their ledgers, which stay, and kept no
longer than those of others.

Nobody owns such a ledger, so the router takes it over for as long as it reads, or removes what is
due: prompts and answers, and what is older than the retention. It holds a ledger for a moment at a
time. A subscription that is put back meanwhile waits for that, or takes the ledger over, as from
any earlier owner; and what is removed here, by one router or by two, is what it would remove.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from actors.aiokit import Keyed, every
from actors.interfaces.messages import Listed
from actors.router.ledgers.ledger_pages import newest_page
from pool.claude.runner import Runner
from pool.errors import NotFound, PoolError, StoreBusy, Unavailable
from pool.executions.execution import Execution, shown
from pool.keys.access import FULL_ACCESS, Access
from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.storage.paging import Page
from pool.storage.stores import Stores

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0
"""For the ledger of a removed subscription, whose actor may still let go of it."""
ROUND_SECONDS = 1200.0
"""Between two rounds: what is due is gone within the hour, also where a round fails."""
HOLD_SECONDS = 2.0
"""How long a round holds a ledger: one who puts its subscription back waits, up to 10 s."""
OUTPUT_KEPT = timedelta(minutes=10)
"""What a run has printed is kept as long for those who watch it, as where subscriptions live."""
SOON_SECONDS = 1.0
"""Before the next round, where that was not long enough."""


class Archive:
    """What the ledgers of removed subscriptions hold. ``runner_of`` makes one that finds what runs
    of a subscription left on this machine.
    """

    def __init__(
        self,
        stores: Stores,
        directory: Directory,
        runner_of: Callable[[str], Runner],
        clock: Callable[[], datetime],
        *,
        keep_prompts: timedelta,
        retention: timedelta,
    ) -> None:
        self._stores = stores
        self._directory = directory
        self._runner_of = runner_of
        self._clock = clock
        self._keep_prompts = keep_prompts
        self._retention = retention
        self._locks = Keyed(asyncio.Lock)
        self._newest: dict[str, datetime | None] = {}
        """When the newest execution of a ledger began; None where it has none. Nothing is added to
        a ledger as long as its subscription is removed.
        """

    async def execution(
        self, subscription_id: str, execution_id: str, access: Access = FULL_ACCESS
    ) -> Execution:
        """An execution that has ended there; ``NotFound`` for one that never began, or that
        somebody has no access to. ``Unavailable`` for one that nobody ends any more, unless its
        subscription is put back.
        """
        async with self._locks[subscription_id]:
            ledger = await self._stores.open_removed(subscription_id, wait_seconds=PATIENCE_SECONDS)
            try:
                row = await ledger.execution(execution_id)
            finally:
                await ledger.close()
        if row is None or not access.covers(row):
            raise NotFound("execution", execution_id)
        if not row.status.is_final:
            problem = f"its subscription {subscription_id!r} was removed while it was under way"
            raise Unavailable(execution_id, f"{problem}: put it back, and it is taken up again")
        return shown(subscription_id, row)

    def joined(self, subscription_id: str) -> None:
        """A subscription was removed just now: what was known of an earlier time is no more."""
        self._newest.pop(subscription_id, None)

    async def executions(
        self, wanted: Listed, subscription_id: str | None = None
    ) -> Page[Execution]:
        """Those of all removed subscriptions, newest first, or of one; ``NotFound`` for one that
        there never was. Ledgers are opened as far as the page needs them.
        """
        removed = tuple(filter(wanted.access.covers_subscription, await self._removed()))
        if subscription_id is not None and subscription_id not in removed:
            raise NotFound("subscription", subscription_id)
        for each in removed if subscription_id is None else [subscription_id]:
            if each not in self._newest:
                await self._page(each, Listed(limit=1))
        ids = [subscription_id] if subscription_id else list(removed)
        return await newest_page({each: self._newest.get(each) for each in ids}, wanted, self._page)

    async def _page(self, subscription_id: str, wanted: Listed) -> Page[Execution]:
        """A page of one ledger; none of it where its subscription is being put back."""
        try:
            async with self._locks[subscription_id]:
                ledger = await self._stores.open_removed(
                    subscription_id, wait_seconds=PATIENCE_SECONDS
                )
                try:
                    await self._look(ledger)
                    rows = await ledger.executions(**dict(wanted))
                finally:
                    await ledger.close()
        except StoreBusy:
            return Page[Execution](items=())
        items = tuple(shown(subscription_id, row) for row in rows.items)
        return Page[Execution](items=items, next_cursor=rows.next_cursor)

    async def _look(self, ledger: Ledger) -> None:
        newest = (await ledger.executions(limit=1)).items
        at = newest[0].intent.created_at if newest else None
        self._newest[ledger.subscription_id] = at

    async def _removed(self) -> tuple[str, ...]:
        registered = {each.spec.id for each in await self._directory.registrations()}
        for subscription_id in registered:
            self._newest.pop(subscription_id, None)
        return tuple(id_ for id_ in await self._stores.ledgers() if id_ not in registered)

    async def tend(self) -> None:
        """Remove what is due, round after round."""
        await every(ROUND_SECONDS, self.clean, "removed subscriptions were not cleaned")

    async def clean(self) -> float | None:
        """One round; how soon the next one is due, where something is left for it."""
        is_through = True
        for subscription_id in await self._removed():
            try:
                is_through &= await self._clean(subscription_id)
            except (PoolError, OSError) as error:
                ids = {"subscription_id": subscription_id}
                log.warning(
                    "removed subscription not cleaned", extra={**ids, "problem": str(error)}
                )
        return None if is_through else SOON_SECONDS

    async def _clean(self, subscription_id: str) -> bool:
        """Whether all was done that is due."""
        async with self._locks[subscription_id]:
            ledger = await self._stores.open_removed(subscription_id, wait_seconds=PATIENCE_SECONDS)
            try:
                async with asyncio.timeout(HOLD_SECONDS):
                    await self._remove_from(ledger)
            except TimeoutError:
                return False
            finally:
                await ledger.close()
        return True

    async def _remove_from(self, ledger: Ledger) -> None:
        await self.remove_due(ledger)
        await self._look(ledger)

    async def remove_due(self, ledger: Ledger) -> None:
        """Remove what is due from a ledger that nobody else owns, and from the disk."""
        now = self._clock()
        removed = await ledger.remove_content(now - self._keep_prompts, now)
        if removed:
            ids = {"subscription_id": ledger.subscription_id}
            log.info("prompts and answers removed", extra={**ids, "executions": removed})
        await ledger.expire(now - self._retention)
        await self._remove_output(ledger, now)

    async def _remove_output(self, ledger: Ledger, now: datetime) -> None:
        """What a run left on disk goes with its prompt and answer, if not before."""
        runner = self._runner_of(ledger.subscription_id)
        await asyncio.to_thread(runner.expire, now - min(OUTPUT_KEPT, self._keep_prompts))
        left = await asyncio.to_thread(runner.left, ())
        rows = {id_: await ledger.execution(id_) for id_ in left}
        wanted = {id_ for id_, row in rows.items() if row and row.content_removed_at is None}
        await asyncio.to_thread(runner.sweep, wanted)

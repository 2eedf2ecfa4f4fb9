"""Executions of subscriptions that were removed: read from their ledgers, which stay.

Nobody owns such a ledger, so the router takes it over for as long as it reads. A subscription that
is put back meanwhile waits for that, as for any earlier owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from actors.aiokit import Keyed
from pool.errors import NotFound, Unavailable
from pool.executions.execution import Execution, shown
from pool.keys.access import FULL_ACCESS, Access
from pool.storage.ledger.ledger import Ledger

OpenLedger = Callable[[str], Awaitable[Ledger]]


class Archive:
    """What the ledgers of removed subscriptions hold."""

    def __init__(self, open_ledger: OpenLedger) -> None:
        self._open_ledger = open_ledger
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
            ledger = await self._open_ledger(subscription_id)
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

    async def _look(self, ledger: Ledger) -> None:
        newest = (await ledger.executions(limit=1)).items
        at = newest[0].intent.created_at if newest else None
        self._newest[ledger.subscription_id] = at

    async def _remove_from(self, ledger: Ledger) -> None:
        await self.remove_due(ledger)
        await self._look(ledger)

"""Executions of subscriptions that were removed: read from their ledgers, which stay.

Nobody owns such a ledger, so the router takes it over for as long as it reads. A subscription that
is put back meanwhile waits for that, as for any earlier owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from actors.aiokit import Keyed
from pool.errors import NotFound, Unavailable
from pool.executions.execution import Execution, shown
from pool.storage.ledger.ledger import Ledger

OpenLedger = Callable[[str], Awaitable[Ledger]]


class Archive:
    """What the ledgers of removed subscriptions hold."""

    def __init__(self, open_ledger: OpenLedger) -> None:
        self._open_ledger = open_ledger
        self._locks = Keyed(asyncio.Lock)

    async def execution(self, subscription_id: str, execution_id: str) -> Execution:
        """An execution that has ended there; ``NotFound`` for one that never began. ``Unavailable``
        for one that nobody ends any more, unless its subscription is put back.
        """
        async with self._locks[subscription_id]:
            ledger = await self._open_ledger(subscription_id)
            try:
                row = await ledger.execution(execution_id)
            finally:
                await ledger.close()
        if row is None:
            raise NotFound("execution", execution_id)
        if not row.status.is_final:
            problem = f"its subscription {subscription_id!r} was removed while it was under way"
            raise Unavailable(execution_id, f"{problem}: put it back, and it is taken up again")
        return shown(subscription_id, row)

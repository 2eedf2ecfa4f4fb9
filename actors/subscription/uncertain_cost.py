"""What was spent is not known: reservations that are held, and looked at again.

An execution that ended ``uncertain`` may have been billed for something that no evidence shows. Its
reservation is held until the block of its end is over; and every few minutes its transcript is
looked at again, with the prices that are known by then. What is found is recorded once, beside the
execution, and the doubt is over.
"""

from __future__ import annotations

import asyncio
import logging

from actors.subscription.context import Life
from actors.subscription.live_executions import Runs
from pool.errors import PoolError
from pool.executions.execution import ExecutionRow, ExecutionStatus
from pool.subscriptions.state import Doubt
from pool.usage.records import Usage, UsageRecord, UsageSource

log = logging.getLogger(__name__)

RESCAN_SECONDS = 300.0
MOST_DOUBTS = 500
"""How many uncertain executions are remembered, the newest; older ones stay in the count."""


class Doubts:
    """The uncertain executions of a subscription."""

    def __init__(self, life: Life, runs: Runs) -> None:
        self._life = life
        self._runs = runs

    async def recover(self) -> None:
        """Take up what earlier activations left in doubt."""
        page = await self._life.ledger.executions(
            limit=MOST_DOUBTS, status=ExecutionStatus.UNCERTAIN
        )
        for row in page.items:
            self._life.state.doubt(row)

    async def rescan(self) -> None:
        """Look again, for as long as this life lasts."""
        while True:
            for doubt in tuple(self._life.state.doubts.values()):
                try:
                    await self._look(doubt)
                except (PoolError, OSError) as error:
                    log.warning("rescan failed", extra={"problem": str(error)})
            await asyncio.sleep(RESCAN_SECONDS)

    async def _look(self, doubt: Doubt) -> None:
        row = await self._life.ledger.execution(doubt.execution_id)
        if row is None:  # retention has removed it
            self._life.state.doubts.pop(doubt.execution_id, None)
            return
        recorded = row.outcome.usage if row.outcome else Usage()
        environment = self._life.given.environment(self._life.state.spec)
        launch = await self._runs.launch(row.intent)
        found = await self._life.given.runner.rescan(launch, environment, recorded)
        if found is not None:
            await self._correct(row, found)

    async def _correct(self, row: ExecutionRow, usage: Usage) -> None:
        life, execution_id = self._life, row.intent.execution_id
        record = UsageRecord(
            id=f"{execution_id}:correction",
            subscription_id=life.state.spec.id,
            timestamp=life.now(),
            source=UsageSource.PARTIAL,
            execution_id=execution_id,
            session_id=row.intent.session_id,
            caller=row.intent.caller or None,
            usage=usage,
        )
        if await life.ledger.record(record):
            life.state.spend(record)
            life.chronicle.recorded(record)
        life.state.resolve(execution_id)
        life.changed()

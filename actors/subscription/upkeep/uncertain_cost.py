"""Uncertain costs: reservations that are held for runs of unknown cost, and looked at again.

An execution that ended ``uncertain``, or was cancelled so, may have been billed for something that
no evidence shows. Its reservation is held until the block of its end is over; and every few minutes
its transcript is looked at again, with the prices that are known by then. What is found is recorded
once, next to the execution and in its outcome, and its cost is certain.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from actors.aiokit import every
from actors.subscription.context import SubscriptionContext
from actors.subscription.correction import correct
from pool.claude.launch.launch_spec import Launch
from pool.errors import PoolError
from pool.executions.intent import Intent
from pool.executions.row import is_of_unknown_cost
from pool.executions.status import ExecutionStatus
from pool.subscriptions.state import UncertainCost
from pool.usage.records import Usage, UsageSource

log = logging.getLogger(__name__)

RESCAN_SECONDS = 300.0
MOST_DOUBTS = 500
"""How many uncertain executions are remembered, the newest; older ones stay in the count."""


class UncertainCosts:
    """The uncertain executions of a subscription."""

    def __init__(
        self, context: SubscriptionContext, launch_of: Callable[[Intent], Awaitable[Launch]]
    ) -> None:
        self._context = context
        self._launch_of = launch_of

    async def recover(self) -> None:
        """Take up what earlier activations left uncertain."""
        state, ledger = self._context.state, self._context.ledger
        page = await ledger.executions(limit=MOST_DOUBTS, status=ExecutionStatus.UNCERTAIN)
        for row in page.items:
            state.uncertain_cost(row)
        page = await ledger.executions(limit=MOST_DOUBTS, status=ExecutionStatus.CANCELLED)
        for row in filter(is_of_unknown_cost, page.items):
            state.uncertain += 1  # the ledger counts those that are called uncertain
            state.uncertain_cost(row)

    async def rescan(self) -> None:
        """Look again, for as long as this activation lasts."""
        await every(RESCAN_SECONDS, self._rescan, "rescan failed")

    async def _rescan(self) -> None:
        for uncertain_cost in tuple(self._context.state.uncertain_costs.values()):
            try:
                await self._look(uncertain_cost)
            except (PoolError, OSError) as error:
                log.warning("rescan failed", extra={"problem": str(error)})

    async def _look(self, uncertain_cost: UncertainCost) -> None:
        row = await self._context.ledger.execution(uncertain_cost.execution_id)
        if row is None:  # retention has removed it
            self._context.state.uncertain_costs.pop(uncertain_cost.execution_id, None)
            return
        recorded = row.outcome.usage if row.outcome else Usage()
        environment = self._context.deps.environment(self._context.state.spec)
        launch = await self._launch_of(row.intent)
        found = await self._context.deps.runner.rescan(launch, environment, recorded)
        if found is not None:
            await correct(self._context, row.intent, found, UsageSource.PARTIAL)
            self._context.state.resolve(row.intent.execution_id)
            self._context.changed()

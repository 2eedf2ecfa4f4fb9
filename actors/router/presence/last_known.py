"""What is known of a subscription that cannot come up, to a router that has had no report of it
since it was started: what the subscription's ledger says.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from pool.errors import StoreError
from pool.executions.status import ExecutionStatus
from pool.storage.stores import Stores
from pool.subscriptions.recovery import Recovery
from pool.subscriptions.report import Report
from pool.subscriptions.reporting import SubscriptionPolicy, report
from pool.subscriptions.snapshot import asleep, of_newcomer
from pool.subscriptions.spec import SubscriptionSpec
from pool.subscriptions.state import REMEMBERED, recovered

log = logging.getLogger(__name__)


class LastKnown:
    """Reports made from the ledgers of subscriptions that are not up, by ``policy``."""

    def __init__(
        self, stores: Stores, policy: SubscriptionPolicy, clock: Callable[[], datetime]
    ) -> None:
        self._stores = stores
        self._policy = policy
        self._clock = clock

    async def report(self, spec: SubscriptionSpec) -> Report | None:
        """A subscription's figures, as an activation would find them; one that never was up has
        none. The ledger is read beside whoever may still have it; where the store does not allow
        that, it is taken over for as long as it is read. None where it cannot be read now.
        """
        try:
            return await self._report(spec)
        except Exception as error:
            ids = {"subscription_id": spec.id, "problem": str(error)}
            log.warning("ledger not read", extra=ids, exc_info=not isinstance(error, StoreError))
            return None

    async def _report(self, spec: SubscriptionSpec) -> Report:
        now = self._clock()
        if spec.id not in await self._stores.ledgers():
            return report(asleep(spec, of_newcomer(now)), self._policy, now)
        recovery = await self._read(spec.id, now)
        had = Counter(row.status for row in recovery.open)
        return report(recovered(spec, recovery), self._policy, now).model_copy(
            update={
                "running": had[ExecutionStatus.RUNNING],
                "queued": had[ExecutionStatus.QUEUED],
                "waiting_for_caller": had[ExecutionStatus.WAITING_FOR_CALLER],
            }
        )

    async def _read(self, subscription_id: str, now: datetime) -> Recovery:
        ledger = await self._stores.read_ledger(subscription_id)
        if ledger is None:
            ledger = await self._stores.open_ledger(subscription_id)
        try:
            return await ledger.recover(now - REMEMBERED)
        finally:
            await ledger.close()

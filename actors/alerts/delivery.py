"""Delivery of alerts to one webhook, one after the other, until each is taken or given up.

Each webhook has its own, so one that hangs keeps nobody else waiting. What is to be delivered and
when stands in the outbox: this remembers nothing, and may die at any time. Then the webhook
may get an alert twice, under the same id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from actors.aiokit import every
from pool.alerts.delivery import Delivery, DeliveryStatus, after, draw
from pool.alerts.webhooks import Webhook
from pool.storage.directory.outbox import Outbox

if TYPE_CHECKING:
    from actors.alerts.webhook_sender import WebhookSender

log = logging.getLogger(__name__)

HELD = timedelta(minutes=1)
"""How long a delivery belongs to whoever took it: an attempt ends much sooner."""
LONGEST_WAIT_SECONDS = 30.0
"""Between two looks: another router may have died with a delivery in hand."""


class AlertDelivery:
    """The deliveries to one webhook, one after the other."""

    def __init__(
        self,
        webhook: Webhook,
        outbox: Outbox,
        posting: WebhookSender,
        clock: Callable[[], datetime],
        give_up_after: timedelta,
    ) -> None:
        self._webhook = webhook
        self._outbox = outbox
        self._posting = posting
        self._clock = clock
        self._give_up_after = give_up_after
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be something to deliver."""
        self._wake.set()

    async def run(self) -> None:
        """For as long as the router lives."""
        name = self._webhook.spec.name
        await every(
            *(LONGEST_WAIT_SECONDS, self._round, "webhook waits"), wake=self._wake, webhook=name
        )

    async def deliver_due(self) -> None:
        """Make every delivery that is due, once."""
        name = self._webhook.spec.name
        while taken := await self._outbox.take(name, self._clock(), self._clock() + HELD):
            answer = await self._posting.post(self._webhook, taken.alert, self._clock())
            done = after(taken.delivery, answer, self._clock(), self._give_up_after, draw())
            await self._outbox.note(done)
            _log(done)

    async def _round(self) -> float | None:
        """Deliver what is due; how many seconds to wait before the next round."""
        await self.deliver_due()
        due_at = await self._outbox.next_due(self._webhook.spec.name)
        if due_at is None:
            return None
        return min(max((due_at - self._clock()).total_seconds(), 0.0), LONGEST_WAIT_SECONDS)


def _log(delivery: Delivery) -> None:
    fields = {
        "webhook": delivery.webhook,
        "alert_id": delivery.alert_id,
        "attempts": delivery.attempts,
        "problem": delivery.problem,
    }
    match delivery.status:
        case DeliveryStatus.DELIVERED:
            log.info("alert delivered", extra=fields)
        case DeliveryStatus.PENDING:
            log.warning("alert not delivered yet", extra=fields)
        case DeliveryStatus.GIVEN_UP:
            log.error("alert given up: its webhook does not take it", extra=fields)

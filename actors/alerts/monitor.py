"""Alerting: the router looks at what it knows, and alerts operators to what they should know.

The directory's outbox keeps what was alerted already, as levels (``pool/alerts/thresholds``). A
look compares the latest reports with these levels, and writes the new alerts and the new levels to
the outbox in one transaction; for each webhook an ``AlertDelivery`` sends its alerts from there.
Looks come at most once a second, in a task of their own: no request waits for them, and a store or
a webhook that fails delays alerts alone. A restart loses nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from actors.aiokit import Tasks, every
from actors.alerts.delivery import AlertDelivery
from pool.alerts.alerts import Alert, AlertSettings, Severity
from pool.alerts.thresholds import AlertState, threshold_alerts
from pool.alerts.webhooks import Webhook
from pool.storage.directory.outbox import Outbox, Raising
from pool.subscriptions.overview.pool_overview import overview
from pool.subscriptions.report import Report

if TYPE_CHECKING:
    from actors.alerts.webhook_sender import WebhookSender

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0

_LOGGED = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}

Look = Callable[[], tuple[Sequence[Report], Collection[str]]]
"""The latest reports, and the ids of the subscriptions that have sent none."""


class AlertMonitor:
    """Finds, keeps and sends alerts. ``follow`` sets it going."""

    def __init__(
        self,
        outbox: Outbox,
        webhooks: Sequence[Webhook],
        settings: AlertSettings,
        clock: Callable[[], datetime],
        posting: WebhookSender | None = None,
        tell: Callable[[Alert], None] = lambda _: None,
    ) -> None:
        self._outbox = outbox
        self._webhooks = tuple(webhooks)
        self._settings = settings
        self._clock = clock
        self._posting = posting or (_sender() if self._webhooks else None)
        self._deliveries = self._hired()
        self._tell = tell
        self._tasks = Tasks()
        self._seen: dict[str, tuple[int, int, datetime]] = {}
        """By subscription, what was compared already."""

    def _hired(self) -> tuple[AlertDelivery, ...]:
        if self._posting is None:
            return ()
        give_up_after = timedelta(hours=self._settings.give_up_hours)
        return tuple(
            AlertDelivery(webhook, self._outbox, self._posting, self._clock, give_up_after)
            for webhook in self._webhooks
        )

    def follow(self, look: Look) -> None:
        """Look on from now on, and deliver, what earlier activations left behind included."""
        self._tasks.spawn(every(LOOK_SECONDS, partial(self._look, look), "alerts wait"))
        for delivery in self._deliveries:
            self._tasks.spawn(delivery.run())

    async def consider(
        self,
        reports: Sequence[Report],
        unheard: Collection[str] = (),
        news: Sequence[Report] | None = None,
    ) -> tuple[Alert, ...]:
        """Compare reports with the alerts before them; the alerts that are new. ``news``: those of
        the reports that were not compared before, where not all are to be compared again.

        The pool as a whole is judged only where every subscription has sent one.
        """
        whole = None if unheard else overview(reports, self._clock())
        levels = await self._outbox.levels()
        compared = reports if news is None else news
        changed, alerts = threshold_alerts(levels, compared, whole, self._settings)
        return await self._keep(alerts, changed) if changed else ()

    async def raise_(self, alert: Alert) -> bool:
        """Keep a single event; once this returns it will be delivered, also after a crash.

        False where it was raised before.
        """
        return bool(await self._keep((alert,), ()))

    async def close(self) -> None:
        """Stop. What was not delivered is delivered by the next activation."""
        await self._tasks.close()
        if self._posting is not None:
            await self._posting.close()

    async def _keep(
        self, alerts: Sequence[Alert], levels: Sequence[AlertState]
    ) -> tuple[Alert, ...]:
        raised = [Raising(alert, self._told(alert)) for alert in alerts]
        added = tuple(await self._outbox.add(raised, levels))
        for alert in added:
            log.log(_LOGGED[alert.severity], "alert raised", extra=_fields(alert))
            self._tell(alert)
        if added:
            for delivery in self._deliveries:
                delivery.wake()
        return added

    def _told(self, alert: Alert) -> tuple[str, ...]:
        return tuple(each.spec.name for each in self._webhooks if each.wants(alert))

    async def _look(self, look: Look) -> None:
        reports, unheard = look()
        seen = {each.id: (each.epoch, each.version, each.observed_at) for each in reports}
        if seen != self._seen:
            news = [each for each in reports if self._seen.get(each.id) != seen[each.id]]
            await self.consider(reports, unheard, news)
            self._seen = seen


def _fields(alert: Alert) -> dict[str, object]:
    """What goes to the log: the evidence may quote the CLI, and does not."""
    return {
        "alert_id": alert.id,
        "kind": alert.kind.value,
        "subject": alert.subject,
        "told": alert.message,
    }


def _sender() -> WebhookSender:
    from actors.alerts.webhook_sender import WebhookSender  # noqa: PLC0415 - httpx takes 50 ms of each router's start

    return WebhookSender()

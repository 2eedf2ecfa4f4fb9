"""The protocol of an outbox of alerts, and its rows.

It lies where the directory lies, and like it may have one owner or be shared by several routers.
An alert, the levels that it came from and its deliveries are kept in one transaction, so that what
was told and what is still to be told never disagree. Ids are unique: an alert that is raised again,
by another router or after a crash, is kept once. A delivery is taken for a time; whoever took it
and died leaves it to be taken again, so it is made at least once, under the same id.

The newest ``MOST_ALERTS`` are kept, whatever becomes of the older ones. Failures are
``StoreError``s, and nothing of the call was kept then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from pool.alerts.alerts import Alert
from pool.alerts.delivery import Delivery, DeliveryStatus, ListedAlert
from pool.alerts.thresholds import AlertState
from pool.storage.documents import document, micros, read_document
from pool.storage.paging import Bindings, Page, check_limit, start_of

MOST_ALERTS = 10_000


class Raising(NamedTuple):
    """An alert, and the webhooks that are to be told of it."""

    alert: Alert
    webhooks: tuple[str, ...] = ()

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        at = self.alert.raised_at
        return tuple(
            Delivery(alert_id=self.alert.id, webhook=name, raised_at=at, due_at=at)
            for name in self.webhooks
        )


class Taken(NamedTuple):
    """A delivery to be made now."""

    alert: Alert
    delivery: Delivery


class Outbox(Protocol):
    """The alerts of a pool, their levels, and their deliveries."""

    async def levels(self) -> Sequence[AlertState]: ...

    async def add(
        self, raised: Sequence[Raising], levels: Sequence[AlertState] = ()
    ) -> Sequence[Alert]:
        """Keep alerts and the levels they came from; the alerts that were not there before.

        A level is replaced by one of a higher step, or of the same step and seen later; never back.
        """
        ...

    async def take(self, webhook: str, now: datetime, until: datetime) -> Taken | None:
        """The delivery to this webhook that is due longest, if one is due ``now``.

        It is the caller's ``until`` then; what is not noted by that time is taken again.
        """
        ...

    async def next_due(self, webhook: str) -> datetime | None:
        """When the next delivery to this webhook is due; None where nothing waits."""
        ...

    async def note(self, delivery: Delivery) -> None:
        """Keep what became of a delivery. One that has ended stays as it is."""
        ...

    async def alerts(self, *, limit: int = 50, cursor: str | None = None) -> Page[ListedAlert]:
        """Newest first."""
        ...

    async def expire(self, before: datetime) -> int:
        """Forget alerts that were raised before, and levels that came to rest before; the number of
        alerts.
        """
        ...


# -- rows: what engines agree on -----------------------------------------------------------------


def alert_columns(alert: Alert) -> Bindings:
    plain = Alert(**alert.model_dump(exclude={"deliveries"}))
    return {"id": alert.id, "raised_at": micros(alert.raised_at), "document": document(plain)}


def delivery_columns(delivery: Delivery) -> Bindings:
    return {
        "alert_id": delivery.alert_id,
        "webhook": delivery.webhook,
        "is_pending": delivery.status is DeliveryStatus.PENDING,
        "due_at": micros(delivery.due_at),
        "document": document(delivery),
    }


def level_columns(level: AlertState) -> Bindings:
    return {
        "key": level.key,
        "step": level.step,
        "seen_at": micros(level.seen_at),
        "document": document(level),
    }


def in_order(levels: Iterable[AlertState]) -> list[Bindings]:
    """By their keys, so that two routers that write the same ones do not lock each other out."""
    return [level_columns(level) for level in sorted(levels, key=lambda each: each.key)]


def alerts_below(limit: int, cursor: str | None) -> Bindings:
    check_limit(limit)
    at, last = start_of("alerts", cursor)
    return {"at": at, "id": last, "limit": limit + 1}


def listed_alert(row: Sequence[Any]) -> ListedAlert:
    """Of ``raised_at, id, document`` and the documents of the deliveries as a JSON array."""
    text, deliveries = row[2:]
    alert = read_document(Alert, text)
    kept = [Delivery.model_validate(each) for each in json.loads(deliveries or "[]")]
    return ListedAlert(
        **alert.model_dump(), deliveries=tuple(sorted(kept, key=lambda each: each.webhook))
    )


def loading_outbox(levels: Iterable[AlertState], alerts: Iterable[ListedAlert]) -> list[Any]:
    """Statements by their names, each with the bindings that it is run with."""
    kept = tuple(alerts)
    return [
        ("load_level", in_order(levels)),
        ("load_alert", [alert_columns(alert) for alert in kept]),
        ("load_delivery", [delivery_columns(d) for alert in kept for d in alert.deliveries]),
    ]

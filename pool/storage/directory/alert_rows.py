"""Alerts, their levels and their deliveries as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pool.alerts.alerts import Alert
from pool.alerts.delivery import Delivery, DeliveryStatus, ListedAlert
from pool.alerts.thresholds import AlertState
from pool.storage.database import Bindings, Loading
from pool.storage.documents import document, micros, read_document
from pool.storage.paging import check_limit, start_of


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


def loading_outbox(levels: Iterable[AlertState], alerts: Iterable[ListedAlert]) -> Loading:
    kept = tuple(alerts)
    return [
        ("load_level", in_order(levels)),
        ("load_alert", [alert_columns(alert) for alert in kept]),
        ("load_delivery", [delivery_columns(d) for alert in kept for d in alert.deliveries]),
    ]

"""The pool, read again and again on a thread of its own.

A read begins a second after the last one, or four times what that took, whichever is longer: so a
slow pool is not slowed down further. What changes seldom, or costs more, is read every 15 s. When
the service is silent, what was known stays, and it is asked again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from api.cli.service import Complaint, Service, understood
from api.cli.top.snapshot import Silence, Snapshot, by_urgency, live_first
from pool.alerts.delivery import ListedAlert
from pool.executions.execution import Execution
from pool.storage.paging import Page
from pool.usage.breakdown.breakdown import UsageBreakdown
from pool.values import instant_text

PAUSE_SECONDS = 1.0
REST_FACTOR = 4
SELDOM_SECONDS = 15.0
EXECUTIONS = 50
"""How many of the latest are shown."""


def first_snapshot(service: Service) -> Snapshot:
    """The pool as it is now. ``Complaint`` where it cannot be read."""
    return _rarely(service, _often(service, None))


def _often(service: Service, known: Snapshot | None) -> Snapshot:
    overview, reports = service.pool(), service.subscriptions()
    executions: tuple[Execution, ...] = ()
    with suppress(Complaint):  # a key that may look at the pool need not see what it runs
        found = service.ask("GET", "/v1/executions", params={"limit": EXECUTIONS}).value
        executions = live_first([*understood(Page[Execution], found).items])
    now = Snapshot(overview, by_urgency(reports), executions)
    return now if known is None else replace(now, alerts=known.alerts, today_usd=known.today_usd)


def _rarely(service: Service, known: Snapshot) -> Snapshot:
    alerts: tuple[ListedAlert, ...] = ()
    today: Decimal | None = None
    with suppress(Complaint):
        found = service.ask("GET", "/v1/alerts", params={"limit": 20}).value
        alerts = understood(Page[ListedAlert], found).items
    with suppress(Complaint):
        today = _cost_of_today(service, known.overview.observed_at)
    return replace(known, alerts=alerts, today_usd=today)


def _cost_of_today(service: Service, now: datetime) -> Decimal:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    params: dict[str, Any] = {
        "group_by": "day",
        "by_totals": True,
        "since": instant_text(midnight),
        "until": instant_text(midnight + timedelta(days=1)),
    }
    found = service.ask("GET", "/v1/usage", params=params).value
    return understood(UsageBreakdown, found).total.cost_usd


class Polling:
    """The latest snapshot, kept up until it is stopped."""

    def __init__(self, service: Service, first: Snapshot, told: Callable[[], None]) -> None:
        self._service = service
        self._told = told
        self._over = threading.Event()
        self._wanted = threading.Event()
        self._read_rarely_at = time.monotonic()
        self._snapshot = first
        self._read_at = time.monotonic()
        self._thread = threading.Thread(target=self._go_on, name="polling", daemon=True)

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def now(self) -> datetime:
        """By the pool's clock, which need not be this machine's."""
        since = timedelta(seconds=time.monotonic() - self._read_at)
        return self._snapshot.overview.observed_at + since

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._wanted.set()

    def soon(self) -> None:
        """Read at once: something was changed."""
        self._wanted.set()

    def _go_on(self) -> None:
        took = 0.0
        while not self._over.is_set():
            self._wanted.wait(max(PAUSE_SECONDS, REST_FACTOR * took))
            self._wanted.clear()
            began = time.monotonic()
            if not self._over.is_set():
                self._read()
                self._told()
            took = time.monotonic() - began

    def _read(self) -> None:
        known = self._snapshot
        try:
            snapshot = _often(self._service, known)
        except Complaint as complaint:
            since = known.silence.since if known.silence else self.now
            silence = Silence(since, complaint.title, complaint.detail)
            self._snapshot = replace(known, silence=silence)
            return
        back_since = known.back_since
        if known.silence is not None:
            back_since, self._read_rarely_at = snapshot.overview.observed_at, 0
        if time.monotonic() - self._read_rarely_at >= SELDOM_SECONDS:
            snapshot = _rarely(self._service, snapshot)
            self._read_rarely_at = time.monotonic()
        self._snapshot = replace(snapshot, back_since=back_since)
        self._read_at = time.monotonic()

"""The newest events, in order, for whoever reads along or comes back.

A bounded ring in memory: the oldest event falls out. Its ids are
``<activation>-<number>``, so an id of an earlier activation, or one whose successor has fallen out,
is known for what it is and answered with a gap first. Whoever adds an event waits for nothing.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from itertools import islice

from actors.aiokit import News, within
from actors.interfaces.messages import LONGEST_POLL_SECONDS
from pool.errors import InvalidRequest
from pool.telemetry.events import EventFilter, PoolEvent, PoolEventPage, StoredEvent, gap

MOST_KEPT = 5000
"""About 3 MB: at a hundred executions a minute, a quarter of an hour."""
MOST_AT_ONCE = 200
_CURSOR = re.compile(r"([0-9a-f]{1,32})-([0-9]{1,15})", re.ASCII)


class EventLog:
    """The events of one activation, of a subscription or of the router."""

    def __init__(
        self, activation: str, clock: Callable[[], datetime], most_kept: int = MOST_KEPT
    ) -> None:
        self._activation = activation
        self._clock = clock
        self._kept: deque[PoolEvent] = deque(maxlen=most_kept)
        self._last = 0
        """The number of the newest one; the first has 1."""
        self._news = News()

    def add(self, happening: PoolEvent) -> None:
        self._kept.append(happening)
        self._last += 1
        self._news.tell()

    async def next_page(
        self, after: str | None, wanted: EventFilter, wait_seconds: float, limit: int = MOST_AT_ONCE
    ) -> PoolEventPage:
        """``page``, as soon as there is something in it; an empty one after ``wait_seconds``."""
        until = time.monotonic() + min(wait_seconds, LONGEST_POLL_SECONDS)
        while True:
            news = self._news.next
            page = self.page(after, wanted, limit)
            left = until - time.monotonic()
            if page.items or left <= 0:
                return page
            after = page.cursor
            await within(left, news)

    def page(
        self, after: str | None, wanted: EventFilter | None = None, limit: int = MOST_AT_ONCE
    ) -> PoolEventPage:
        """What happened after an id, at most ``limit`` of it; without one, nothing yet: what
        happens from now on. ``InvalidRequest`` for an id that is none.
        """
        if after is None:
            return PoolEventPage(items=(), cursor=self._id(self._last))
        number, reason = self._place(after)
        items = []
        if reason is not None:
            items.append(StoredEvent(id=self._id(number), happening=gap(reason, self._clock())))
        before_kept = self._last - len(self._kept)
        for happening in islice(self._kept, number - before_kept, None):
            if len(items) >= limit:
                break
            number += 1
            if wanted is None or wanted.takes(happening):
                items.append(StoredEvent(id=self._id(number), happening=happening))
        return PoolEventPage(items=tuple(items), cursor=self._id(number))

    def _place(self, after: str) -> tuple[int, str | None]:
        """The number after which to go on, and why something may be missing before it."""
        found = _CURSOR.fullmatch(after)
        if found is None:
            raise InvalidRequest(
                "after", "is no id of an event: pass the id of the last event that came"
            )
        number, before_kept = int(found[2]), self._last - len(self._kept)
        if found[1] != self._activation or number > self._last:
            return before_kept, "its list of events began anew since"
        if number < before_kept:
            return before_kept, "more happened since than is kept"
        return number, None

    def _id(self, number: int) -> str:
        return f"{self._activation}-{number}"

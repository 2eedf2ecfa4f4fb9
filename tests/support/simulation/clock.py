"""A virtual clock for the simulated pool: time passes only from one event to the next.

What takes time is a generator of the seconds it lets pass, so that a dispatch reads like the one of
the actors: where that awaits an answer, this yields the time the answer takes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

Steps = Generator[float, None, Any]


class Clock:
    """Events in the order of their time; of one instant, in the order they were planned."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, when: datetime, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(when, self.now), next(self._numbers), do))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self.at(self.now + timedelta(seconds=seconds), do)

    def begin(self, steps: Steps) -> None:
        """Go on with ``steps`` until its end, letting pass what it yields."""
        seconds = next(steps, None)
        if seconds is not None:
            self.after(seconds, lambda: self.begin(steps))

    def run(self, until: datetime) -> None:
        """Let everything happen that is planned by then; afterwards it is ``until``."""
        while self._events and self._events[0][0] <= until:
            self.now, _, do = heapq.heappop(self._events)
            do()
        self.now = until

"""The pace of polling: at most one poll a minute a key, across restarts.

Anthropic asks for no more. A poll is the first page of a report; the pages that follow, and another
try after an error, belong to it. When it was is noted durably before it goes out, so that a process
that dies in a loop does not poll in one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

SPACING = timedelta(minutes=1)
Sleep = Callable[[float], Awaitable[None]]


class PollNotes(Protocol):
    """Where it is kept when a key was used last."""

    async def polled_at(self, key_name: str) -> datetime | None: ...

    async def note_poll(self, key_name: str, at: datetime) -> None: ...


class Pace:
    """Lets one poll a minute through for each key, in the order of asking."""

    def __init__(self, notes: PollNotes, clock: Callable[[], datetime], sleep: Sleep) -> None:
        self._notes = notes
        self._clock = clock
        self._sleep = sleep
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def turn(self, key_name: str) -> None:
        """Return when a poll with this key may go out; waits a minute at most for each before it,
        whatever the clock is set to meanwhile.
        """
        async with self._turns[key_name]:
            last = await self._notes.polled_at(key_name)
            if last is not None:
                wait = min(SPACING, last + SPACING - self._clock())
                if wait > timedelta():
                    await self._sleep(wait.total_seconds())
            await self._notes.note_poll(key_name, self._clock())

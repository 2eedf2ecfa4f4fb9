"""The limit of executions that a client waits for at a time.

A program that hands ten thousand prompts to the pool at once would fill every queue, be refused for
the rest, and hold a call for each. A client lets so many go and keeps the others waiting in the
caller's process, where that costs nothing.
"""

from __future__ import annotations

import asyncio

from pool.errors import InvalidRequest

MAX_IN_FLIGHT = 32
"""More than the slots of most pools; with those of a few other clients less than their queues."""


class ConcurrencyLimit:
    """The places of one client. In another event loop than before, all of them are free."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise InvalidRequest("max_in_flight", f"is {most}: allow at least 1")
        self.most = most
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(most)

    @property
    def place(self) -> asyncio.Semaphore:
        """A place to hold with ``async with``, as soon as one is free; first come, first served."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a semaphore belongs to the loop in which somebody waited
            self._loop, self._places = loop, asyncio.Semaphore(self.most)
        return self._places

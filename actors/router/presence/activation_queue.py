"""The queue of activations: how many subscriptions come up at a time, and which of them first.

To come up, a subscription takes a process of Ray and a core for a second or two. All at once, the
subscriptions would hold each other up for so long that each looks dead; so a few come up at a time,
and one that a request asks for goes before those that nobody waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple


class _Waiting(NamedTuple):
    subscription_id: str
    turn: asyncio.Future[None]


class ActivationQueue:
    """Turns of subscriptions, at most ``at_once`` of them at a time: those that are wanted first,
    the others in the order in which they asked.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._running = 0
        self._waiting: list[_Waiting] = []
        self._wanted: dict[str, None] = {}
        """The ids of the subscriptions that are wanted, in the order in which they were."""

    def want(self, subscription_id: str) -> None:
        """Let the next turn of a subscription come before those that nobody asks for."""
        self._wanted.setdefault(subscription_id)

    def forget(self, subscription_id: str) -> None:
        """Nobody wants this subscription any more."""
        self._wanted.pop(subscription_id, None)

    @asynccontextmanager
    async def turn(self, subscription_id: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the length of the block."""
        mine = _Waiting(subscription_id, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._begin()
        try:
            await mine.turn
            yield
        finally:
            if mine in self._waiting:  # cancelled before its turn
                self._waiting.remove(mine)
            else:
                self._running -= 1
            self._begin()

    def _begin(self) -> None:
        """Give turns to as many as there is room for."""
        while self._waiting and self._running < self._at_once:
            chosen = self._next()
            self._waiting.remove(chosen)
            self.forget(chosen.subscription_id)
            self._running += 1
            if not chosen.turn.done():  # or it was cancelled just now, and gives its turn back
                chosen.turn.set_result(None)

    def _next(self) -> _Waiting:
        there = {each.subscription_id: each for each in reversed(self._waiting)}
        wanted = next((there[id_] for id_ in self._wanted if id_ in there), None)
        return wanted or self._waiting[0]

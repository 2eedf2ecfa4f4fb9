"""A caller's patience with a part of the pool that is lost: it asks about an execution again, by
its id, until somebody answers, and is told the id where nobody does.

A process that died is back in a second or two; a node that is lost is known as such after some
seconds, and what was there comes up elsewhere; a database that is started anew is back within
seconds. Asking again is safe (G5), so nobody is turned away for any of these.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pool.errors import ActorLost, CommitUnknown, PoolError, StoreAway

Answer = TypeVar("Answer")

LOST_SECONDS = 60.0
"""How long an actor is waited for: what is not back by then waits for somebody to look after it."""
STORE_SECONDS = 15.0
"""How long a database is: it is started anew in a few seconds, or is away."""
ASK_AGAIN_SECONDS = 0.25


class Patience:
    """The patience of one caller with one question."""

    def __init__(self, execution_id: str) -> None:
        self._execution_id = execution_id
        self._lost_at: float | None = None

    async def wait(self, error: PoolError) -> None:
        """Wait before the next try, where the error is one that passes; raise it otherwise, or once
        the time is over, with the id of the execution.
        """
        if not isinstance(error, ActorLost | StoreAway | CommitUnknown):
            raise error
        self._lost_at = self._lost_at or time.monotonic()
        lost_for = time.monotonic() - self._lost_at
        match error:
            case ActorLost() if lost_for > LOST_SECONDS:
                raise ActorLost(error.peer, error.problem, self._execution_id) from error
            case StoreAway() | CommitUnknown() if lost_for > STORE_SECONDS:
                raise StoreAway(error.store, error.problem, self._execution_id) from error
        await asyncio.sleep(ASK_AGAIN_SECONDS)


async def patiently(execution_id: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer of whoever is asked, once it can be had."""
    patience = Patience(execution_id)
    while True:
        try:
            return await ask()
        except PoolError as error:
            await patience.wait(error)

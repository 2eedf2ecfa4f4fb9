"""The orderly way to a pool at rest, in which nothing runs."""

from __future__ import annotations

import asyncio
import time

from actors.interfaces.router_actor import RouterActor

INTERRUPT_SECONDS = 10.0
"""For runs to end once they were interrupted: the ladder takes 4 s, and then they are settled."""
POLL_SECONDS = 0.05


async def put_to_rest(router: RouterActor, drain_seconds: float) -> None:
    """Take no new work, let what runs end for ``drain_seconds``, then interrupt it and see it
    settled.
    """
    await router.suspend()
    if not await _comes_to_rest(router, drain_seconds):
        await router.interrupt()
        await _comes_to_rest(router, INTERRUPT_SECONDS)


async def _comes_to_rest(router: RouterActor, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(
        each.running and each.presence != "away"  # what is away is not there to end it
        for each in await router.subscriptions()
    ):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True

"""The release of a subscription that no node can have: its actor lets go of what it has."""

from __future__ import annotations

import asyncio
import time

from actors.interfaces.subscription_actor import SubscriptionActor

LOOK_SECONDS = 0.1


async def let_go(actor: SubscriptionActor, seconds: float) -> int:
    """Have it let go of everything, for so long at most; how many executions have not ended."""
    until = time.monotonic() + seconds
    while (left := await actor.retire()) and time.monotonic() < until:  # noqa: ASYNC110 - an actor's
        await asyncio.sleep(LOOK_SECONDS)
    return left

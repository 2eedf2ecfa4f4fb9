"""The removal of prompts and answers, some time after the end of their executions.

By then whoever waited has been answered, and what an execution cost, where it ran and how it ended
is what is still asked for: that stays as long as records do.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from actors.aiokit import every
from actors.subscription.context import SubscriptionContext

log = logging.getLogger(__name__)

LONGEST_SECONDS = 60.0
SHORTEST_SECONDS = 1.0


def seconds_between_looks(kept: timedelta) -> float:
    """The pause between two looks for what has been kept so long."""
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, kept.total_seconds()))


async def remove_content(context: SubscriptionContext) -> None:
    """Remove what is due, now and again for as long as this activation lasts."""
    pause = seconds_between_looks(context.deps.keep_prompts)
    await every(pause, partial(_remove, context), "prompts and answers not removed")


async def _remove(context: SubscriptionContext) -> None:
    now = context.now()
    removed = await context.ledger.remove_content(now - context.deps.keep_prompts, now)
    if removed:
        log.info("prompts and answers removed", extra={"executions": removed})

"""Losses: subscriptions whose actor has ceased to answer, with its process or its node.

A loss is known from the first call that fails, whoever made it here. From that step on nobody is
sent there and lists say so; the figures that are shown are its last ones. A process that died is
back in a second or two. What is not back after ``BACK_SECONDS`` is looked after: where its node is
gone for good it comes up on another one, or is said to be without a place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from actors.aiokit import end
from pool.errors import ActorLost
from pool.subscriptions.report import Report, SubscriptionState

Answer = TypeVar("Answer")

BACK_SECONDS = 3.0
SILENT_SECONDS = 10.0
"""Beyond the time after which it has to answer: one that is frozen does not, and nothing fails."""
_COMING = "its process or its node was lost, and it is being brought up again"


def lost(report: Report, why: str = _COMING) -> Report:
    """The last report of one that is lost: it takes nothing until it is back."""
    return report.model_copy(
        update={
            "presence": "away",
            "state": SubscriptionState.COOLDOWN,
            "state_reason": f"away: {why}",
            "state_until": None,
            "cooldown_cause": None,
        }
    )


class Losses:
    """Who is lost now, and who waits for it to be back."""

    def __init__(self) -> None:
        self._lost: dict[str, asyncio.Event] = {}

    def follow(self, subscription_id: str) -> None:
        """Somebody asks for the reports of this one from now on; it is not lost yet."""
        self._lost[subscription_id] = asyncio.Event()

    def note(self, subscription_id: str) -> None:
        """One was lost."""
        if subscription_id in self._lost:
            self._lost[subscription_id].set()

    def forget(self, subscription_id: str) -> None:
        self._lost.pop(subscription_id, None)

    async def answer(
        self, subscription_id: str, asking: Awaitable[Answer], seconds: float
    ) -> Answer:
        """What one answers that says something within so many seconds. ``ActorLost`` where it does
        not, or is lost meanwhile and is not back soon.
        """
        asked = asyncio.ensure_future(asking)
        lost = asyncio.ensure_future(self._lost[subscription_id].wait())
        try:
            longest = seconds + SILENT_SECONDS
            await asyncio.wait({asked, lost}, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
            if lost.done() and not asked.done():
                await asyncio.wait({asked}, timeout=BACK_SECONDS)
            if not asked.done():
                problem = "it is not back" if lost.done() else f"it is silent for {longest:g} s"
                raise ActorLost(subscription_id, problem)
            return asked.result()
        finally:
            await end([asked, lost])

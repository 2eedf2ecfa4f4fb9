"""Losses: subscriptions whose actor has ceased to answer, with its process or its node.

A loss is known from the first call that fails, whichever part of the router made it. From then on
no request is sent to the subscription and lists say that it is away; the figures that are shown are
its last ones. A process that died is back in a second or two. A subscription that is not back after
``BACK_SECONDS`` is activated again by its follower, wherever it can be by then: the nodes are asked
by ``runtime.nodes.places``, and ``pool.nodes.node_choice`` decides which can have it. Where none
can, the subscription is shown with the reason, and after some minutes lets go of what it has
(``releases``).
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
"""Beyond the time after which a subscription has to answer: one that is frozen does not answer, and
no call fails."""
_COMING = "its process or its node was lost, and it is being brought up again"


def lost(report: Report, why: str = _COMING) -> Report:
    """The last report of a subscription, shown as away: it takes nothing until it is back."""
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
    """Which subscriptions are lost now; their followers wait here for an answer or a loss."""

    def __init__(self) -> None:
        self._lost: dict[str, asyncio.Event] = {}

    def follow(self, subscription_id: str) -> None:
        """A follower asks for this subscription's next report; it is not lost yet."""
        self._lost[subscription_id] = asyncio.Event()

    def note(self, subscription_id: str) -> None:
        """A subscription was lost."""
        if subscription_id in self._lost:
            self._lost[subscription_id].set()

    def forget(self, subscription_id: str) -> None:
        self._lost.pop(subscription_id, None)

    async def answer(
        self, subscription_id: str, asking: Awaitable[Answer], seconds: float
    ) -> Answer:
        """The answer of a subscription that is to answer within ``seconds``. ``ActorLost`` where it
        does not, or where it is lost meanwhile and not back soon.
        """
        asked = asyncio.ensure_future(asking)
        loss = asyncio.ensure_future(self._lost[subscription_id].wait())
        try:
            longest = seconds + SILENT_SECONDS
            await asyncio.wait({asked, loss}, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
            if loss.done() and not asked.done():
                await asyncio.wait({asked}, timeout=BACK_SECONDS)
            if not asked.done():
                problem = "it is not back" if loss.done() else f"it is silent for {longest:g} s"
                raise ActorLost(subscription_id, problem)
            return asked.result()
        finally:
            await end([asked, loss])

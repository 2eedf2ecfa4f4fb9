"""Two subscriptions, one of which hands executions on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors.interfaces.messages import HandedOff, HandoffRequest, NotTaken
from actors.router.router import Router
from pool.errors import ActorLost
from pool.executions.execution import Execution
from pool.executions.status import ExecutionStatus
from pool.subscriptions.consequences.settlement import Settlement
from tests.support.pools.localpool import LocalPool

OpenPool = Callable[..., Awaitable[LocalPool]]


def hold_back_the_second_settlement(
    pool: LocalPool, subscription_id: str, monkeypatch: pytest.MonkeyPatch
) -> asyncio.Event:
    """The one that says where an execution went waits for the event."""
    ledger = pool.actors.subscription(subscription_id)._context.ledger
    settle, release = ledger.settle, asyncio.Event()

    async def slowly(settlement: Settlement) -> bool:
        if settlement.row.status is ExecutionStatus.MOVED:
            await release.wait()
        return await settle(settlement)

    monkeypatch.setattr(ledger, "settle", slowly)
    return release


class AwayRouter:
    """A router that is gone for some calls."""

    def __init__(self, router: Router, calls: int) -> None:
        self._router = router
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)

    async def hand_off(self, handoff_request: HandoffRequest) -> HandedOff | NotTaken:
        if self.calls:
            self.calls -= 1
            raise ActorLost("router", "it was killed")
        return await self._router.hand_off(handoff_request)


async def is_moving(pool: LocalPool, execution_id: str, at: str = "sub1") -> bool:
    row = await pool.actors.subscription(at)._context.ledger.execution(execution_id)
    return row is not None and row.status is ExecutionStatus.MOVING


async def is_charged_once(pool: LocalPool, execution: Execution) -> None:
    """What each attempt cost stands in the ledger of its subscription, and nothing else does."""
    listed = {(each.subscription_id, each.cost_usd) for each in execution.attempts if each.cost_usd}
    recorded = [
        (id_, record.usage.cost_usd)
        for id_ in pool.actors.subscriptions
        for record in (await pool.client.usage(id_, limit=500)).items
        if record.execution_id == execution.id
    ]
    assert sorted(recorded) == sorted(listed)

"""A local pool whose subscriptions fall asleep, and what its tests do again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import cast

from pool.executions.request import ExecutionRequest
from tests.support.pools.localpool import LocalPool
from tests.support.pools.sleepy_peers import SleepyPeers
from tests.support.suite.waiting import until
from tests.support.values.manual_clock import ManualClock

IDLE = timedelta(minutes=15)
Start = Callable[..., Awaitable[LocalPool]]


def ask(**of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "q", **of})


def peers(pool: LocalPool) -> SleepyPeers:
    return cast(SleepyPeers, pool.actors)


async def asleep(pool: LocalPool, clock: ManualClock, *ids: str, after: timedelta = IDLE) -> None:
    """Let time go by until they sleep."""
    clock.advance(after)
    await until(lambda: pool.router._sleepers.ids >= set(ids or ("sub1",)))

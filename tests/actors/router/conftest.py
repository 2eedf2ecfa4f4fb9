"""Pools whose subscriptions fall asleep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from actors.router.presence import followers
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.pools.sleepy_peers import SleepyPeers
from tests.support.pools.sleepy_pool import IDLE, Start
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock


@pytest.fixture
async def start(
    tmp_path: Path, clock: ManualClock, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Start]:
    """Start a pool, again and again in the same place, whose subscriptions fall asleep."""
    monkeypatch.setattr(followers, "HEARTBEAT_SECONDS", 0.02)
    opened: list[LocalPool] = []

    async def begin(*specs: SubscriptionSpec, idle: timedelta = IDLE) -> LocalPool:
        pool = await local_pool_at(
            tmp_path,
            *specs,
            clock=clock,
            runner_of=lambda _: runner,
            peers=SleepyPeers,
            idle=idle,
        )
        pool.runner = runner
        opened.append(pool)
        return pool

    yield begin
    for pool in opened:
        await pool.close()


@pytest.fixture
async def sleepy_pool(start: Start) -> LocalPool:
    return await start(spec("sub1", max_concurrent=2))

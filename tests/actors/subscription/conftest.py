"""Pools of one subscription, and of two."""

from __future__ import annotations

import pytest

from tests.support.pools.localpool import LocalPool
from tests.support.pools.subscribed import OpenPool
from tests.support.values.examples import spec


@pytest.fixture
async def pool(open_pool: OpenPool) -> LocalPool:
    """One subscription with two slots and room for three to wait."""
    return await open_pool(spec("sub1", max_concurrent=2, max_queued=3))


@pytest.fixture
async def two(open_pool: OpenPool) -> LocalPool:
    """Two subscriptions; the first is asked first."""
    return await open_pool(spec("sub1", max_concurrent=2), spec("sub2", max_concurrent=2))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.subscription.executions.handoff.ROUTER_AWAY_SECONDS", 0.01)

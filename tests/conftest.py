"""Fixtures that every test may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from localpool import SONNET, FakeRunner, LocalPeers, LocalPool, ManualClock, spec

from actors.client import PoolClient
from actors.dispatching import DispatchSettings
from actors.life import Surroundings
from actors.router import Router, RouterSettings
from actors.subscription import Subscription
from pool.config import ClaudeSettings
from pool.errors import StoreError
from pool.snapshot import SeatPolicy
from pool.store.sqlite import SqliteStores
from pool.subscription import SubscriptionSpec

OpenPool = Callable[..., Awaitable[LocalPool]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
async def open_pool(tmp_path: Path, open_at: OpenPool) -> OpenPool:
    """Start a local pool with the given specifications."""

    async def start(*specs: SubscriptionSpec) -> LocalPool:
        return await open_at(tmp_path, *specs)

    return start


@pytest.fixture
async def open_at(clock: ManualClock, runner: FakeRunner) -> AsyncIterator[OpenPool]:
    """Start a local pool whose stores are in a folder."""
    opened: list[LocalPool] = []

    async def start(folder: Path, *specs: SubscriptionSpec) -> LocalPool:
        stores = SqliteStores(folder)
        left: list[StoreError] = []

        async def make(wanted: SubscriptionSpec) -> Subscription:
            ledger = await stores.open_ledger(wanted.id)
            return await Subscription.activate(wanted, ledger, around)

        peers = LocalPeers(make)
        around = Surroundings(
            runner=runner,
            environment=lambda seat: {"SEAT": seat.id},
            clock=clock,
            peers=peers,
            leave=left.append,
            policy=SeatPolicy(),
            system_prompt="You are terse.",
            retention=timedelta(days=35),
        )
        router = await Router.activate(
            await stores.open_directory(),
            peers,
            RouterSettings(
                dispatch=DispatchSettings(default_model=SONNET, timeout_seconds=600),
                backups_dir=folder / "backups",
            ),
            ClaudeSettings().knows,
            clock,
        )
        peers.the_router = router
        await router.declare(specs)
        for each in specs:
            await router.report(each.id)
        pool = LocalPool(PoolClient(peers, clock), router, peers, stores, runner, clock, left)
        opened.append(pool)
        return pool

    yield start
    for pool in opened:
        await pool.router.close()
        for id_ in tuple(pool.peers.subscriptions):
            await pool.peers.deactivate(id_)


@pytest.fixture
async def local_pool(open_pool: OpenPool) -> LocalPool:
    """Three subscriptions with two slots each, declared as ``sub1`` to ``sub3``."""
    return await open_pool(*(spec(f"sub{n}", max_concurrent=2) for n in (1, 2, 3)))

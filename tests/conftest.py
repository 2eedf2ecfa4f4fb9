"""Fixtures that every test may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from pool.subscriptions.spec import SubscriptionSpec
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.stores.postgres import Server, running
from tests.support.suite.workers import (
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_ignore_collect,
    pytest_runtest_protocol,
    pytest_xdist_make_scheduler,
)
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock

__all__ = [
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_ignore_collect",
    "pytest_runtest_protocol",
    "pytest_xdist_make_scheduler",
]

OpenPool = Callable[..., Awaitable[LocalPool]]


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    """A real PostgreSQL."""
    with running() as database:
        yield database


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
        pool = await local_pool_at(folder, *specs, clock=clock, runner_of=lambda _: runner)
        pool.runner = runner
        opened.append(pool)
        return pool

    yield start
    for pool in opened:
        await pool.close()


@pytest.fixture
def subscriptions() -> int:
    """How many are in the local pool."""
    return 3


@pytest.fixture
async def local_pool(open_pool: OpenPool, subscriptions: int) -> LocalPool:
    """Subscriptions with two slots each, declared as ``sub1``, ``sub2``, .."""
    numbers = range(1, subscriptions + 1)
    return await open_pool(*(spec(f"sub{n}", max_concurrent=2) for n in numbers))

"""Two routers at once, such as one that was cut off and its successor, run nothing twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pool.storage.directory.directory import Directory
from pool.storage.sqlite import SqliteStores
from tests.support.pools.interleaved import TwoRouters

SEEDS = 150


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Directory]:
    directory = await SqliteStores(tmp_path).open_directory()
    yield directory
    await directory.close()


async def test_whatever_order_their_calls_take_one_subscription_has_an_execution(
    directory: Directory,
) -> None:
    """Dispatched and handed on by both, with subscriptions that close, open, and begin anew while
    the life before still answers.
    """
    had = moved = 0
    for seed in range(SEEDS):
        world = TwoRouters(directory, seed)
        seen = await world.run()
        assert all(len(each) == 1 for each in seen), (seed, world.told, seen)
        had += bool(seen)
        moved += len({each[0] for each in seen}) > 1

    assert had > SEEDS / 2
    assert moved > SEEDS / 20

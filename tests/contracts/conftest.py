"""The stores that keep the contracts of ``pool.store.protocol``: one more is one more parameter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pool.store.protocol import Directory, Ledger, Stores
from pool.store.sqlite import SqliteStores


@pytest.fixture(params=["sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    match request.param:
        case "sqlite":
            return SqliteStores(tmp_path / "data")
    raise ValueError(request.param)


@pytest.fixture
async def ledger(stores: Stores) -> AsyncIterator[Ledger]:
    ledger = await stores.open_ledger("sub1", patience=1)
    yield ledger
    await ledger.close()


@pytest.fixture
async def directory(stores: Stores) -> AsyncIterator[Directory]:
    directory = await stores.open_directory(patience=1)
    yield directory
    await directory.close()

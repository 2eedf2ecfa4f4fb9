"""The engines on which the stores of ``pool.storage`` keep what they promise: one more is one more
parameter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from engines import Engine, PostgresqlEngine, SqliteEngine
from postgres import Server, running

from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.storage.stores import Stores


@pytest.fixture(scope="session")
def database() -> Iterator[Server]:
    """One for all contracts, each of which has a schema of its own."""
    with running() as database:
        yield database


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    match request.param:
        case "sqlite":
            return SqliteEngine(tmp_path / "data")
        case "postgresql":
            database: Server = request.getfixturevalue("database")
            return PostgresqlEngine(database.fresh_schema())
    raise ValueError(request.param)


@pytest.fixture
def stores(engine: Engine) -> Stores:
    return engine.stores


@pytest.fixture
async def ledger(stores: Stores) -> AsyncIterator[Ledger]:
    ledger = await stores.open_ledger("sub1", wait_seconds=5)
    yield ledger
    await ledger.close()


@pytest.fixture
async def directory(stores: Stores) -> AsyncIterator[Directory]:
    directory = await stores.open_directory(wait_seconds=5)
    yield directory
    await directory.close()

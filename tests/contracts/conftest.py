"""The engines on which the stores of ``pool.storage`` keep what they promise: one more is one more
parameter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.storage.postgresql import PostgresqlStores
from pool.storage.stores import Stores
from tests.support.stores.engines import Engine, PostgresqlEngine, SqliteEngine
from tests.support.stores.postgres import Server, running


@pytest.fixture(scope="session")
def database() -> Iterator[Server]:
    """One for all contracts."""
    with running() as database:
        yield database


@pytest.fixture(scope="session")
def shared(database: Server) -> str:
    """The URL of the tables that tests have one after the other; the first has them made."""
    return database.fresh_schema()


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """One in which there are no tables yet, and whose tables a test may change."""
    match kind:
        case "sqlite":
            return SqliteEngine(tmp_path / "data")
        case "postgresql":
            database: Server = request.getfixturevalue("database")
            return PostgresqlEngine(database.fresh_schema())
    raise ValueError(kind)


@pytest.fixture
def stores(kind: str, request: pytest.FixtureRequest) -> Stores:
    """Those of the test's engine, if it asks for one, and else empty ones."""
    if kind == "sqlite" or "engine" in request.fixturenames:
        engine: Engine = request.getfixturevalue("engine")
        return engine.stores
    database, url = request.getfixturevalue("database"), request.getfixturevalue("shared")
    database.empty(url)
    return PostgresqlStores(url)


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

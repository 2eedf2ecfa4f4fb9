"""Stores on a PostgreSQL of their own schema, directly and through a proxy that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pool.storage.postgresql import PostgresqlStores
from tests.support.stores.postgres import Server
from tests.support.stores.proxy import Proxy


@pytest.fixture
def url(database: Server) -> str:
    return database.fresh_schema()


@pytest.fixture
def stores(url: str) -> PostgresqlStores:
    return PostgresqlStores(url)


@pytest.fixture
async def proxy(database: Server) -> AsyncIterator[Proxy]:
    async with Proxy.to(database.port) as proxy:
        yield proxy


@pytest.fixture
def through(database: Server, url: str, proxy: Proxy) -> PostgresqlStores:
    """The same stores, by a wire that can be cut."""
    return PostgresqlStores(url.replace(f":{database.port}/", f":{proxy.port}/"))

"""The service before a local pool, as the owner of one key meets it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from api.server.app import create_app
from api.web.authentication import Keys
from pool.keys.api_keys import KeySpec
from tests.support.pools.localpool import LocalPool

Enter = Callable[..., Awaitable[AsyncClient]]


@pytest.fixture
async def enter(local_pool: LocalPool) -> AsyncIterator[Enter]:
    """A client with a key of its own, which has the scopes, limits and grants that are named."""
    app = create_app(local_pool.client, Keys({}), clock=local_pool.clock)
    opened: list[AsyncClient] = []
    await local_pool.client.create_key(KeySpec(name="ops", scopes=("admin",)))

    async def client(name: str = "caller", **spec: Any) -> AsyncClient:
        issued = await local_pool.client.create_key(KeySpec(name=name, **spec))
        headers = {"x-api-key": issued.secret.get_secret_value()}
        transport = ASGITransport(app=app)
        opened.append(
            AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)
        )
        return opened[-1]

    yield client
    for each in opened:
        await each.aclose()

"""The service over HTTP, in this process, before a local pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from api.server.app import create_app
from api.web.authentication import Keys
from pool.config import ApiKeySpec
from tests.support.pools.localpool import LocalPool

OPERATOR_KEY = f"cpo_{'test-key-of-the-operator':-<43}"


@pytest.fixture
def operator_key() -> str:
    return OPERATOR_KEY


@pytest.fixture
def app(local_pool: LocalPool) -> FastAPI:
    """The service of a pool without keys but the operator's."""
    return create_app(
        local_pool.client,
        Keys({}, OPERATOR_KEY),
        credential_env=("SUB?_TOKEN", "NOT_SET*"),
        clock=local_pool.clock,
    )


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """The operator's."""
    transport, headers = ASGITransport(app=app), {"x-api-key": OPERATOR_KEY}
    async with AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=headers
    ) as client:
        yield client


@pytest.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Of somebody who brings no key."""
    transport = ASGITransport(app=app)
    async with AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


Eventually = Callable[[str, Callable[[Any], bool]], Awaitable[Any]]


@pytest.fixture
def eventually(http: AsyncClient) -> Eventually:
    """GET a path until its answer fits: routers hear of a change a moment after its owner."""

    async def found(path: str, fits: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(30):
            while not fits(answer := (await http.get(path)).json()):
                await asyncio.sleep(0.01)
        return answer

    return found


KeyedHttp = Callable[..., AsyncClient]


@pytest.fixture
async def keyed(local_pool: LocalPool) -> AsyncIterator[KeyedHttp]:
    """Clients of a pool with a key for each scope; ``key=None`` brings none."""
    specs = [
        ApiKeySpec(name="runner", key_env="RUNNER", scopes=("execute",)),
        ApiKeySpec(name="reader", key_env="READER", scopes=("read",)),
        ApiKeySpec(name="auditor", key_env="AUDITOR", scopes=("read_all",)),
        ApiKeySpec(name="operator", key_env="OPERATOR", scopes=("execute", "read", "admin")),
    ]
    environ = {
        "RUNNER": "test-key-execute",
        "READER": "test-key-reading",
        "AUDITOR": "test-key-auditing",
        "OPERATOR": "test-key-administer",
    }
    app = create_app(local_pool.client, Keys.read(specs, environ), clock=local_pool.clock)
    opened: list[AsyncClient] = []

    def client(key: str | None, header: str = "authorization") -> AsyncClient:
        value = f"Bearer {key}" if header == "authorization" else key
        headers = {} if key is None else {header: str(value).encode()}
        transport = ASGITransport(app=app)
        opened.append(
            AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)
        )
        return opened[-1]

    yield client
    for each in opened:
        await each.aclose()

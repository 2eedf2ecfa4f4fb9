from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from httpx import ASGITransport, AsyncClient

from actors.client.client import PoolClient
from api.server.app import create_app
from api.web.authentication import Keys
from tests.support.pools.localpool import LocalPool


def asking(client: PoolClient) -> AsyncClient:
    transport = ASGITransport(app=create_app(client, Keys({})))
    return AsyncClient(transport=transport, base_url="http://pool.test")


async def test_a_pool_that_has_been_heard_of_is_ready(http: AsyncClient) -> None:
    await http.post("/v1/executions", json={"prompt": "say yes"})

    ready = await http.get("/readyz")

    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "subscriptions": 3})


async def test_a_pool_without_any_subscription_is_alive_but_not_ready(
    open_pool: Callable[..., Awaitable[LocalPool]],
) -> None:
    pool = await open_pool()

    async with asking(pool.client) as http:
        alive, ready = await http.get("/healthz"), await http.get("/readyz")

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["type"] == "urn:claude-pool:not-ready"
    assert "retry-after" in ready.headers


async def test_a_lost_router_is_not_ready_and_the_process_still_lives(
    local_pool: LocalPool,
) -> None:
    local_pool.actors.the_router = None

    async with asking(local_pool.client) as http:
        alive, ready = await http.get("/healthz"), await http.get("/readyz")

    assert alive.status_code == 200
    assert ready.status_code == 503


async def test_a_router_that_hangs_is_not_waited_for(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("api.routes.operations.probes.PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(local_pool.client, "heard_from", never)

    async with asking(local_pool.client) as http:
        ready = await http.get("/readyz")

    assert ready.status_code == 503
    assert "did not answer within" in ready.json()["detail"]

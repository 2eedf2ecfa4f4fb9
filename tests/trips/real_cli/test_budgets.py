"""Budgets against a caller who claims to cost nothing: HTTP, router, the real CLI and the stand-in.

With a budget of 0.02 USD a day, twelve requests at once that claimed a millionth of a dollar spent
0.36: each reserved what it claimed. Everything is real here but Ray, which decides nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response

from api.demo.standin.messages_api import create_app as create_standin
from api.demo.standin.server import Server, serving
from api.server.app import create_app
from api.web.authentication import Keys
from tests.support.pools.localpool import LocalPool
from tests.support.pools.real_cli_pool import real_cli_pool
from tests.support.values.manual_clock import ManualClock

THREE_CENTS = "[[standin in=0 out=2000]] an answer of two thousand tokens"
CLAIM = 0.000001
AT_ONCE = 12

Open = Callable[[float], Awaitable[AsyncClient]]


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_standin()) as server:
        yield server


@pytest.fixture
async def pool(api: Server, tmp_path: Path) -> AsyncIterator[LocalPool]:
    async with real_cli_pool(tmp_path, api.url, ManualClock()) as pool:
        yield pool


@pytest.fixture
async def http(pool: LocalPool) -> AsyncIterator[AsyncClient]:
    """An administrator."""
    operator = "test-key-of-the-operator"
    app = create_app(pool.client, Keys({}, operator), clock=pool.clock)
    transport = ASGITransport(app=app)
    async with AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=100) as client:
        client.headers["x-api-key"] = operator
        made = await client.post("/v1/keys", json={"name": "ops", "scopes": ["admin", "read"]})
        client.headers["x-api-key"] = made.json()["secret"]
        yield client


@pytest.fixture
def attack(http: AsyncClient) -> Callable[..., Awaitable[list[Response]]]:
    async def run(secret: str, prompt: str, *ways: dict[str, Any]) -> list[Response]:
        """A dozen requests at once that claim to cost nothing."""
        bodies = [
            {"prompt": f"{prompt} {number}", "max_budget_usd": CLAIM, **ways[number % len(ways)]}
            for number in range(AT_ONCE)
        ]
        headers = {"x-api-key": secret}
        sent = (http.post("/v1/executions", json=body, headers=headers) for body in bodies)
        return await asyncio.gather(*sent)

    return run


async def make(http: AsyncClient, name: str, budget: float) -> str:
    limits = {"daily_budget_usd": budget}
    secret: str = (await http.post("/v1/keys", json={"name": name, **limits})).json()["secret"]
    return secret


async def spent(http: AsyncClient, name: str) -> Decimal:
    """What a key has spent, once nothing of it runs any more."""
    async with asyncio.timeout(60):
        while True:
            keys = (await http.get("/v1/keys")).json()["items"]
            used = next(each["used"] for each in keys if each["name"] == name)
            if not used["running"]:
                return Decimal(str(used["today_usd"]))
            await asyncio.sleep(0.05)


WAYS: tuple[dict[str, Any], ...] = ({}, {"background": True}, {"stream": True})


async def test_a_dozen_requests_that_claim_to_cost_nothing_do_not_spend_what_they_may_not(
    http: AsyncClient, attack: Callable[..., Awaitable[list[Response]]], api: Server
) -> None:
    small, larger = await make(http, "small", 0.02), await make(http, "larger", 0.1)

    fresh = await attack(small, THREE_CENTS, *WAYS)
    of_the_fresh = await spent(http, "small")
    one_more = await attack(small, THREE_CENTS, {})
    learned = await attack(larger, THREE_CENTS, *WAYS)

    assert sorted(each.status_code == 429 for each in fresh) == [False] + [True] * 11
    assert {each.json()["type"] for each in fresh if each.status_code == 429} == {
        "urn:claude-pool:over-budget"
    }
    assert of_the_fresh == Decimal("0.03")  # the budget, and what one answer cost beyond it
    assert {each.status_code for each in one_more} == {429}
    assert [each.status_code == 429 for each in learned].count(False) >= 1
    assert await spent(http, "larger") <= Decimal("0.1")
    billed = sum(line.cost_nano_usd for line in api.standin.bill.lines()) / 10**9
    assert billed == pytest.approx(float(of_the_fresh + await spent(http, "larger")))

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from httpx import AsyncClient

Eventually = Callable[[str, Callable[[Any], bool]], Awaitable[Any]]


async def test_the_overview_adds_the_subscriptions_up(
    http: AsyncClient, eventually: Eventually
) -> None:
    for each in ("sub1", "sub2"):
        await http.post("/v1/executions", json={"prompt": "say yes", "subscription_id": each})

    pool = await eventually("/v1/pool", lambda pool: pool["executions"] == 2)

    assert pool["subscriptions"] == 3
    assert pool["states"] == {"available": 3}
    assert pool["total_cost_usd"] == 0.0012
    assert pool["weekly_budget_usd"] == 3 * 456
    assert pool["observed_at"].endswith("Z")

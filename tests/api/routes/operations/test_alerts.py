"""``/v1/alerts``, and the way there: from what is spent to what is told."""

from __future__ import annotations

from typing import Any

from httpx import AsyncClient

from pool.alerts.alerts import AlertKind, happened
from tests.support.pools.localpool import LocalPool


def spent(usd: float) -> dict[str, Any]:
    """Yesterday: nothing burns now, so the pool as a whole is at ease."""
    models = {"claude-sonnet-4-5": {"cost_usd": usd}}
    return {"timestamp": "2026-01-27T12:00:00Z", "models": models}


async def test_usage_that_crosses_a_threshold_is_told_once(
    http: AsyncClient, eventually: Any
) -> None:
    await http.post("/v1/subscriptions/sub1/usage", json=spent(376.2))
    page = await eventually("/v1/alerts", lambda page: page["items"])
    await http.post("/v1/subscriptions/sub1/usage", json=spent(1))
    await http.post("/v1/subscriptions/sub2/usage", json=spent(376.2))
    both = await eventually("/v1/alerts", lambda page: len(page["items"]) > 1)

    (alert,) = page["items"]
    assert alert["kind"] == "usage_threshold"
    assert alert["subject"] == "sub1"
    assert alert["data"]["percent"] == 82.5
    assert alert["deliveries"] == []
    assert [each["subject"] for each in both["items"]].count("sub1") == 1


async def test_alerts_come_in_pages_newest_first(http: AsyncClient, local_pool: LocalPool) -> None:
    for n in range(3):
        alert = happened(
            AlertKind.USAGE_DIFFERS, "sub1", f"{n}", key=str(n), now=local_pool.clock.now
        )
        assert await local_pool.router.raise_alert(alert)
        assert not await local_pool.router.raise_alert(alert)

    first = (await http.get("/v1/alerts", params={"limit": 2})).json()
    rest = (
        await http.get("/v1/alerts", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()
    bad = await http.get("/v1/alerts", params={"cursor": "nonsense"})

    told = [each["message"] for each in first["items"] + rest["items"]]
    assert sorted(told) == ["0", "1", "2"]
    assert rest["next_cursor"] is None
    assert bad.status_code == 422
    page = await local_pool.client.alerts(limit=2)
    assert [each.message for each in page.items] == told[:2]

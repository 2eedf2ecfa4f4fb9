from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from actors.reconciler.poll import ReconcilerSettings
from actors.reconciler.reconciler import Reconciler
from api.demo.standin.bill import Bill, Usage
from pool.admin_api.organizations import Organization, ReconciliationSettings
from pool.usage.records import ModelUsage, UsageRecord
from pool.usage.records import Usage as Recorded
from tests.support.admin_api.admin_standin import AdminStandin
from tests.support.admin_api.adminapi import KEY, Sleeper, billed, client_of
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON, SONNET, spec
from tests.support.values.manual_clock import ManualClock

HOUR = timedelta(hours=1)
MILLION = Usage(input_tokens=1_000_000, output_tokens=100_000)
RANGE = {"starts_at": "2026-01-28T12:00:00Z", "ends_at": "2026-01-28T13:00:00Z"}
ID = "acme:usage:2026-01-28T12:00:00.000Z"
KeyedHttp = Callable[..., AsyncClient]


@pytest.fixture
def mind(clock: ManualClock) -> AdminStandin:
    return AdminStandin(Bill(), clock)


@pytest.fixture
async def reconciler(
    local_pool: LocalPool, mind: AdminStandin, clock: ManualClock
) -> AsyncIterator[Reconciler]:
    """Of an organization with one API key that the pool has; it spent 4.50 USD there, and as much
    beside the pool.
    """
    await local_pool.router.add(spec("key1", kind="api_key"))
    line = billed(mind.bill, NOON, usage=MILLION)
    counted = ModelUsage(
        input_tokens=1_000_000, output_tokens=100_000, cost_nano_usd=line.cost_nano_usd or 0
    )
    await local_pool.actors.subscription("key1").record(
        UsageRecord(
            id="run",
            subscription_id="key1",
            timestamp=NOON,
            usage=Recorded(models={SONNET: counted}),
        )
    )
    mind.extra(KEY, SONNET, MILLION, NOON)
    clock.advance(2 * HOUR)
    sleeper = Sleeper(clock)
    reconciler = Reconciler(
        await local_pool.stores.open_reconciliations(),
        local_pool.actors,
        ReconcilerSettings(
            organizations=(
                Organization(id="acme", admin_key_env="ACME_KEY", subscriptions=("key1",)),
            ),
            settings=ReconciliationSettings(adjust=True),
        ),
        lambda _, turn: client_of(mind, sleeper, turn=turn),
        clock,
        sleeper,
        local_pool.left.append,
    )
    local_pool.actors.the_reconciler = reconciler
    yield reconciler
    await reconciler.close()


async def test_an_order_shows_in_the_list_and_then_its_result(
    http: AsyncClient, reconciler: Reconciler
) -> None:
    ordered = await http.post("/v1/reconciliations", json=RANGE)
    waiting = (await http.get("/v1/reconciliations", params={"kind": "usage"})).json()
    await reconciler.look()
    found = (await http.get(f"/v1/reconciliations/{ID}")).json()

    assert (ordered.status_code, ordered.json()["buckets"]) == (202, 2)
    assert [each["state"] for each in waiting["items"]] == ["pending"]
    assert (found["verdict"], found["exceeds"], found["difference_usd"]) == ("differs", True, 4.5)
    (finding,) = found["findings"]
    assert finding["local"]["input_tokens"] == 1_000_000
    assert finding["remote"]["input_tokens"] == 2_000_000


async def test_an_adjustment_is_seen_in_usage_and_can_be_taken_back(
    http: AsyncClient, reconciler: Reconciler
) -> None:
    await http.post("/v1/reconciliations", json=RANGE)
    await reconciler.look()
    adjusted = (await http.get("/v1/subscriptions/key1/usage")).json()["items"]
    reversed_ = await http.post(f"/v1/reconciliations/{ID}/reverse")
    after = (await http.get("/v1/subscriptions/key1/usage")).json()["items"]

    assert sorted((each["source"], each["usage"]["cost_usd"]) for each in adjusted) == [
        ("adjustment", 4.5),
        ("cli", 4.5),
    ]
    assert reversed_.json()["reversed_at"] is not None
    assert sum(each["usage"]["cost_usd"] for each in after) == 4.5


async def test_a_list_is_cut_into_pages(http: AsyncClient, reconciler: Reconciler) -> None:
    await http.post("/v1/reconciliations", json={**RANGE, "starts_at": "2026-01-28T09:00:00Z"})

    first = (await http.get("/v1/reconciliations", params={"limit": 3})).json()
    cursor = {"limit": 3, "cursor": first["next_cursor"]}
    second = (await http.get("/v1/reconciliations", params=cursor)).json()

    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (3, 2, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"starts_at": "2026-01-28T12:00:00Z"}, "ends_at"),
        ({**RANGE, "starts_at": "2026-01-28T13:00:00Z"}, "ends_at"),
        ({**RANGE, "starts_at": "2025-01-28T13:00:00Z"}, "ends_at"),
        ({**RANGE, "starts_at": "yesterday"}, "starts_at"),
    ],
)
async def test_a_bad_range_names_its_field(
    http: AsyncClient, reconciler: Reconciler, body: dict[str, Any], field: str
) -> None:
    answer = await http.post("/v1/reconciliations", json=body)

    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_what_nobody_knows_is_404(http: AsyncClient, reconciler: Reconciler) -> None:
    answers = [
        await http.get("/v1/reconciliations/nothing"),
        await http.post("/v1/reconciliations/nothing/reverse"),
        await http.post("/v1/reconciliations", json={**RANGE, "organization_id": "nobody"}),
    ]

    assert [each.status_code for each in answers] == [404, 404, 404]


async def test_a_pool_without_organizations_says_so(http: AsyncClient) -> None:
    answer = await http.get("/v1/reconciliations")

    assert answer.status_code == 409


async def test_only_an_operator_orders(keyed: KeyedHttp, reconciler: Reconciler) -> None:
    reader, auditor = keyed("test-key-reading"), keyed("test-key-auditing")

    assert (await reader.get("/v1/reconciliations")).status_code == 403
    assert (await auditor.get("/v1/reconciliations")).status_code == 200
    assert (await auditor.post("/v1/reconciliations", json=RANGE)).status_code == 403

from __future__ import annotations

from typing import Any

import pytest
from httpx import AsyncClient

from tests.support.pools.localpool import LocalPool

CAPACITY = "/v1/capacity"


async def asked(http: AsyncClient, **params: Any) -> dict[str, Any]:
    response = await http.get(CAPACITY, params=params)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_an_idle_pool_starts_as_many_as_it_has_slots(http: AsyncClient) -> None:
    few, many = await asked(http, n=6), await asked(http, n=9)

    assert (few["start_now"], few["may_wait"], few["reason"]) == (
        6,
        0,
        "there is room for all of them",
    )
    assert (many["start_now"], many["may_wait"]) == (6, 3)
    assert many["reason"].startswith("6 fit the free slots")
    assert {each["subscription_id"]: each["start_now"] for each in many["subscriptions"]} == {
        "sub1": 2,
        "sub2": 2,
        "sub3": 2,
    }


async def test_what_runs_takes_a_slot_and_one_that_rests_takes_nothing(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    body = {"prompt": "say yes", "background": True, "subscription_id": "sub1"}
    await http.post("/v1/executions", json=body)
    await http.post("/v1/subscriptions/sub2/pause")

    told = await asked(http, n=5)

    starts = {each["subscription_id"]: each["start_now"] for each in told["subscriptions"]}
    assert starts == {"sub1": 1, "sub2": 0, "sub3": 2}
    (resting,) = (each for each in told["subscriptions"] if each["subscription_id"] == "sub2")
    assert "paused" in resting["refusal"]
    assert "sub2" in told["reason"]
    assert told["start_now"] == 3


async def test_nothing_is_run_or_reserved_by_asking(http: AsyncClient) -> None:
    await asked(http, n=6)

    assert (await asked(http, n=6))["start_now"] == 6
    assert (await http.get("/v1/executions")).json()["items"] == []


async def test_a_model_is_told_by_the_name_that_it_has_here(http: AsyncClient) -> None:
    assert (await asked(http, model="opus"))["model"] == "opus"
    assert (await asked(http))["wanted"] == 1


@pytest.mark.parametrize("n", [0, -1, 10_001, "many"])
async def test_a_number_that_makes_no_sense_is_refused(http: AsyncClient, n: object) -> None:
    assert (await http.get(CAPACITY, params={"n": str(n)})).status_code == 422

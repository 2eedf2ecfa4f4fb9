from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from httpx import AsyncClient

from pool.executions.outcome import Failed, FailureKind
from pool.limits.windows import RateLimitEvent
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON

KeyedHttp = Callable[..., AsyncClient]


async def route(http: AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await http.post("/v1/route", json={"prompt": "say yes", **body})
    assert answer.status_code == 200, answer.text
    routing: dict[str, Any] = answer.json()
    return routing


def limit_hit(minutes: float) -> Failed:
    rejected = RateLimitEvent(
        observed_at=NOON,
        status="rejected",
        type="five_hour",
        resets_at=NOON + timedelta(minutes=minutes),
    )
    return Failed(kind=FailureKind.USAGE_LIMIT, message="limit reached", limits=(rejected,))


async def test_the_best_stands_first_and_the_next_execution_goes_there(http: AsyncClient) -> None:
    await http.post("/v1/executions", json={"prompt": "say yes", "subscription_id": "sub1"})

    routing = await route(http)
    execution = (await http.post("/v1/executions", json={"prompt": "say yes"})).json()

    assert execution["subscription_id"] == routing["candidates"][0]["subscription_id"]
    assert routing["reason"] == execution["routing"]["reason"]


async def test_everybody_is_told_if_that_is_asked(http: AsyncClient) -> None:
    answer = await http.post("/v1/route?all_candidates=true", json={"prompt": "say yes"})

    assert len(answer.json()["candidates"]) == answer.json()["considered"] == 3


async def test_nothing_is_run_or_claimed(http: AsyncClient, local_pool: LocalPool) -> None:
    await route(http)

    assert local_pool.runner.runs == []
    assert (await http.get("/v1/executions")).json()["items"] == []


async def test_every_candidate_has_components_or_a_refusal_with_its_expiry(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [limit_hit(30)]
    await http.post("/v1/executions", json={"prompt": "say yes"})

    *usable, refused = (await route(http))["candidates"]

    assert all(each["components"] and each["refusal"] is None for each in usable)
    assert refused["refusal"] == "usage_limit: limit reached"
    assert refused["refused_until"] == "2026-01-28T12:30:00.000Z"


async def test_a_session_is_routed_to_where_it_lives(http: AsyncClient) -> None:
    first = (await http.post("/v1/executions", json={"prompt": "say yes"})).json()

    routing = await route(http, session_id=first["session_id"])

    assert routing["reason"] == f"its session lives on {first['subscription_id']}"


async def test_where_nobody_could_take_it_the_answer_is_that_of_an_execution(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [limit_hit(each) for each in (30, 20, 10)]
    await http.post("/v1/executions", json={"prompt": "say yes"})

    refused = await http.post("/v1/route", json={"prompt": "say yes"})

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "600"
    assert "execution_id" not in refused.json()


async def test_what_start_would_refuse_is_refused(http: AsyncClient) -> None:
    unknown = await http.post("/v1/route", json={"prompt": "x", "subscription_id": "nobody"})
    empty = await http.post("/v1/route", json={"prompt": ""})

    assert (unknown.status_code, empty.status_code) == (404, 422)


async def test_it_takes_a_key_that_may_read(keyed: KeyedHttp) -> None:
    body = {"prompt": "say yes"}

    assert (await keyed("test-key-reading").post("/v1/route", json=body)).status_code == 200
    assert (await keyed("test-key-execute").post("/v1/route", json=body)).status_code == 403

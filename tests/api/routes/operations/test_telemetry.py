from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from pool.keys.api_keys import KeySpec
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON, SONNET

KeyedHttp = Callable[..., AsyncClient]
PATH = "/v1/otlp/v1/logs"
TAKEN: dict[str, Any] = {"partialSuccess": {"rejectedLogRecords": 0, "errorMessage": ""}}


def event(request_id: str | None = "req_1", session_id: str = "session") -> dict[str, Any]:
    values = {
        "model": SONNET,
        "session.id": session_id,
        **({"request_id": request_id} if request_id else {}),
    }
    texts = [{"key": name, "value": {"stringValue": value}} for name, value in values.items()]
    counts = [
        {"key": "input_tokens", "value": {"intValue": "100"}},
        {"key": "output_tokens", "value": {"intValue": 20}},
        {"key": "cost_usd", "value": {"doubleValue": 0.0006}},
    ]
    return {
        "timeUnixNano": str(int(NOON.timestamp()) * 10**9),
        "body": {"stringValue": "claude_code.api_request"},
        "attributes": [*texts, *counts],
    }


def export(*events: dict[str, Any], subscription: str | None = None) -> dict[str, Any]:
    named = (
        [{"key": "pool.subscription_id", "value": {"stringValue": subscription}}]
        if subscription
        else []
    )
    scopes = [{"logRecords": list(events)}]
    return {"resourceLogs": [{"resource": {"attributes": named}, "scopeLogs": scopes}]}


async def usage(http: AsyncClient, subscription: str = "sub1") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        await http.get(f"/v1/subscriptions/{subscription}/usage")
    ).json()["items"]
    return found


async def test_use_beside_the_pool_is_counted_once_and_shown_apart(http: AsyncClient) -> None:
    params = {"subscription_id": "sub1"}

    first = await http.post(PATH, params=params, json=export(event(), event()))
    again = await http.post(PATH, params=params, json=export(event()))

    assert (first.status_code, first.json(), again.json()) == (200, TAKEN, TAKEN)
    (record,) = await usage(http)
    assert (record["source"], record["usage"]["cost_usd"]) == ("outside", 0.0006)


async def test_a_resource_attribute_names_the_subscription(http: AsyncClient) -> None:
    answer = await http.post(PATH, json=export(event(), subscription="sub2"))

    assert answer.json() == TAKEN
    assert len(await usage(http, "sub2")) == 1


async def test_the_pools_own_sessions_are_counted_already(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    body = {"prompt": "say yes", "subscription_id": "sub1"}
    run = (await http.post("/v1/executions", json=body)).json()

    answer = await http.post(
        PATH, json=export(event(session_id=run["session_id"]), subscription="sub1")
    )

    assert answer.json() == TAKEN
    assert [each["source"] for each in await usage(http)] == ["cli"]


@pytest.mark.parametrize("body", [export(event()), export(event(), subscription="nobody")])
async def test_what_cannot_be_placed_is_rejected(http: AsyncClient, body: dict[str, Any]) -> None:
    answer = (await http.post(PATH, json=body)).json()["partialSuccess"]

    assert answer["rejectedLogRecords"] == 1
    assert "a subscription that this pool knows" in answer["errorMessage"]


async def test_a_subscription_that_nobody_knows_is_404(http: AsyncClient) -> None:
    answer = await http.post(PATH, params={"subscription_id": "nobody"}, json=export(event()))

    assert answer.status_code == 404


@pytest.mark.parametrize("body", [[], "text", 5])
async def test_what_is_no_object_is_refused(http: AsyncClient, body: Any) -> None:
    assert (await http.post(PATH, json=body)).status_code == 422


async def test_an_empty_export_is_taken(http: AsyncClient) -> None:
    assert (await http.post(PATH, json={})).json() == TAKEN


async def test_only_an_operators_key_may_tell(keyed: KeyedHttp) -> None:
    answer = await keyed("test-key-reading").post(PATH, json={})

    assert answer.status_code == 403


async def test_a_key_for_telemetry_reports_and_does_nothing_else(
    local_pool: LocalPool, app: FastAPI
) -> None:
    await local_pool.client.create_key(KeySpec(name="ops", scopes=("admin",)))
    issued = await local_pool.client.create_key(KeySpec(name="laptop", scopes=("report",)))
    headers = {"x-api-key": issued.secret.get_secret_value()}
    async with AsyncClient(
        transport=ASGITransport(app=app), base_url="http://127.0.0.1", headers=headers
    ) as laptop:
        told = await laptop.post(PATH, params={"subscription_id": "sub1"}, json=export(event()))
        others = [
            await laptop.get("/v1/pool"),
            await laptop.post("/v1/executions", json={"prompt": "hi"}),
            await laptop.post("/v1/subscriptions/sub1/pause"),
            await laptop.get("/v1/keys"),
        ]

    assert (told.status_code, told.json()) == (200, TAKEN)
    assert [each.status_code for each in others] == [403] * 4


async def test_a_cost_that_cannot_be_is_refused_and_its_bounds_are_told(http: AsyncClient) -> None:
    absurd = event()
    absurd["attributes"][-1]["value"] = {"doubleValue": 1e15}

    answer = await http.post(PATH, params={"subscription_id": "sub1"}, json=export(absurd))

    told = answer.json()["partialSuccess"]
    assert (answer.status_code, told["rejectedLogRecords"]) == (200, 1)
    assert "cost_usd from 0 to 1,000" in told["errorMessage"]
    assert await usage(http) == []

"""``/v1/keys``, and what a key meets at ``/v1/executions``."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import completed
from tests.support.values.manual_clock import ManualClock

WORK = {"prompt": "say yes"}
ADMIN = {"name": "ops", "scopes": ["execute", "read", "admin"]}


@pytest.fixture
async def admin(app: FastAPI, operator_key: str) -> AsyncIterator[AsyncClient]:
    """Whoever holds the first key that was made."""
    transport = ASGITransport(app=app)
    async with AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        by_operator = {"x-api-key": operator_key}
        issued = (await client.post("/v1/keys", json=ADMIN, headers=by_operator)).json()
        client.headers["x-api-key"] = issued["secret"]
        yield client


async def make(admin: AsyncClient, **wanted: Any) -> dict[str, Any]:
    response = await admin.post("/v1/keys", json={"name": "ci"} | wanted)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def run(admin: AsyncClient, issued: dict[str, Any], **request: Any) -> Response:
    headers = {"x-api-key": issued["secret"]}
    return await admin.post("/v1/executions", json=WORK | request, headers=headers)


# -- administration ------------------------------------------------------------------------------


async def test_a_secret_is_told_once_and_not_to_be_kept_on_the_way(admin: AsyncClient) -> None:
    response = await admin.post("/v1/keys", json={"name": "ci", "daily_budget_usd": 5})
    listed = await admin.get("/v1/keys")

    issued = response.json()
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    assert issued["secret"].startswith(f"cp_{issued['key']['id']}_")
    assert issued["secret"].split("_", 2)[2] not in listed.text
    assert "digest" not in listed.text + response.text


async def test_the_list_shows_limits_and_what_was_used(admin: AsyncClient) -> None:
    await make(admin, daily_budget_usd=5, tools=["Read"], working_directories=["/srv/work"])

    items = (await admin.get("/v1/keys")).json()["items"]

    ci = next(each for each in items if each["name"] == "ci")
    assert ci["daily_budget_usd"] == 5
    assert (ci["tools"], ci["working_directories"]) == (["Read"], ["/srv/work"])
    assert ci["used"] == {"running": 0, "today_usd": 0, "week_usd": 0, "reserved_usd": 0}
    assert [each["used"] for each in items if each["name"] == "ops"] == [None]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"daily_budget_usd": 0}, "daily_budget_usd"),
        ({"weekly_budget_usd": -1}, "weekly_budget_usd"),
        ({"scopes": ["root"]}, "scopes.0"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"working_directories": ["../x"]}, "working_directories.0"),
        ({"tools": ["no such;thing"]}, "tools.0"),
        ({"secret": "mine"}, "secret"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_field(
    admin: AsyncClient, wanted: dict[str, Any], field: str
) -> None:
    response = await admin.post("/v1/keys", json={"name": "ci"} | wanted)

    assert (response.status_code, response.json()["field"]) == (422, field)


async def test_a_name_is_given_once(admin: AsyncClient) -> None:
    await make(admin)

    response = await admin.post("/v1/keys", json={"name": "ci"})

    assert response.status_code == 409
    assert "'ci'" in response.json()["detail"]


async def test_the_first_key_must_administer(http: AsyncClient) -> None:
    response = await http.post("/v1/keys", json={"name": "ci"})

    assert (response.status_code, response.json()["field"]) == (422, "scopes")


async def test_an_unknown_key_is_not_found(admin: AsyncClient) -> None:
    rotated = await admin.post("/v1/keys/nobody/rotate")
    revoked = await admin.delete("/v1/keys/nobody")

    assert (rotated.status_code, revoked.status_code) == (404, 404)


async def test_a_rotated_key_opens_with_both_secrets_for_a_while(admin: AsyncClient) -> None:
    old = await make(admin)

    turned = await admin.post(f"/v1/keys/{old['key']['id']}/rotate?grace_seconds=60")

    assert turned.headers["cache-control"] == "no-store"
    assert turned.json()["secret"] != old["secret"]
    for each in (old, turned.json()):
        assert (await run(admin, each)).status_code == 200


async def test_a_rotation_without_grace_shuts_the_old_secret_out(admin: AsyncClient) -> None:
    old = await make(admin)

    turned = await admin.post(f"/v1/keys/{old['key']['id']}/rotate?grace_seconds=0")

    assert (await run(admin, old)).status_code == 401
    assert (await run(admin, turned.json())).status_code == 200


@pytest.mark.parametrize("grace", ["-1", "nan", "1e9", "soon"])
async def test_a_grace_that_makes_no_sense_is_refused(admin: AsyncClient, grace: str) -> None:
    made = await make(admin)

    response = await admin.post(f"/v1/keys/{made['key']['id']}/rotate?grace_seconds={grace}")

    assert (response.status_code, response.json()["field"]) == (422, "grace_seconds")


async def test_a_revoked_key_opens_nothing_and_cannot_be_rotated(admin: AsyncClient) -> None:
    made = await make(admin)
    address = f"/v1/keys/{made['key']['id']}"

    revoked = await admin.delete(address)

    refused = await run(admin, made)
    assert (revoked.status_code, refused.status_code) == (204, 401)
    assert refused.headers["www-authenticate"] == "Bearer"
    assert (await admin.post(f"{address}/rotate")).status_code == 409


# -- what a key meets ----------------------------------------------------------------------------


async def test_once_there_is_a_key_nobody_enters_without_one(
    admin: AsyncClient, app: FastAPI
) -> None:
    transport = ASGITransport(app=app)
    assert (await admin.get("/v1/pool")).status_code == 200

    async with AsyncClient(transport=transport, base_url="http://127.0.0.1") as anybody:
        response = await anybody.get("/v1/pool")

    assert (response.status_code, response.json()["type"]) == (401, "urn:claude-pool:unauthorized")


async def test_a_made_key_has_its_scopes_and_no_more(admin: AsyncClient) -> None:
    made = await make(admin, scopes=["execute"])

    response = await admin.get("/v1/pool", headers={"x-api-key": made["secret"]})

    assert response.status_code == 403
    assert "'ci' lacks the scope 'read'" in response.json()["detail"]


@pytest.mark.parametrize(
    ("limits", "request_", "field"),
    [
        ({"models": ["claude-haiku-*"]}, {"model": "claude-opus-4-1"}, "model"),
        ({"subscriptions": ["sub2"]}, {"subscription_id": "sub1"}, "subscription_id"),
        ({"max_request_usd": 1}, {"max_budget_usd": 2}, "max_budget_usd"),
    ],
)
async def test_what_a_key_does_not_cover_is_403_and_names_the_field(
    admin: AsyncClient, limits: dict[str, Any], request_: dict[str, Any], field: str
) -> None:
    response = await run(admin, await make(admin, **limits), **request_)

    problem = response.json()
    assert response.status_code == 403
    assert (problem["type"], problem["field"]) == ("urn:claude-pool:not-permitted", field)


@pytest.mark.parametrize(
    ("limits", "kind", "retry_after"),
    [
        ({"daily_budget_usd": 1}, "over-budget", "30"),
        ({"weekly_budget_usd": 1}, "over-budget", "30"),
        ({"max_concurrent": 1}, "too-many-at-once", "2"),
        ({"requests_per_minute": 6, "burst": 1}, "rate-limited", "10"),
    ],
)
async def test_what_is_used_up_is_429_and_says_when_to_come_again(
    admin: AsyncClient, runner: FakeRunner, limits: dict[str, Any], kind: str, retry_after: str
) -> None:
    runner.hold = True
    made = await make(admin, **limits)
    price = {"max_budget_usd": 0.75, "background": True}
    first = await run(admin, made, **price)

    refused = await run(admin, made, **price, metadata={"another": "one"})

    problem = refused.json()
    assert (first.status_code, refused.status_code) == (202, 429)
    assert problem["type"] == f"urn:claude-pool:{kind}"
    assert problem["execution_id"].startswith("exec_")
    assert refused.headers["retry-after"] == retry_after


async def test_a_spent_day_says_how_long_it_is_until_midnight(
    admin: AsyncClient, runner: FakeRunner, local_pool: LocalPool, clock: ManualClock
) -> None:
    made = await make(admin, daily_budget_usd=1)
    runner.script.append(completed(cost_usd="1"))
    ran = await run(admin, made)
    await local_pool.router._keys._reservations._waiting[ran.json()["id"]]

    refused = await run(admin, made)

    assert ran.status_code == 200
    assert refused.headers["retry-after"] == str(int(timedelta(hours=12).total_seconds()))
    assert "used 1 + reserved 0 + asked " in refused.json()["detail"]


async def test_a_refused_request_leaves_its_idempotency_key_to_its_repetition(
    admin: AsyncClient, runner: FakeRunner
) -> None:
    runner.hold = True
    made = await make(admin, max_concurrent=1)
    headers = {"x-api-key": made["secret"], "Idempotency-Key": "k"}
    first = await run(admin, made, background=True)

    refused = await admin.post("/v1/executions", json=WORK, headers=headers)
    (await runner.wait_for_runs(1))[0].end()
    runner.hold = False
    await admin.get(f"/v1/executions/{first.json()['id']}?wait_seconds=10")
    while (again := await admin.post("/v1/executions", json=WORK, headers=headers)).is_error:
        assert again.status_code == 429  # what it held is being put away
    once_more = await admin.post("/v1/executions", json=WORK, headers=headers)

    assert refused.status_code == 429
    assert once_more.json()["id"] == again.json()["id"]
    assert len(runner.runs) == 2


async def test_no_answer_and_no_log_tells_a_secret(
    admin: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.CRITICAL, "httpx")  # the caller's own log
    made = await make(admin, max_concurrent=1)
    wrong = made["secret"][:-4] + "aaaa"
    answers = [
        await run(admin, made),
        await run(admin, {"secret": wrong}),
        await admin.get("/v1/keys"),
        await admin.delete(f"/v1/keys/{made['secret']}"),
        await admin.post("/v1/keys", json={"name": made["secret"] + "!"}),
    ]

    told = caplog.text + "".join(each.text for each in answers)
    assert [each.status_code for each in answers] == [200, 401, 200, 422, 422]
    assert made["secret"].split("_", 2)[2] not in told
    assert wrong.split("_", 2)[2] not in told

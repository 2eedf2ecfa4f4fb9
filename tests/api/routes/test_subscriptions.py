from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from tests.support.pools.localpool import LocalPool

SUBSCRIPTIONS = "/v1/subscriptions"
SUB1 = f"{SUBSCRIPTIONS}/sub1"
SUB2 = f"{SUBSCRIPTIONS}/sub2"

KeyedHttp = Callable[..., AsyncClient]
Eventually = Callable[[str, Callable[[Any], bool]], Awaitable[Any]]


@pytest.fixture
def new_subscription(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A subscription whose directory and credential exist."""
    monkeypatch.setenv("SUB9_TOKEN", "test-token-i")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-token-of-somebody-else")
    (tmp_path / "sub9").mkdir()
    return {
        "id": "sub9",
        "email": "user9@example.com",
        "config_dir": str(tmp_path / "sub9"),
        "credential": {"oauth_token_env": "SUB9_TOKEN"},
    }


def usage_report(id_: str = "u-1", cost_usd: float = 1.25, **more: Any) -> dict[str, Any]:
    models = {"claude-sonnet-4-5": {"cost_usd": cost_usd, "input_tokens": 10}}
    return {"id": id_, "models": models, **more}


# -- the registry --------------------------------------------------------------------------------


async def test_the_list_shows_every_subscription_with_its_report(
    http: AsyncClient, eventually: Eventually
) -> None:
    await http.post("/v1/executions", json={"prompt": "say yes", "subscription_id": "sub2"})

    await eventually(SUB2, lambda sub2: sub2["totals"]["executions"] == 1)
    listed = (await http.get(SUBSCRIPTIONS)).json()

    assert listed["next_cursor"] is None
    assert [each["id"] for each in listed["items"]] == ["sub1", "sub2", "sub3"]
    sub2 = listed["items"][1]
    assert sub2["current_block"]["id"] == "2026-01-28T10:00:00.000Z"
    assert sub2["current_block"]["ends_at"] == "2026-01-28T15:00:00.000Z"
    assert sub2["current_block"]["cost_usd"] == 0.0006


async def test_the_list_is_what_a_program_is_given(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    await http.post("/v1/executions", json={"prompt": "say yes", "subscription_id": "sub2"})

    answer = await http.get(SUBSCRIPTIONS)

    given = await local_pool.client.subscriptions()
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["items"] == [each.model_dump(mode="json") for each in given]


async def test_the_list_comes_in_pages_where_a_limit_is_named(http: AsyncClient) -> None:
    first = (await http.get(SUBSCRIPTIONS, params={"limit": 2})).json()
    wanted = {"limit": 2, "cursor": first["next_cursor"]}
    second = (await http.get(SUBSCRIPTIONS, params=wanted)).json()
    none = await http.get(SUBSCRIPTIONS, params={"limit": 0})
    strange = await http.get(SUBSCRIPTIONS, params={"cursor": "strange"})

    assert [each["id"] for each in first["items"]] == ["sub1", "sub2"]
    assert [each["id"] for each in second["items"]] == ["sub3"]
    assert second["next_cursor"] is None
    assert {none.status_code, strange.status_code} == {422}


async def test_an_unknown_subscription_is_a_404_everywhere(http: AsyncClient) -> None:
    requests = [
        ("GET", "", None),
        ("PATCH", "", {"weight": 2}),
        ("DELETE", "", None),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/drain", None),
        ("GET", "/usage", None),
        ("POST", "/usage", usage_report()),
        ("GET", "/blocks", None),
        ("GET", "/health", None),
    ]

    for method, path, body in requests:
        response = await http.request(method, f"{SUBSCRIPTIONS}/nobody{path}", json=body)
        assert response.status_code == 404, (method, path)
        assert response.json()["type"] == "urn:claude-pool:not-found"
        assert "'nobody'" in response.json()["detail"]


async def test_a_new_subscription_is_created_and_can_be_used(
    http: AsyncClient, new_subscription: dict[str, Any]
) -> None:
    created = await http.post(SUBSCRIPTIONS, json=new_subscription)
    execution = await http.post(
        "/v1/executions", json={"prompt": "say yes", "subscription_id": "sub9"}
    )

    assert created.status_code == 201
    assert created.headers["location"] == f"{SUBSCRIPTIONS}/sub9"
    assert (await http.get(created.headers["location"])).json()["email"] == "user9@example.com"
    assert execution.json()["subscription_id"] == "sub9"


async def test_a_taken_id_is_a_conflict(
    http: AsyncClient, new_subscription: dict[str, Any]
) -> None:
    response = await http.post(SUBSCRIPTIONS, json={**new_subscription, "id": "sub1"})

    assert response.status_code == 409


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("id", {"id": "../x"}),
        ("config_dir", {"config_dir": "/nowhere/at/all"}),
        ("config_dir", {"config_dir": "relative"}),
        ("credential", {"credential": {"oauth_token_env": "NOT_SET"}}),
        ("credential", {"credential": {"api_key_env": "AWS_SECRET_ACCESS_KEY"}}),
        ("credential", {"config_dir": None, "credential": None}),
        ("credential", {"credential": {}}),
        ("credential.token", {"credential": {"oauth_token_env": "SUB9_TOKEN", "token": "abc"}}),
        ("weekly_budget_usd", {"weekly_budget_usd": -1}),
        ("max_concurrent", {"max_concurrent": 0}),
        ("colour", {"colour": "red"}),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_subscription_that_cannot_be_used_is_refused_by_field_and_not_kept(
    http: AsyncClient, new_subscription: dict[str, Any], field: str, change: dict[str, Any]
) -> None:
    response = await http.post(SUBSCRIPTIONS, json={**new_subscription, **change})

    assert response.status_code == 422
    assert response.json()["field"] == field
    assert len((await http.get(SUBSCRIPTIONS)).json()["items"]) == 3


async def test_a_patch_changes_what_it_names_and_nothing_else(http: AsyncClient) -> None:
    before = (await http.get(SUB1)).json()

    after = (await http.patch(SUB1, json={"weekly_budget_usd": 100, "max_concurrent": 7})).json()

    assert after["weekly"]["budget_usd"] == 100
    assert after["max_concurrent"] == 7
    assert (after["kind"], after["weight"]) == (before["kind"], before["weight"])


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("weekly_budget_usd", {"weekly_budget_usd": 0}),
        ("id", {"id": "other"}),
        ("credential", {"credential": {"api_key_env": "X"}}),
    ],
)
async def test_a_bad_patch_is_refused_by_field(
    http: AsyncClient, field: str, change: dict[str, Any]
) -> None:
    before = (await http.get(SUB1)).json()

    response = await http.patch(SUB1, json=change)

    assert response.status_code == 422
    assert response.json()["field"] == field
    assert (await http.get(SUB1)).json()["weekly"] == before["weekly"]


async def test_a_paused_subscription_takes_nothing_until_it_is_resumed(
    http: AsyncClient, eventually: Eventually
) -> None:
    work = {"prompt": "say yes", "subscription_id": "sub1"}

    paused = await http.post(f"{SUB1}/pause")
    refused = await http.post("/v1/executions", json=work)
    resumed = await http.post(f"{SUB1}/resume")
    await eventually(SUB1, lambda sub1: sub1["state"] == "available")
    done = await http.post("/v1/executions", json=work)

    assert paused.json()["state"] == "paused"
    assert refused.status_code == 503
    assert resumed.json()["state"] == "available"
    assert done.status_code == 200


async def test_a_draining_subscription_says_so(http: AsyncClient) -> None:
    drained = await http.post(f"{SUB1}/drain")

    assert drained.json()["state"] == "draining"


async def test_an_added_subscription_can_be_removed(
    http: AsyncClient, new_subscription: dict[str, Any]
) -> None:
    await http.post(SUBSCRIPTIONS, json=new_subscription)

    removed = await http.delete(f"{SUBSCRIPTIONS}/sub9")

    assert (removed.status_code, removed.content) == (204, b"")
    assert (await http.get(f"{SUBSCRIPTIONS}/sub9")).status_code == 404


async def test_a_declared_subscription_cannot_be_removed(http: AsyncClient) -> None:
    response = await http.delete(SUB1)

    assert response.status_code == 409
    assert "pool.toml" in response.json()["detail"]


# -- what was spent ------------------------------------------------------------------------------


async def test_reported_usage_counts_once(http: AsyncClient, eventually: Eventually) -> None:
    added = await http.post(f"{SUB1}/usage", json=usage_report())
    again = await http.post(f"{SUB1}/usage", json=usage_report())

    assert (added.status_code, added.json()["added"]) == (201, True)
    assert (again.status_code, again.json()["added"]) == (200, False)
    report = await eventually(SUB1, lambda sub1: sub1["totals"]["records"] > 0)
    assert report["weekly"]["used_usd"] == 1.25


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("models", {"models": {}}),
        ("models.m.cost_usd", {"models": {"m": {"cost_usd": -1}}}),
        ("models.m.cost_usd", {"models": {"m": {}}}),
        ("models.m.input_tokens", {"models": {"m": {"cost_usd": 1, "input_tokens": -1}}}),
        ("timestamp", {"timestamp": "2026-01-28T13:00:00Z"}),
        ("timestamp", {"timestamp": "2026-01-28T11:00:00"}),
        ("timestamp", {"timestamp": "yesterday"}),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bad_usage_is_refused_by_field_and_not_counted(
    http: AsyncClient, field: str, change: dict[str, Any]
) -> None:
    response = await http.post(f"{SUB1}/usage", json={**usage_report(), **change})

    assert response.status_code == 422
    assert response.json()["field"] == field
    assert (await http.get(f"{SUB1}/usage")).json()["items"] == []


async def test_records_come_newest_first_in_pages_within_the_asked_time(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    for n in range(5):
        await http.post(f"{SUB1}/usage", json=usage_report(f"u-{n}"))
        local_pool.clock.advance(timedelta(hours=1))
    span = {"since": "2026-01-28T13:00:00Z", "until": "2026-01-28T16:00:00Z"}

    first = (await http.get(f"{SUB1}/usage", params={**span, "limit": 2})).json()
    rest = (await http.get(f"{SUB1}/usage", params={**span, "cursor": first["next_cursor"]})).json()

    assert [each["id"] for each in first["items"]] == ["external:u-3", "external:u-2"]
    assert [each["id"] for each in rest["items"]] == ["external:u-1"]
    assert first["items"][0]["timestamp"] == "2026-01-28T15:00:00.000Z"
    assert first["items"][0]["source"] == "external"
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-01-28T13:00:00"}, "until"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "what is this"}, "cursor"),
    ],
)
async def test_a_bad_parameter_of_records_is_named(
    http: AsyncClient, params: dict[str, str], field: str
) -> None:
    response = await http.get(f"{SUB1}/usage", params=params)

    assert response.status_code == 422
    assert response.json()["field"] == field


async def test_blocks_show_what_each_cost(http: AsyncClient, local_pool: LocalPool) -> None:
    await http.post(f"{SUB1}/usage", json=usage_report("u-1", 2))
    local_pool.clock.advance(timedelta(hours=5))
    await http.post(f"{SUB1}/usage", json=usage_report("u-2", 5))

    blocks = (await http.get(f"{SUB1}/blocks")).json()["items"]

    assert [(each["id"], each["cost_usd"], each["percent"]) for each in blocks] == [
        ("2026-01-28T15:00:00.000Z", 5, 20.0),
        ("2026-01-28T10:00:00.000Z", 2, 8.0),
    ]


async def test_health_comes_with_its_components_and_a_sentence_for_each(
    http: AsyncClient,
) -> None:
    health = (await http.get(f"{SUB1}/health")).json()

    assert 0 <= health["score"] <= 100
    assert {each["name"] for each in health["components"]} >= {"weekly", "block", "running"}
    assert all(each["sentence"] for each in health["components"])


# -- usage that is taken back --------------------------------------------------------------------


RETRACT = f"{SUB1}/usage/retract"


async def week_of(http: AsyncClient) -> float:
    """Once the router has heard of the end of what ran, a moment after whoever waited for it."""
    async with asyncio.timeout(10):
        while (report := (await http.get(SUB1)).json())["running"]:
            await asyncio.sleep(0.01)
    used: float = report["weekly"]["used_usd"]
    return used


async def test_usage_from_outside_is_taken_back_once_and_stays_in_the_list(
    http: AsyncClient,
) -> None:
    for n in range(2):
        await http.post(f"{SUB1}/usage", json=usage_report(f"u-{n}"))
    spent = await week_of(http)

    body = {"ids": ["external:u-0"], "reason": "a test"}
    first, again = [await http.post(RETRACT, json=body) for _ in range(2)]
    reported_again = await http.post(f"{SUB1}/usage", json=usage_report("u-0"))

    assert (first.status_code, again.json()["records"], again.json()["more"]) == (200, [], False)
    assert first.json()["cost_usd"] == spent / 2 == await week_of(http)
    assert reported_again.json()["added"] is False
    items = {each["id"]: each for each in (await http.get(f"{SUB1}/usage")).json()["items"]}
    note = items["external:u-0"]["retracted"]
    assert (note["of"], note["reason"]) == ("external:u-0", "a test")
    assert items["retraction:external:u-0"]["retraction"] == note
    assert items["retraction:external:u-0"]["usage"]["cost_usd"] == -spent / 2
    assert items["external:u-1"]["retracted"] is None
    span = {"until": "2026-01-29T00:00:00Z"}
    by_source = (await http.get("/v1/usage", params=span)).json()["total"]["cost_usd_by_source"]
    assert by_source == {"external": spent / 2}


async def test_all_of_a_source_in_a_period_is_taken_back(
    http: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.upkeep.external_usage.MOST_AT_ONCE", 2)
    await http.post("/v1/executions", json={"prompt": "q", "subscription_id": "sub1"})
    of_runs = await week_of(http)
    for n in range(5):
        await http.post(f"{SUB1}/usage", json=usage_report(f"u-{n}"))
    span = {"since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}

    answers = [
        (await http.post(RETRACT, json={"source": "external", **span})).json() for _ in range(4)
    ]
    others = (await http.post(RETRACT, json={"source": "outside", **span})).json()

    assert [(len(each["records"]), each["more"]) for each in answers] == [
        (2, True),
        (2, True),
        (1, False),
        (0, False),
    ]
    assert others["records"] == []
    assert await week_of(http) == of_runs


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"source": "external"}, 422),
        ({"ids": ["external:u-0"], "source": "external"}, 422),
        ({"source": "cli", "since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}, 422),
        (
            {"source": "outside", "since": "2027-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
            422,
        ),
        ({"ids": ["external:nobodys"]}, 404),
        ({"ids": ["external:\x00"]}, 404),
        ({"ids": ["external:u-0"] * 501}, 422),
    ],
)
async def test_what_does_not_say_which_usage_takes_nothing_back(
    http: AsyncClient, body: dict[str, Any], status: int
) -> None:
    await http.post(f"{SUB1}/usage", json=usage_report("u-0"))
    spent = await week_of(http)

    assert (await http.post(RETRACT, json=body)).status_code == status
    assert await week_of(http) == spent


async def test_what_a_run_has_cost_is_never_taken_back(http: AsyncClient) -> None:
    ran = await http.post("/v1/executions", json={"prompt": "q", "subscription_id": "sub1"})
    spent = await week_of(http)

    refused = await http.post(RETRACT, json={"ids": [ran.json()["id"]]})

    assert refused.status_code == 422
    assert "usage from outside alone is taken back" in refused.text
    assert await week_of(http) == spent


async def test_who_may_not_administer_takes_nothing_back(keyed: KeyedHttp) -> None:
    for key in ("test-key-execute", "test-key-reading"):
        answer = await keyed(key).post(RETRACT, json={"ids": ["external:u-0"]})
        assert answer.status_code == 403

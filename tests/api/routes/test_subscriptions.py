from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from localpool import LocalPool

SUBSCRIPTIONS = "/v1/subscriptions"
SUB1 = f"{SUBSCRIPTIONS}/sub1"
SUB2 = f"{SUBSCRIPTIONS}/sub2"

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
async def test_a_seat_that_cannot_be_used_is_refused_by_field_and_not_kept(
    http: AsyncClient, new_seat: dict[str, Any], field: str, change: dict[str, Any]
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

"""``/v1/nodes``: what the machines of a pool are called, and what is there."""

from __future__ import annotations

from typing import Any

from httpx import AsyncClient

from pool.errors import ConfigError
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import spec


async def test_a_node_says_what_it_is_called_and_who_is_there(
    http: AsyncClient, eventually: Any
) -> None:
    await http.post("/v1/executions", json={"prompt": "say yes"})

    found = await eventually("/v1/nodes", lambda found: not found["items"][0]["running"])

    assert found == {
        "items": [
            {
                "id": "node-of-the-tests",
                "hostname": "host1",
                "address": "127.0.0.1",
                "ray_node_id": "ray-1",
                "labels": {},
                "alive": True,
                "answers": True,
                "answered_at": None,
                "silent_since": None,
                "problem": None,
                "subscriptions": ["sub1", "sub2", "sub3"],
                "running": 0,
                "queued": 0,
            }
        ],
        "unplaced": [],
        "next_cursor": None,
    }


async def test_an_attempt_says_which_node_it_was_run_on(http: AsyncClient) -> None:
    execution = (await http.post("/v1/executions", json={"prompt": "say yes"})).json()

    assert [each["node"] for each in execution["attempts"]] == ["node-of-the-tests"]


async def test_a_subscription_that_no_node_can_have_is_told_at_once_and_the_others_serve(
    http: AsyncClient, local_pool: LocalPool, eventually: Any
) -> None:
    make = local_pool.actors.make

    async def makes_all_but_one(wanted: Any) -> Any:
        if wanted.id == "nowhere":
            raise ConfigError("subscriptions.nowhere.node", "no node is called 'gpu'")
        return await make(wanted)

    local_pool.actors.make = makes_all_but_one
    await local_pool.router.declare([*map(spec, ("sub1", "sub2", "sub3")), spec("nowhere")])

    found = await eventually("/v1/nodes", lambda found: found["unplaced"])
    asked = await http.get("/v1/subscriptions/nowhere")
    execution = (await http.post("/v1/executions", json={"prompt": "say yes"})).json()
    wants_it = {"prompt": "say yes", "subscription_id": "nowhere"}
    refused = await http.post("/v1/executions", json=wants_it)

    reason = "subscriptions.nowhere.node: no node is called 'gpu'"
    assert found["unplaced"] == [{"subscription_id": "nowhere", "reason": reason}]
    assert (asked.status_code, asked.json()["presence"]) == (200, "away")
    assert asked.json()["state_reason"] == f"away: {reason}"
    assert execution["status"] == "succeeded"
    assert refused.status_code == 503


async def test_one_that_is_added_and_no_node_can_have_is_refused_and_forgotten(
    http: AsyncClient, local_pool: LocalPool, tmp_path: Any
) -> None:
    async def makes_none(_: Any) -> Any:
        raise ConfigError("subscriptions.new.node", "no node is called 'gpu'")

    local_pool.actors.make = makes_none

    refused = await http.post(
        "/v1/subscriptions", json={"id": "new", "config_dir": str(tmp_path), "node": "gpu"}
    )

    assert (refused.status_code, refused.json()["field"]) == (422, "subscriptions.new.node")
    assert "new" not in {each.spec.id for each in await local_pool.router.registrations()}

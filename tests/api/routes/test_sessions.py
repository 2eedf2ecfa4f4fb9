from __future__ import annotations

from collections.abc import Callable
from typing import Any

from httpx import AsyncClient

from pool.executions.outcome import Failed, FailureKind
from tests.support.pools.localpool import LocalPool

SESSIONS = "/v1/sessions"
UNKNOWN = f"{SESSIONS}/634fbb1e-4256-459f-9794-14ea9ca8dac8"
LIMIT = Failed(kind=FailureKind.USAGE_LIMIT, message="limit reached")

KeyedHttp = Callable[..., AsyncClient]


async def turn(http: AsyncClient, prompt: str = "say yes", **body: Any) -> dict[str, Any]:
    answer = await http.post("/v1/executions", json={"prompt": prompt, **body})
    assert answer.status_code in {200, 202}, answer.text
    execution: dict[str, Any] = answer.json()
    return execution


async def test_a_session_is_shown_where_it_lives(http: AsyncClient) -> None:
    first = await turn(http)

    session = (await http.get(f"{SESSIONS}/{first['session_id']}")).json()

    assert session == {
        "id": first["session_id"],
        "subscription_id": first["subscription_id"],
        "state": "active",
        "last_used_at": "2026-01-28T12:00:00.000Z",
        "fetch_from": None,
        "tenant": None,
        "moves": [],
    }


async def test_a_move_is_shown_with_both_ends(http: AsyncClient, local_pool: LocalPool) -> None:
    first = await turn(http)
    local_pool.runner.script = [LIMIT]

    second = await turn(http, "and now?", session_id=first["session_id"])
    session = (await http.get(f"{SESSIONS}/{first['session_id']}")).json()

    assert second["subscription_id"] != first["subscription_id"]
    assert session["subscription_id"] == second["subscription_id"]
    assert [
        (each["from_subscription_id"], each["to_subscription_id"]) for each in session["moves"]
    ] == [(first["subscription_id"], second["subscription_id"])]


async def test_the_list_goes_on_at_its_cursor(http: AsyncClient) -> None:
    ids = {(await turn(http, f"turn {n}"))["session_id"] for n in range(3)}

    first = (await http.get(SESSIONS, params={"limit": 2})).json()
    rest = (await http.get(SESSIONS, params={"cursor": first["next_cursor"]})).json()

    assert {each["id"] for each in (*first["items"], *rest["items"])} == ids
    assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (2, 1, None)


async def test_the_list_can_be_of_one_subscription(http: AsyncClient) -> None:
    await turn(http, subscription_id="sub1")
    there = await turn(http, subscription_id="sub2")

    listed = (await http.get(SESSIONS, params={"subscription_id": "sub2"})).json()

    assert [there["session_id"]] == [each["id"] for each in listed["items"]]


async def test_one_that_was_forgotten_cannot_be_gone_on_with(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    session_id = (await turn(http))["session_id"]

    gone = await http.delete(f"{SESSIONS}/{session_id}")
    again = await http.post("/v1/executions", json={"prompt": "x", "session_id": session_id})

    assert (gone.status_code, again.status_code) == (204, 404)
    assert local_pool.runner.sessions == {}


async def test_one_at_work_is_not_forgotten(http: AsyncClient, local_pool: LocalPool) -> None:
    local_pool.runner.hold = True
    session_id = (await turn(http, background=True))["session_id"]
    (run,) = await local_pool.runner.wait_for_runs(1)

    refused = await http.delete(f"{SESSIONS}/{session_id}")
    run.end()

    assert refused.status_code == 409
    assert "cancel its execution first" in refused.json()["detail"]


async def test_an_unknown_one_is_a_404_and_a_name_that_is_no_uuid_a_422(http: AsyncClient) -> None:
    assert (await http.get(UNKNOWN)).status_code == 404
    assert (await http.delete(UNKNOWN)).status_code == 404
    assert (await http.get(f"{SESSIONS}/nonsense")).status_code == 422


async def test_forgetting_takes_a_key_that_may_execute(
    keyed: KeyedHttp,
) -> None:
    reader, runner = keyed("test-key-reading"), keyed("test-key-execute")

    assert [(await each.get(UNKNOWN)).status_code for each in (reader, runner)] == [404, 404]
    assert [(await each.delete(UNKNOWN)).status_code for each in (reader, runner)] == [403, 404]


async def test_a_turn_of_a_session_whose_transcript_is_gone_is_404_and_the_session_forgotten(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    first = await turn(http)
    local_pool.runner.script = [Failed(kind=FailureKind.SESSION_NOT_FOUND, message="it is gone")]

    body = {"prompt": "and now?", "session_id": first["session_id"]}
    answer = await http.post("/v1/executions", json=body)

    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (404, "urn:claude-pool:session-not-found")
    assert problem["detail"] == "it is gone: begin a new session"
    ended = (await http.get(f"/v1/executions/{problem['execution_id']}")).json()
    assert ended["error"]["type"] == "session_not_found"
    assert (await http.get(SESSIONS)).json()["items"] == []
    assert (await http.post("/v1/executions", json=body)).status_code == 404

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from httpx import AsyncClient, Response

from actors.interfaces.messages import HandoffRequest
from pool.errors import ActorLost
from pool.executions.outcome import Failed, FailureKind
from tests.support.pools.localpool import LocalPool
from tests.support.pools.pool_requests import limit
from tests.support.suite.waiting import until
from tests.support.values.examples import completed

EXECUTIONS = "/v1/executions"
UNKNOWN_UUID = "634fbb1e-4256-459f-9794-14ea9ca8dac8"


async def ask(http: AsyncClient, prompt: str = "say yes", **body: Any) -> Response:
    headers = body.pop("headers", {})
    return await http.post(EXECUTIONS, json={"prompt": prompt, **body}, headers=headers)


async def nothing_happened(http: AsyncClient, pool: LocalPool) -> bool:
    listed = (await http.get(EXECUTIONS)).json()
    return not pool.runner.runs and listed == {"items": [], "next_cursor": None}


# -- running -------------------------------------------------------------------------------------


async def test_a_waiting_request_is_answered_with_the_ended_execution(http: AsyncClient) -> None:
    response = await ask(http, metadata={"ticket": "42"})

    assert response.status_code == 200
    execution = response.json()
    assert execution["status"] == "succeeded"
    assert execution["result"] == "yes"
    assert execution["usage"]["cost_usd"] == 0.0006
    assert execution["metadata"] == {"ticket": "42"}
    assert execution["created_at"] == "2026-01-28T12:00:00.000Z"


async def test_the_prompt_reaches_the_runner_verbatim(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    prompt = "/clear @/etc/passwd\n-v \u00e4\U0001f600"

    await ask(http, prompt)

    assert local_pool.runner.runs[0].launch.prompt == prompt


async def test_a_session_goes_on_where_it_began(http: AsyncClient, local_pool: LocalPool) -> None:
    first = (await ask(http)).json()

    second = (await ask(http, "and now?", session_id=first["session_id"])).json()

    assert second["session_id"] == first["session_id"]
    assert second["subscription_id"] == first["subscription_id"]
    assert [run.launch.resumes for run in local_pool.runner.runs] == [False, True]


async def test_a_background_request_is_accepted_and_found_by_its_location(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True

    accepted = await ask(http, background=True)
    (run,) = await local_pool.runner.wait_for_runs(1)
    run.end(completed("done"))
    found = await http.get(accepted.headers["location"], params={"wait_seconds": 5})

    assert accepted.status_code == 202
    assert accepted.json()["status"] == "running"
    assert accepted.headers["location"] == f"{EXECUTIONS}/{accepted.json()['id']}"
    assert found.json()["result"] == "done"


async def test_a_get_without_waiting_shows_the_execution_as_it_is(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    accepted = (await ask(http, background=True)).json()

    found = await http.get(f"{EXECUTIONS}/{accepted['id']}")

    assert found.json()["status"] == "running"


async def test_a_run_goes_on_when_its_caller_hangs_up(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    waiting = asyncio.create_task(ask(http))
    (run,) = await local_pool.runner.wait_for_runs(1)

    waiting.cancel()
    await asyncio.wait({waiting})
    run.end(completed("done"))
    found = await http.get(f"{EXECUTIONS}/{run.run_id}", params={"wait_seconds": 5})

    assert not run.stopped
    assert found.json()["result"] == "done"


async def test_a_cancelled_execution_says_so_and_keeps_what_it_cost(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    accepted = (await ask(http, background=True)).json()
    await local_pool.runner.wait_for_runs(1)

    cancelled = await http.post(f"{EXECUTIONS}/{accepted['id']}/cancel")

    assert cancelled.status_code == 200
    assert cancelled.json()["status"] == "cancelled"
    assert cancelled.json()["usage"]["cost_usd"] == 0.0001


async def test_cancelling_what_has_ended_changes_nothing(http: AsyncClient) -> None:
    ended = (await ask(http)).json()

    cancelled = await http.post(f"{EXECUTIONS}/{ended['id']}/cancel")

    assert cancelled.json() == ended


# -- idempotency ---------------------------------------------------------------------------------


async def test_the_same_key_and_body_run_once(http: AsyncClient, local_pool: LocalPool) -> None:
    first = await ask(http, headers={"Idempotency-Key": "k-1"})

    second = await ask(http, headers={"Idempotency-Key": "k-1"})

    assert first.json() == second.json()
    assert len(local_pool.runner.runs) == 1


async def test_an_answer_that_was_removed_is_null_and_says_when_wherever_it_is_asked_for(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = (await ask(http, headers=headers)).json()
    owner = local_pool.actors.subscription(first["subscription_id"])
    now = local_pool.clock.now
    await owner._context.ledger.remove_content(now + timedelta(seconds=1), now)

    again = (await ask(http, headers=headers)).json()
    one = (await http.get(f"/v1/executions/{first['id']}")).json()
    listed = (await http.get("/v1/executions")).json()["items"]
    other = await ask(http, "something else", headers=headers)

    expected = first | {"result": None, "content_removed_at": "2026-01-28T12:00:00.000Z"}
    assert first["result"] == "yes"
    assert first["content_removed_at"] is None
    assert (again, one, listed) == (expected, expected, [expected])
    assert (other.status_code, len(local_pool.runner.runs)) == (422, 1)


async def test_the_same_key_with_another_body_is_refused_and_names_the_execution(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    first = await ask(http, headers={"Idempotency-Key": "k-1"})

    second = await ask(http, "something else", headers={"Idempotency-Key": "k-1"})

    assert second.status_code == 422
    assert second.json()["type"] == "urn:claude-pool:key-reused"
    assert second.json()["execution_id"] == first.json()["id"]
    assert len(local_pool.runner.runs) == 1


@pytest.mark.parametrize("key", ["", "two words", "x" * 201])
async def test_an_unusable_key_is_refused(
    http: AsyncClient, local_pool: LocalPool, key: str
) -> None:
    response = await ask(http, headers={"Idempotency-Key": key})

    assert response.status_code == 422
    assert response.json()["field"] == "Idempotency-Key"
    assert await nothing_happened(http, local_pool)


# -- bad input -----------------------------------------------------------------------------------

BAD_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("prompt", {"prompt": ""}),
    ("prompt", {"prompt": " \n\t"}),
    ("prompt", {"prompt": "nul \x00 inside"}),
    ("prompt", {"prompt": "x" * 1_000_001}),
    ("prompt", {"prompt": 7}),
    ("prompt", {"prompt": None}),
    ("session_id", {"session_id": "no-uuid"}),
    ("subscription_id", {"subscription_id": "../../etc"}),
    ("model", {"model": "--dangerous"}),
    ("system_prompt", {"system_prompt": "nul \x00"}),
    ("max_turns", {"max_turns": 0}),
    ("max_budget_usd", {"max_budget_usd": -1}),
    ("max_budget_usd", {"max_budget_usd": "a lot"}),
    ("timeout_seconds", {"timeout_seconds": 0}),
    ("metadata.note", {"metadata": {"note": "x" * 501}}),
    ("metadata", {"metadata": {str(n): "" for n in range(17)}}),
    ("json_schema", {"json_schema": {"description": "x" * 50_001}}),
    ("tools", {"tools": ["Bash"]}),
    ("promt", {"promt": "misspelt"}),
]


@pytest.mark.parametrize(("field", "change"), BAD_FIELDS, ids=lambda value: str(value)[:40])
async def test_a_bad_field_is_named_and_nothing_runs(
    http: AsyncClient, local_pool: LocalPool, field: str, change: dict[str, Any]
) -> None:
    response = await ask(http, **change)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["field"] == field
    assert field in response.json()["detail"]
    assert await nothing_happened(http, local_pool)


async def test_a_model_that_nobody_has_is_not_found_and_nothing_runs(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    response = await ask(http, model="claude-sonnet-4.6")

    problem = response.json()
    assert (response.status_code, problem["field"]) == (404, "model")
    assert problem["type"] == "urn:claude-pool:model-not-found"
    assert "did you mean" in problem["detail"]
    assert await nothing_happened(http, local_pool)


async def test_every_bad_field_is_listed(http: AsyncClient) -> None:
    response = await ask(http, "", max_turns=0, surplus=1)

    fields = {each["field"] for each in response.json()["errors"]}
    assert fields == {"prompt", "max_turns", "surplus"}


async def test_a_refusal_never_repeats_what_was_sent(http: AsyncClient) -> None:
    secret = "the-secret-plan"

    refused = await http.post(EXECUTIONS, json={"prompt": [secret], "model": {secret: secret}})

    assert refused.status_code == 422
    assert secret not in refused.text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"prompt": "the-secret', "broken-json"),
        (b'{"prompt": "x", "timeout_seconds": NaN}', "broken-json"),
        (b'{"prompt": "\\ud800"}', "broken-json"),
        (b"\xff\xfe", "broken-json"),
        (b"", "broken-json"),
        (b" ", "broken-json"),
    ],
    ids=["cut", "NaN", "surrogate", "no UTF-8", "empty", "blank"],
)
async def test_what_is_no_json_is_a_400(
    http: AsyncClient, local_pool: LocalPool, body: bytes, kind: str
) -> None:
    headers = {"content-type": "application/json"}

    response = await http.post(EXECUTIONS, content=body, headers=headers)

    assert response.status_code == 400
    assert response.json()["type"] == f"urn:claude-pool:{kind}"
    assert "the-secret" not in response.text
    assert await nothing_happened(http, local_pool)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"json_schema": {"properties": {"a": {"type": "x"}}}}, "json_schema.properties.a.type"),
        ({"json_schema": {"prefixItems": [{}, True]}}, "json_schema.prefixItems"),
        ({"json_schema": True}, "json_schema"),
        ({"images": [{"media_type": "image/png", "data": "AAAA"}]}, "images.0.data"),
        ({"images": [{"data": "iVBORw0KGgo"}]}, "images.0.data"),
        ({"agent": {"permission_mode": "all"}}, "agent.permission_mode"),
    ],
)
async def test_what_is_wrong_deep_inside_is_named_as_it_was_sent(
    http: AsyncClient, local_pool: LocalPool, body: dict[str, Any], field: str
) -> None:
    response = await ask(http, **body)

    assert response.status_code == 422
    assert response.json()["field"] == field
    assert await nothing_happened(http, local_pool)


@pytest.mark.parametrize("body", [b"null", b"[]", b'"prompt"', b"1"])
async def test_json_that_is_no_object_is_a_422_for_the_body(http: AsyncClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}

    response = await http.post(EXECUTIONS, content=body, headers=headers)

    assert response.status_code == 422
    assert response.json()["field"] == "body"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_a_415(
    http: AsyncClient, local_pool: LocalPool, content_type: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}

    response = await http.post(EXECUTIONS, content=b'{"prompt": "x"}', headers=headers)

    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]
    assert await nothing_happened(http, local_pool)


async def test_json_with_a_charset_is_json(http: AsyncClient) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}

    response = await http.post(EXECUTIONS, content=b'{"prompt": "x"}', headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("change", "noun"),
    [({"session_id": UNKNOWN_UUID}, "session"), ({"subscription_id": "nobody"}, "subscription")],
)
async def test_what_is_not_known_is_a_404_that_names_it(
    http: AsyncClient, local_pool: LocalPool, change: dict[str, str], noun: str
) -> None:
    response = await ask(http, **change)

    assert response.status_code == 404
    assert noun in response.json()["detail"]
    assert await nothing_happened(http, local_pool)


# -- turned away ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "retry_after"), [(FailureKind.USAGE_LIMIT, "300"), (FailureKind.RATE_LIMITED, "30")]
)
async def test_a_limit_before_any_output_is_a_429_with_the_execution_behind_it(
    http: AsyncClient, local_pool: LocalPool, kind: FailureKind, retry_after: str
) -> None:
    local_pool.runner.script = 3 * [Failed(kind=kind, message="limit reached")]

    refused = await ask(http)
    problem = refused.json()
    execution = (await http.get(f"{EXECUTIONS}/{problem['execution_id']}")).json()

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == retry_after
    assert "limit reached" in problem["reason"]
    assert (execution["status"], execution["error"]["type"]) == ("failed", kind.value)


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.AUTHENTICATION,
        FailureKind.CREDIT_EXHAUSTED,
        FailureKind.OVERLOADED,
        FailureKind.NOT_STARTED,
    ],
)
async def test_a_subscription_that_cannot_serve_is_a_503_with_the_execution_behind_it(
    http: AsyncClient, local_pool: LocalPool, kind: FailureKind
) -> None:
    local_pool.runner.script = 3 * [Failed(kind=kind, message="no use")]

    refused = await ask(http)

    assert refused.status_code == 503
    assert refused.json()["execution_id"] == local_pool.runner.runs[0].run_id
    assert "retry-after" in refused.headers


@pytest.mark.parametrize(
    "kind",
    [FailureKind.TIMEOUT, FailureKind.REFUSAL, FailureKind.MAX_TURNS, FailureKind.EMPTY_ANSWER],
)
async def test_a_run_that_failed_on_its_own_is_a_200_that_says_how(
    http: AsyncClient, local_pool: LocalPool, kind: FailureKind
) -> None:
    local_pool.runner.script = [Failed(kind=kind, message="it went wrong")]

    response = await ask(http)

    assert response.status_code == 200
    error = {"type": kind.value, "message": "it went wrong", "retry_at": None, "others": None}
    assert response.json()["error"] == error


async def test_a_pool_without_a_usable_subscription_is_a_503_and_nothing_runs(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    await ask(http)
    for each in ("sub1", "sub2", "sub3"):
        await http.post(f"/v1/subscriptions/{each}/pause")

    refused = await ask(http)

    assert refused.status_code == 503
    assert "paused" in refused.json()["reason"]
    assert len(local_pool.runner.runs) == 1


async def test_an_exhausted_pool_tells_when_to_come_back(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    cost = {"models": {"claude-sonnet-4-5": {"cost_usd": 456}}}
    for each in ("sub1", "sub2", "sub3"):
        await http.post(f"/v1/subscriptions/{each}/usage", json={**cost, "id": each})

    refused = await ask(http)

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == str(7 * 24 * 3600)
    assert local_pool.runner.runs == []


# -- lists ---------------------------------------------------------------------------------------


async def ids_of(http: AsyncClient, **params: Any) -> list[str]:
    response = await http.get(EXECUTIONS, params=params)
    assert response.status_code == 200, response.text
    return [each["id"] for each in response.json()["items"]]


async def test_pages_follow_each_other_without_gap_or_overlap(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    made = [(await ask(http, f"number {n}")).json()["id"] for n in range(7)]
    pages: list[list[str]] = []
    cursor: str | None = None

    while True:
        params = {"limit": 3} if cursor is None else {"limit": 3, "cursor": cursor}
        page = (await http.get(EXECUTIONS, params=params)).json()
        pages.append([each["id"] for each in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(made, reverse=True) == [id_ for page in pages for id_ in page]


async def test_a_list_can_be_narrowed(http: AsyncClient, local_pool: LocalPool) -> None:
    first = (await ask(http, subscription_id="sub1")).json()
    local_pool.runner.script = [Failed(kind=FailureKind.TIMEOUT, message="too slow")]
    failed = (await ask(http, subscription_id="sub2")).json()

    assert await ids_of(http, status="failed") == [failed["id"]]
    assert await ids_of(http, subscription_id="sub1") == [first["id"]]
    assert await ids_of(http, session_id=failed["session_id"]) == [failed["id"]]


async def test_what_is_shown_as_queued_is_found_as_queued_while_it_is_handed_on(
    http: AsyncClient, local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: HandoffRequest) -> NoReturn:
        raise ActorLost("router", "it is being started again")

    monkeypatch.setattr(local_pool.router, "hand_off", away)
    local_pool.runner.script = [limit()]
    id_ = (await ask(http, background=True)).json()["id"]

    async def is_queued() -> bool:
        return str((await http.get(f"{EXECUTIONS}/{id_}")).json()["status"]) == "queued"

    await until(is_queued)
    assert await ids_of(http, status="queued") == [id_]
    assert await ids_of(http, status="running") == []


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "x" * 501}, "cursor"),
        ({"cursor": "what is this"}, "cursor"),
        ({"status": "sleeping"}, "status"),
        ({"session_id": "no-uuid"}, "session_id"),
        ({"subscription_id": "a b"}, "subscription_id"),
    ],
)
async def test_a_bad_parameter_of_a_list_is_named(
    http: AsyncClient, params: dict[str, Any], field: str
) -> None:
    response = await http.get(EXECUTIONS, params=params)

    assert response.status_code == 422
    assert response.json()["field"] == field


async def test_the_list_of_an_unknown_subscription_is_a_404(http: AsyncClient) -> None:
    response = await http.get(EXECUTIONS, params={"subscription_id": "nobody"})

    assert response.status_code == 404


@pytest.mark.parametrize("path", ["exec_unknown", "exec_unknown/cancel"])
async def test_an_unknown_execution_is_a_404(http: AsyncClient, path: str) -> None:
    method = "POST" if path.endswith("cancel") else "GET"

    response = await http.request(method, f"{EXECUTIONS}/{path}")

    assert response.status_code == 404
    assert response.json()["type"] == "urn:claude-pool:not-found"


@pytest.mark.parametrize("seconds", ["-1", "61", "nan", "long"])
async def test_the_wait_is_bounded(http: AsyncClient, seconds: str) -> None:
    response = await http.get(f"{EXECUTIONS}/exec_x", params={"wait_seconds": seconds})

    assert response.status_code == 422
    assert response.json()["field"] == "wait_seconds"


async def test_numbers_keep_their_exact_value(http: AsyncClient, local_pool: LocalPool) -> None:
    body = json.dumps({"prompt": "x", "max_budget_usd": 0.1})

    await http.post(EXECUTIONS, content=body, headers={"content-type": "application/json"})

    assert local_pool.runner.runs[0].launch.max_budget_usd == "0.1"


async def test_an_owners_own_statuses_cannot_be_asked_for(http: AsyncClient) -> None:
    for status in ("moving", "moved"):
        refused = await http.get(EXECUTIONS, params={"status": status})

        assert refused.status_code == 422
        assert "should be one of queued, running" in refused.json()["detail"]
    assert (await http.get(EXECUTIONS, params={"status": "queued"})).status_code == 200

"""What happens in the pool, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from api.server.listening import bound, listening
from pool.config import ServerSettings
from pool.executions.outcome import Failed, FailureKind
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import completed

EVENTS = "/v1/events"
SECRET = "the-plan-nobody-may-read"
Sent = dict[str, Any]
LIMIT = Failed(kind=FailureKind.USAGE_LIMIT, message="limit reached")


@pytest.fixture
async def web(app: FastAPI, operator_key: str, local_pool: LocalPool) -> AsyncIterator[AsyncClient]:
    with bound(ServerSettings(port=0)) as listener:
        async with (
            listening(app, listener) as url,
            AsyncClient(
                base_url=url, headers={"x-api-key": operator_key}, timeout=30, verify=False
            ) as client,
        ):
            yield client


@asynccontextmanager
async def events(web: AsyncClient, **asked: Any) -> AsyncIterator[AsyncIterator[Sent]]:
    """The events of a stream as they arrive, within ten seconds."""
    async with asyncio.timeout(10), web.stream("GET", EVENTS, **asked) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _parsed(response.aiter_lines())


async def _parsed(lines: AsyncIterator[str]) -> AsyncIterator[Sent]:
    fields: Sent = {}
    async for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = json.loads(value) if name == "data" else value
        elif fields:
            yield fields
            fields = {}


async def until(stream: AsyncIterator[Sent], last: Callable[[Sent], bool]) -> list[Sent]:
    found = []
    async for event in stream:
        found.append(event)
        if last(event):
            return found
    raise AssertionError(f"the stream ended: {found}")


def is_end(event: Sent) -> bool:
    return event["event"] == "execution_ended"


async def run(web: AsyncClient, prompt: str = "q", **body: Any) -> Sent:
    answer: Sent = (await web.post("/v1/executions", json={"prompt": prompt, **body})).json()
    return answer


async def test_a_run_is_told_from_its_admission_to_its_end(web: AsyncClient) -> None:
    async with events(web) as stream:
        execution = await run(web)
        told = await until(stream, is_end)

    kinds = [each["event"] for each in told]
    assert sorted(kinds[:-1]) == ["execution_dispatched", "execution_started", "usage_recorded"]
    assert {each["data"]["execution_id"] for each in told} == {execution["id"]}
    assert {each["data"]["session_id"] for each in told} == {execution["session_id"]}
    assert {each["data"]["subscription_id"] for each in told} == {execution["subscription_id"]}
    assert told[-1]["data"]["data"]["status"] == "succeeded"
    assert told[-1]["data"]["data"]["cost_usd"] == execution["usage"]["cost_usd"]


async def test_from_every_event_the_rest_comes_and_nothing_else(web: AsyncClient) -> None:
    async with events(web) as stream:
        for prompt in ("a", "b"):
            await run(web, prompt)
        told = await until(stream, is_end) + await until(stream, is_end)

    for number, event in enumerate(told[:-1]):
        async with events(web, headers={"Last-Event-ID": event["id"]}) as stream:
            rest = [await anext(stream) for _ in told[number + 1 :]]
        assert rest == told[number + 1 :]


async def test_only_what_is_asked_for_is_told(web: AsyncClient) -> None:
    async with events(web) as stream:
        await run(web, subscription_id="sub1")
        second = await run(web, subscription_id="sub2")
        told = await until(stream, is_end) + await until(stream, is_end)

    for asked in (
        {"subscription_id": "sub2", "kind": ["execution_ended", "alert"]},
        {"execution_id": second["id"], "kind": "execution_ended"},
        {"session_id": second["session_id"], "kind": "execution_ended"},
    ):
        before = {"after": f"{told[0]['id'].partition('-')[0]}-0"}
        async with events(web, params={**asked, **before}) as stream:
            found = await anext(stream)
        assert found["data"]["execution_id"] == second["id"], asked


async def test_a_router_that_began_anew_is_told_by_a_gap(web: AsyncClient) -> None:
    headers = {"Last-Event-ID": "0123456789ab-7"}
    async with events(web, headers=headers) as stream:
        gap = await anext(stream)

    assert gap["event"] == "gap"
    assert gap["data"]["data"] == {"reason": "its list of events began anew since"}


async def test_an_owner_that_began_anew_is_told_with_a_gap(
    web: AsyncClient, local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.router.presence.followers.HEARTBEAT_SECONDS", 0.05)
    async with events(web, params={"subscription_id": "sub1"}) as stream:
        await run(web, subscription_id="sub1")
        await until(stream, is_end)
        await local_pool.restart("sub1")
        told = await until(stream, lambda each: each["event"] == "subscription_activated")
        await run(web, subscription_id="sub1")
        after = await until(stream, is_end)

    assert "gap" in [each["event"] for each in told]
    assert "execution_started" in [each["event"] for each in after]


async def test_a_failover_and_a_cooldown_are_told(web: AsyncClient, local_pool: LocalPool) -> None:
    local_pool.runner.script = [LIMIT]
    async with events(web) as stream:
        execution = await run(web)
        wanted, by_kind = {"failover", "execution_moved", "subscription_state"}, dict[str, Sent]()
        while not wanted <= by_kind.keys():
            event = await anext(stream)
            by_kind[event["event"]] = event["data"]

    assert by_kind["failover"]["data"] == {
        "to": execution["subscription_id"],
        "cause": "usage_limit",
    }
    assert by_kind["execution_moved"]["data"]["moved_to"] == execution["subscription_id"]
    assert by_kind["subscription_state"]["data"]["to"] in {"cooldown", "limited"}


async def test_a_request_that_nobody_takes_is_told_as_refused(
    web: AsyncClient, local_pool: LocalPool
) -> None:
    for id_ in ("sub1", "sub2", "sub3"):
        await local_pool.client.pause(id_)

    async with events(web, params={"kind": "request_refused"}) as stream:
        await run(web)
        refused = await anext(stream)

    assert refused["data"]["data"] == {"error": "unavailable"}


async def test_orders_and_alerts_are_told(web: AsyncClient) -> None:
    async with events(web, params={"kind": ["subscription_state", "alert"]}) as stream:
        await web.post("/v1/subscriptions/sub1/pause")
        paused = await anext(stream)
        spent = {"models": {"claude-sonnet-4-5": {"cost_usd": 400}}}
        await web.post("/v1/subscriptions/sub2/usage", json=spent)
        alert = await until(stream, lambda each: each["event"] == "alert")

    assert paused["data"]["data"]["to"] == "paused"
    assert alert[-1]["data"]["subscription_id"] == "sub2"
    assert alert[-1]["data"]["data"]["alert"] == "usage_threshold"


async def test_usage_from_outside_is_told(web: AsyncClient) -> None:
    async with events(web, params={"kind": "usage_recorded"}) as stream:
        usage = {"id": "mine", "models": {"claude-sonnet-4-5": {"cost_usd": 1.5}}}
        for _ in range(2):
            await web.post("/v1/subscriptions/sub3/usage", json=usage)
        await run(web, subscription_id="sub3")
        told = [await anext(stream), await anext(stream)]

    assert [each["data"]["data"]["source"] for each in told] == ["external", "cli"]
    assert told[0]["data"]["data"]["cost_usd"] == 1.5


async def test_no_prompt_and_no_answer_is_told(
    web: AsyncClient, local_pool: LocalPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    local_pool.runner.script = [
        completed(f"answer {SECRET}"),
        Failed(kind=FailureKind.USAGE_LIMIT, message=f"limit {SECRET}"),
    ]
    async with events(web) as stream:
        for _ in range(2):
            await run(web, f"prompt {SECRET}", system_prompt=SECRET, metadata={"m": SECRET})
        told = await until(stream, is_end) + await until(stream, is_end)

    metrics = (await web.get("/metrics")).text
    assert len(told) >= 8
    assert SECRET not in json.dumps(told)
    assert SECRET not in metrics
    records = [json.dumps(vars(each), default=str) for each in caplog.records]
    assert [each for each in records if SECRET in each and '"name": "http' not in each] == []


@pytest.mark.parametrize(
    "asked",
    [
        {"params": {"after": "nonsense"}},
        {"headers": {"Last-Event-ID": "1-2-3"}},
        {"params": {"kind": "nonsense"}},
    ],
)
async def test_what_cannot_be_asked_for_is_refused(http: AsyncClient, asked: Any) -> None:
    assert (await http.get(EVENTS, **asked)).status_code == 422


async def test_events_need_a_key_that_has_something_to_see(
    keyed: Callable[..., AsyncClient],
) -> None:
    statuses = [
        (await keyed(key).get(EVENTS, params={"after": "x"})).status_code
        for key in (None, "test-key-execute", "test-key-reading")
    ]

    assert statuses == [401, 422, 422]


async def test_clients_are_told_the_same(local_pool: LocalPool) -> None:
    begin = (await local_pool.client.happenings()).cursor
    await run_one(local_pool)

    told = []
    async for each in local_pool.client.watch(after=begin):
        told.append(each)
        if each.happening.kind == "execution_ended":
            break

    page = await local_pool.client.happenings(after=begin)
    assert page.items == tuple(told)
    assert page.cursor == told[-1].id


async def run_one(pool: LocalPool) -> None:
    from pool.executions.request import ExecutionRequest

    await pool.client.execute(ExecutionRequest(prompt="q"))

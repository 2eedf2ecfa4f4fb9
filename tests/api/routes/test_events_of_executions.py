"""Events over real HTTP: only a server sends a stream before it has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response

from api.server.listening import bound, listening
from pool.config import ServerSettings
from pool.executions.outcome import Failed, FailureKind
from tests.support.clis.fake_runner import FakeRun
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import completed

EXECUTIONS = "/v1/executions"
Sent = dict[str, Any]


@pytest.fixture
async def web(app: FastAPI, operator_key: str, local_pool: LocalPool) -> AsyncIterator[AsyncClient]:
    """A client of the served application, whose runs stay open until they are ended."""
    local_pool.runner.hold = True
    with bound(ServerSettings(port=0)) as listener:
        async with (
            listening(app, listener) as url,
            AsyncClient(
                base_url=url, headers={"x-api-key": operator_key}, timeout=30, verify=False
            ) as client,
        ):
            yield client
            for run in local_pool.runner.runs:
                if not run.ending.done():
                    run.end()


async def events_of(response: Response) -> AsyncIterator[Sent]:
    """The events of a stream as they arrive, and its comments as ``{"comment": ...}``."""
    fields: Sent = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            yield {"comment": line[1:].strip()}
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = json.loads(value) if name == "data" else value
        elif fields:
            yield fields
            fields = {}


async def all_of(web: AsyncClient, path: str, **asked: Any) -> list[Sent]:
    async with asyncio.timeout(10), web.stream("GET", path, **asked) as response:
        assert response.status_code == 200, await response.aread()
        return [each async for each in events_of(response)]


async def ended(web: AsyncClient, pool: LocalPool, *words: str) -> str:
    """A run that was streamed and has ended; where its events are."""
    body = {"prompt": "q", "stream": True, "background": True}
    location = (await web.post(EXECUTIONS, json=body)).headers["location"]
    run = (await pool.runner.wait_for_runs(len(pool.runner.runs) or 1))[-1]
    run.says(*words)
    run.end(completed("".join(words)))
    await web.get(location, params={"wait_seconds": 5})
    return f"{location}/events"


async def test_the_first_piece_arrives_while_the_run_goes_on(
    web: AsyncClient, local_pool: LocalPool
) -> None:
    body = {"prompt": "q", "stream": True}
    async with asyncio.timeout(10), web.stream("POST", EXECUTIONS, json=body) as response:
        (run,) = await local_pool.runner.wait_for_runs(1)
        events = events_of(response)
        began = await anext(events)
        run.says("Hello")
        piece = await anext(events)
        assert not run.ending.done()
        run.end(completed("Hello"))
        rest = [each async for each in events]

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-execution-id"] == run.run_id
    assert response.headers["location"] == f"{EXECUTIONS}/{run.run_id}"
    assert (began["event"], began["data"]["number"]) == ("attempt", 0)
    assert (piece["event"], piece["data"]) == ("text", {"type": "text", "text": "Hello"})
    assert [each["event"] for each in rest] == ["result"]
    assert rest[0]["data"]["execution"] == (await web.get(f"{EXECUTIONS}/{run.run_id}")).json()


async def test_from_every_event_the_rest_comes_and_nothing_else(
    web: AsyncClient, local_pool: LocalPool
) -> None:
    path = await ended(web, local_pool, "one ", "two ", "three")

    sent = await all_of(web, path)

    assert [each["event"] for each in sent] == ["attempt", "text", "text", "text", "result"]
    for number, each in enumerate(sent[:-1], 1):
        assert await all_of(web, path, params={"after": each["id"]}) == sent[number:]
        headers = {"last-event-id": each["id"]}
        assert await all_of(web, path, headers=headers, params={"after": "0-0"}) == sent[number:]


async def test_who_has_seen_the_last_event_is_told_not_to_ask_again(
    web: AsyncClient, local_pool: LocalPool
) -> None:
    path = await ended(web, local_pool, "one")
    last = (await all_of(web, path))[-1]

    answer = await web.get(path, headers={"last-event-id": last["id"]})

    assert (answer.status_code, answer.content) == (204, b"")


async def test_raw_messages_come_for_those_who_ask(web: AsyncClient, local_pool: LocalPool) -> None:
    path = await ended(web, local_pool, "one")

    sent = await all_of(web, path, params={"raw": True})

    raw = [each["data"]["message"]["type"] for each in sent if each["event"] == "raw"]
    assert raw == ["system", "stream_event", "result"]


async def test_a_run_that_fails_says_so_in_its_last_event(
    web: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [Failed(kind=FailureKind.TIMEOUT, message="too slow")]
    body = {"prompt": "q", "stream": True}

    async with web.stream("POST", EXECUTIONS, json=body) as response:
        *_, last = [each async for each in events_of(response)]

    assert response.status_code == 200
    assert last["event"] == "result"
    assert last["data"]["execution"]["status"] == "failed"
    assert last["data"]["execution"]["error"]["type"] == "timeout"


async def test_what_is_refused_before_it_was_admitted_is_a_problem_with_its_status(
    web: AsyncClient, local_pool: LocalPool
) -> None:
    for n in (1, 2, 3):
        await web.post(f"/v1/subscriptions/sub{n}/pause")

    refused = await web.post(EXECUTIONS, json={"prompt": "q", "stream": True})
    unknown = await web.post(
        EXECUTIONS, json={"prompt": "q", "stream": True, "subscription_id": "nobody"}
    )

    assert [refused.status_code, unknown.status_code] == [503, 404]
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"headers": {"last-event-id": "what"}}, "Last-Event-ID"),
        ({"params": {"after": "what"}}, "after"),
        ({"params": {"after": "0-1"}}, "after"),
        ({"params": {"after": "7-0"}}, "after"),
        ({"params": {"raw": "maybe"}}, "raw"),
    ],
)
async def test_a_bad_cursor_is_refused_by_its_name(
    web: AsyncClient, local_pool: LocalPool, asked: dict[str, Any], field: str
) -> None:
    path = await ended(web, local_pool, "one")

    answer = await web.get(path, **asked)

    assert answer.status_code == 422
    assert answer.json()["field"] == field


async def test_the_events_of_an_unknown_execution_are_a_404(web: AsyncClient) -> None:
    assert (await web.get(f"{EXECUTIONS}/exec_unknown/events")).status_code == 404


async def test_a_quiet_stream_sends_comments(
    web: AsyncClient, local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.web.stream.sse.HEARTBEAT_SECONDS", 0.05)
    body = {"prompt": "q", "stream": True}

    async with asyncio.timeout(10), web.stream("POST", EXECUTIONS, json=body) as response:
        events = events_of(response)
        began, *comments = [await anext(events) for _ in range(4)]

    assert began["event"] == "attempt"
    assert all("comment" in each for each in comments)


async def hung_up(web: AsyncClient, pool: LocalPool, **body: Any) -> FakeRun:
    """Ask for a stream, and hang up after its first event."""
    asked = {"prompt": "q", "stream": True, **body}
    async with web.stream("POST", EXECUTIONS, json=asked) as response:
        await anext(events_of(response))
    return pool.runner.runs[-1]


async def test_hanging_up_ends_nothing_and_the_rest_is_there_for_who_comes_back(
    web: AsyncClient, local_pool: LocalPool
) -> None:
    run = await hung_up(web, local_pool)
    await asyncio.sleep(0.1)
    run.says("still ", "here")
    run.end(completed("still here"))

    sent = await all_of(web, f"{EXECUTIONS}/{run.run_id}/events")

    assert not run.stopped
    assert [each["event"] for each in sent] == ["attempt", "text", "text", "result"]


async def test_a_run_ends_with_its_connection_where_that_was_asked_for(
    web: AsyncClient, local_pool: LocalPool
) -> None:
    run = await hung_up(web, local_pool, cancel_on_disconnect=True)

    path = f"{EXECUTIONS}/{run.run_id}"
    found = (await web.get(path, params={"wait_seconds": 5})).json()

    assert run.stopped
    assert found["status"] == "cancelled"


async def test_a_reader_that_hangs_up_ends_nothing_either(
    web: AsyncClient, local_pool: LocalPool
) -> None:
    body = {"prompt": "q", "stream": True, "background": True, "cancel_on_disconnect": True}
    location = (await web.post(EXECUTIONS, json=body)).headers["location"]
    (run,) = await local_pool.runner.wait_for_runs(1)

    async with web.stream("GET", f"{location}/events") as response:
        await anext(events_of(response))
    await asyncio.sleep(0.1)

    assert not run.stopped


async def test_the_same_key_streams_the_same_execution_from_its_beginning(
    web: AsyncClient, local_pool: LocalPool
) -> None:
    body, headers = {"prompt": "q", "stream": True}, {"idempotency-key": "k-1"}
    asked: dict[str, Any] = {"json": body, "headers": headers}
    async with web.stream("POST", EXECUTIONS, **asked) as response:
        first = await anext(events_of(response))
    local_pool.runner.runs[0].end(completed("once"))

    async with web.stream("POST", EXECUTIONS, **asked) as response:
        again = [each async for each in events_of(response)]

    assert again[0] == first
    assert [each["event"] for each in again] == ["attempt", "text", "result"]
    assert len(local_pool.runner.runs) == 1


async def test_no_answer_is_logged_whatever_the_level(
    web: AsyncClient, local_pool: LocalPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    await all_of(web, await ended(web, local_pool, "a secret answer"))

    assert "a secret answer" not in caplog.text


async def test_a_stream_whose_owner_stays_away_ends_with_a_problem(
    web: AsyncClient, local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.client.patience.LOST_SECONDS", 0.1)
    monkeypatch.setattr("actors.subscription.event_stream.LONGEST_POLL_SECONDS", 0.05)
    body = {"prompt": "q", "stream": True, "subscription_id": "sub1"}
    async with asyncio.timeout(10), web.stream("POST", EXECUTIONS, json=body) as response:
        events = events_of(response)
        await anext(events)
        await local_pool.actors.deactivate("sub1")
        (problem,) = [each async for each in events]

    assert problem["event"] == "error"
    assert problem["data"]["type"] == "urn:claude-pool:peer-lost"

"""Traces, from a request over HTTP to the environment of the CLI, at a collector on loopback."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from pydantic import ValidationError

from actors.telemetry.collector import OtelTracing
from actors.telemetry.exporter import tracing_to
from actors.telemetry.tracing import OFF, within
from api.server.app import create_app
from api.web.authentication import Keys
from pool.config import parse
from pool.errors import ConfigError
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import ExecutionRequest
from tests.support.clis.fake_runner import FakeRun
from tests.support.pools.localpool import LocalPool
from tests.support.services.collector import Collector, Seen, collecting
from tests.support.values.examples import completed

SECRET = "the-plan-nobody-may-read"
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def spans(collector: Collector, local_pool: LocalPool) -> OtelTracing:
    """What a pool with ``[tracing]`` has in all of its parts; here they share one."""
    spans = OtelTracing(collector.url, "test")
    local_pool.router._tracing = spans
    for id_ in local_pool.actors.subscriptions:
        trace(local_pool, id_, spans)
    return spans


def trace(pool: LocalPool, subscription_id: str, spans: OtelTracing) -> None:
    life = pool.actors.subscriptions[subscription_id]._context
    life.deps = replace(life.deps, tracing=spans)
    life.recorder._tracing = spans


@pytest.fixture
async def http(local_pool: LocalPool, spans: OtelTracing) -> AsyncIterator[AsyncClient]:
    app = create_app(local_pool.client, Keys({}), clock=local_pool.clock, tracing=spans)
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def environments(local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """What the runs were given."""
    seen: list[Mapping[str, str]] = []
    start = local_pool.runner.start

    async def remembered(launch: Any, environment: Mapping[str, str]) -> FakeRun:
        seen.append(environment)
        return await start(launch, environment)

    monkeypatch.setattr(local_pool.runner, "start", remembered)
    return seen


def parent(spans: list[Seen], child: Seen) -> str:
    return next((each.name for each in spans if each.id == child.parent), "")


async def test_a_request_is_one_trace_from_its_caller_to_its_settlement(
    http: AsyncClient, collector: Collector, spans: OtelTracing
) -> None:
    answer = await http.post(
        "/v1/executions", json={"prompt": "q"}, headers={"traceparent": CALLER}
    )
    await spans.close()

    seen = {each.name: each for each in collector.spans}
    assert {TRACE} == {each.trace for each in collector.spans}
    assert seen["request"].parent == "b7ad6b7169203331"
    assert {name: parent(collector.spans, each) for name, each in seen.items()} == {
        "request": "",
        "dispatch": "request",
        "admission": "dispatch",
        "wait": "dispatch",
        "run": "dispatch",
        "settle": "dispatch",
    }
    ids = {each.attributes.get("execution_id") for each in collector.spans}
    assert ids == {answer.json()["id"], None}
    assert seen["request"].attributes["request_id"] == answer.headers["request-id"]


async def test_the_cli_is_told_the_trace_it_runs_in(
    http: AsyncClient,
    spans: OtelTracing,
    environments: list[Mapping[str, str]],
    collector: Collector,
) -> None:
    await http.post("/v1/executions", json={"prompt": "q"}, headers={"traceparent": CALLER})
    await spans.close()

    (dispatch,) = collector.of("dispatch")
    assert environments[0]["TRACEPARENT"] == f"00-{TRACE}-{dispatch.id}-01"


async def test_a_run_is_told_with_its_length_also_when_its_owner_began_anew(
    http: AsyncClient, local_pool: LocalPool, collector: Collector, spans: OtelTracing
) -> None:
    local_pool.runner.hold = True
    body = {"prompt": "q", "subscription_id": "sub1", "background": True}
    started = (await http.post("/v1/executions", json=body)).json()
    (run,) = await local_pool.runner.wait_for_runs(1)
    life = local_pool.actors.subscriptions["sub1"]._context
    life.deps = replace(life.deps, tracing=OFF)  # as a killed one, it closes nothing
    await local_pool.restart("sub1")
    trace(local_pool, "sub1", spans)
    local_pool.clock.advance(timedelta(seconds=90))
    run.end(completed())
    await local_pool.client.result(started["id"], wait_seconds=5)
    await spans.close()

    (told,) = collector.of("run")
    assert told.seconds == 90
    assert told.trace == collector.of("request")[0].trace
    assert told.attributes["outcome"] == "completed"


async def test_what_failed_is_marked_and_what_it_said_is_not_told(
    http: AsyncClient, local_pool: LocalPool, collector: Collector, spans: OtelTracing
) -> None:
    failed = Failed(kind=FailureKind.REFUSAL, message=f"no {SECRET}")
    local_pool.runner.script = [failed, completed(SECRET)]
    for _ in range(2):
        await http.post("/v1/executions", json={"prompt": SECRET, "system_prompt": SECRET})
    await http.post("/v1/executions", json={"prompt": SECRET, "session_id": SECRET})
    await http.post("/v1/executions", json={"prompt": SECRET, "model": f"claude-{SECRET}"})
    await spans.close()

    assert [each.has_failed for each in collector.of("run")] == [True, False]
    assert [each.has_failed for each in collector.of("dispatch")] == [False, False, True]
    assert SECRET not in repr(collector.spans)


async def test_a_caller_inside_python_names_its_trace_too(
    local_pool: LocalPool, collector: Collector, spans: OtelTracing
) -> None:
    with within(CALLER):
        await local_pool.client.execute(ExecutionRequest(prompt="q"))
    await local_pool.client.execute(ExecutionRequest(prompt="q"))
    await spans.close()

    mine, other = collector.of("run")
    assert mine.trace == TRACE
    assert other.trace not in {TRACE, ""}


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{'0' * 16}-01", "x" * 5000])
async def test_what_is_no_trace_begins_a_new_one(
    http: AsyncClient, collector: Collector, spans: OtelTracing, header: str
) -> None:
    await http.get("/v1/pool", headers={"traceparent": header})
    await spans.close()

    (request,) = collector.of("request")
    assert request.parent == ""


async def test_a_caller_that_samples_itself_out_is_not_traced(
    http: AsyncClient, collector: Collector, spans: OtelTracing
) -> None:
    headers = {"traceparent": CALLER[:-1] + "0"}
    await http.post("/v1/executions", json={"prompt": "q"}, headers=headers)
    await spans.close()

    assert collector.spans == []


async def test_without_a_collector_runs_go_on_all_the_same(local_pool: LocalPool) -> None:
    spans = OtelTracing("http://127.0.0.1:9", "test")
    local_pool.router._tracing = spans

    execution = await local_pool.client.execute(ExecutionRequest(prompt="q"))

    assert execution.status == "succeeded"
    await spans.close()


async def test_without_tracing_the_cli_is_told_nothing(
    local_pool: LocalPool, environments: list[Mapping[str, str]]
) -> None:
    with within(CALLER):
        await local_pool.client.execute(ExecutionRequest(prompt="q"))

    assert "TRACEPARENT" not in environments[0]


def test_tracing_is_off_unless_an_endpoint_is_named() -> None:
    assert tracing_to(parse({}).tracing.endpoint, "api") is OFF


def test_without_opentelemetry_an_endpoint_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "actors.telemetry.collector")
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)

    with pytest.raises(ConfigError, match=r"pip install 'claude-subscription-pool\[otel\]'"):
        tracing_to("http://127.0.0.1:4318", "api")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://x:1", "http://", "http://x/?a=b"])
def test_an_endpoint_has_to_be_a_url(endpoint: str) -> None:
    with pytest.raises((ConfigError, ValidationError), match=r"tracing\.endpoint"):
        parse({"tracing": {"endpoint": endpoint}})

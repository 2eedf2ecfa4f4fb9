"""What Prometheus reads, parsed by its own parser and compared with what the pool says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from api.web.metrics import HttpMetrics, exposition
from pool.executions.outcome import Failed, FailureKind
from pool.telemetry.gauges import MOST_MODELS
from pool.usage.records import Usage, UsageRecord, UsageSource
from tests.support.pools.localpool import LocalPool

LIMIT = Failed(kind=FailureKind.USAGE_LIMIT, message="limit reached")
LOST = Failed(kind=FailureKind.KILLED, message="gone", evidence=False)
REFUSED = Failed(kind=FailureKind.REFUSAL, message="no")


class Metrics:
    """Samples by name and labels."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.samples: list[Sample] = [each for family in families for each in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that have these labels."""
        found = [
            each.value
            for each in self.samples
            if each.name == f"claude_pool_{name}" and labels.items() <= each.labels.items()
        ]
        assert found, (name, labels)
        return sum(found)


async def scraped(http: AsyncClient, executions: int = 0, sub1_epoch: int = 1) -> Metrics:
    """A scrape, once the router has heard of so much."""
    async with asyncio.timeout(10):
        while True:
            metrics = Metrics((await http.get("/metrics")).text)
            ended = metrics.sum("executions_total")
            epoch = metrics.sum("owner_epoch", subscription="sub1")
            if ended >= executions and epoch >= sub1_epoch:
                return metrics
            await asyncio.sleep(0.01)


async def run(http: AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await http.post("/v1/executions", json={"prompt": "q", **body})
    execution: dict[str, Any] = answer.json()
    return execution


async def test_after_a_history_the_metrics_say_what_the_pool_says(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [LIMIT]
    await run(http)
    local_pool.runner.script = [LOST]
    await run(http)
    local_pool.runner.script = [REFUSED]
    await run(http)
    await run(http)
    metrics = await scraped(http, 4)

    pool = (await http.get("/v1/pool")).json()
    assert metrics.sum("cost_usd_total") == pytest.approx(pool["total_cost_usd"], abs=1e-12)
    assert metrics.sum("lifetime_executions_total") == pool["executions"] == 4
    assert metrics.sum("usage_records_total") == pool["records"] == 2
    assert metrics.sum("uncertain_executions") == pool["uncertain"] == 1
    assert metrics.sum("uncertain_usd") == pytest.approx(pool["uncertain_usd"])
    assert metrics.sum("weekly_used_usd") == pytest.approx(pool["weekly_used_usd"], abs=1e-12)
    assert metrics.sum("weekly_budget_usd") == pool["weekly_budget_usd"]
    assert metrics.sum("tokens_total", kind="input") == 200
    assert metrics.sum("tokens_total", kind="output", model="claude-sonnet-4-5") == 40
    assert {
        status: metrics.sum("executions_total", status=status)
        for status in ("succeeded", "failed", "cancelled", "interrupted", "uncertain")
    } == {"succeeded": 2, "failed": 1, "cancelled": 0, "interrupted": 0, "uncertain": 1}
    assert {
        outcome: metrics.sum("runs_total", outcome=outcome)
        for outcome in ("completed", "usage_limit", "killed", "refusal")
    } == {"completed": 2, "usage_limit": 1, "killed": 1, "refusal": 1}
    assert metrics.sum("executions_moved_total") == 1
    assert metrics.sum("failovers_total", cause="usage_limit") == 1
    assert metrics.sum("cooldowns_total", cause="usage_limit") == 1
    assert metrics.sum("dispatches_total", result="admitted") == 4
    assert metrics.sum("dispatch_seconds_count") == 4
    assert metrics.sum("queue_wait_seconds_count") == 5
    assert metrics.sum("run_seconds_count") == 5
    assert metrics.sum("subscription_state") == 3


async def test_what_ledgers_keep_survives_the_owner_and_counts_begin_anew(
    http: AsyncClient, local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.router.presence.followers.HEARTBEAT_SECONDS", 0.05)
    await run(http, subscription_id="sub1")
    before = await scraped(http, 1)

    await local_pool.restart("sub1")
    after = await scraped(http, sub1_epoch=2)

    subscription = {"subscription": "sub1"}
    for name in ("cost_usd_total", "tokens_total", "lifetime_executions_total"):
        assert after.sum(name, **subscription) == before.sum(name, **subscription) > 0
    assert after.sum("executions_total", **subscription) == 0
    assert after.sum("owner_epoch", **subscription) == 2


async def test_durations_are_in_the_buckets_they_belong_to(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    from datetime import timedelta

    local_pool.runner.hold = True
    started = await run(http, background=True)
    (cli,) = await local_pool.runner.wait_for_runs(1)
    local_pool.clock.advance(timedelta(seconds=20))
    cli.end()
    await http.get(f"/v1/executions/{started['id']}", params={"wait_seconds": 5})
    metrics = await scraped(http, 1)

    counts = [metrics.sum("run_seconds_bucket", le=bound) for bound in ("10.0", "30.0", "+Inf")]
    assert counts == [0, 1, 1]
    assert metrics.sum("run_seconds_sum") == 20


async def test_refusals_are_counted_by_cause(http: AsyncClient, local_pool: LocalPool) -> None:
    await local_pool.client.pause("sub1")

    await run(http, subscription_id="sub1")

    metrics = await scraped(http)
    assert metrics.sum("dispatches_total", result="unavailable") == 1
    assert metrics.sum("subscription_state", subscription="sub1", state="paused") == 1


async def test_requests_are_counted_by_template_and_status(http: AsyncClient) -> None:
    execution = await run(http)
    for _ in range(2):
        await http.get(f"/v1/executions/{execution['id']}")
    await http.get("/v1/executions/nobody-knows-it")
    await http.get("/no/such/address")
    metrics = await scraped(http)

    route = "/v1/executions/{execution_id}"
    count = "http_request_seconds_count"
    assert metrics.sum(count, method="GET", route=route, status="200") == 2
    assert metrics.sum(count, method="GET", route=route, status="404") == 1
    assert metrics.sum(count, route="other", status="404") == 1


async def test_the_format_is_the_one_that_is_asked_for(http: AsyncClient) -> None:
    await run(http)

    plain = await http.get("/metrics")
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    modern = await http.get("/metrics", headers=accept)

    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in openmetrics_families(modern.text)}
    assert "claude_pool_executions" in names


async def test_every_metric_says_what_it_is(http: AsyncClient) -> None:
    families = list(text_string_to_metric_families((await http.get("/metrics")).text))

    assert all(each.name.startswith("claude_pool_") for each in families)
    assert [each.name for each in families if not each.documentation.endswith(".")] == []


async def test_without_the_router_there_is_still_what_this_process_saw(
    keyed: Callable[..., AsyncClient], local_pool: LocalPool
) -> None:
    reader = keyed("test-key-reading")
    await reader.get("/healthz")
    local_pool.actors.the_router = None

    metrics = Metrics((await reader.get("/metrics")).text)

    assert metrics.sum("router_up") == 0
    assert metrics.sum("http_request_seconds_count", route="/healthz", status="200") == 1


async def test_metrics_need_a_key_that_may_read_once_there_are_keys(
    keyed: Callable[..., AsyncClient],
) -> None:
    statuses = [
        (await keyed(key).get("/metrics")).status_code
        for key in (None, "test-key-execute", "test-key-reading")
    ]

    assert statuses == [401, 403, 200]


async def test_an_open_pool_tells_its_metrics_to_its_own_machine_alone(
    anonymous: AsyncClient,
) -> None:
    foreign = await anonymous.get("/metrics", headers={"host": "pool.example"})

    assert foreign.status_code == 403


async def test_models_beyond_the_bound_are_counted_together(
    http: AsyncClient, local_pool: LocalPool
) -> None:
    from tests.support.values.examples import usage_of

    names = [f"model-{number:03}" for number in range(MOST_MODELS + 20)]
    usage = sum((usage_of("0.5", name) for name in names), Usage())
    record = UsageRecord(
        id="many",
        subscription_id="sub1",
        timestamp=local_pool.clock(),
        source=UsageSource.EXTERNAL,
        usage=usage,
    )
    await local_pool.router.record(record)

    metrics = await scraped(http)

    models = {each.labels["model"] for each in metrics.samples if "model" in each.labels}
    assert len(models) == MOST_MODELS + 1
    assert metrics.sum("cost_usd_total", model="other") == 10
    assert metrics.sum("cost_usd_total") == 60


def test_a_process_that_has_seen_nothing_can_be_scraped() -> None:
    body = exposition(None, HttpMetrics())

    assert Metrics(body).sum("router_up") == 0

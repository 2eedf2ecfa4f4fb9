"""What a pool tells of itself, with real Ray, the real CLI and a real collector of traces."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from actor_processes import actor_pid
from collector import Collector, collecting
from prometheus_client.parser import text_string_to_metric_families
from service import Service, write_config

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import serving
from api.demo.standin.standin import Standin

pytestmark = pytest.mark.timeout(240)
SECRET = "the-plan-nobody-may-read"
EXECUTIONS = "claude_pool_lifetime_executions_total"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def service(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    tracing = f'[tracing]\nendpoint = "{collector.url}"\n'
    with serving(create_app(Standin()), port=0) as api:
        folder = tmp_path_factory.mktemp("pool")
        service = Service(write_config(folder, api.url, subscriptions=2, more=tracing))
        service.start()
        yield service
        service.stop()


def metric(http: httpx.Client, name: str) -> float:
    families = text_string_to_metric_families(http.get("/metrics").text)
    return sum(each.value for family in families for each in family.samples if each.name == name)


def eventually(condition: Any, seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return value


def test_a_run_is_told_while_it_happens_and_leaves_nothing_but_figures(
    service: Service, collector: Collector
) -> None:
    trace = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    kinds: list[str] = []
    with service.client() as http, service.client() as web, web.stream("GET", "/v1/events") as sse:
        body = {"prompt": SECRET, "background": True}
        started = http.post("/v1/executions", json=body, headers=trace).json()
        for line in sse.iter_lines():
            if line.startswith("data:") and started["id"] in line:
                assert SECRET not in line
                kinds.append(json.loads(line[5:])["kind"])
            if "execution_ended" in kinds:
                break
        execution = http.get(f"/v1/executions/{started['id']}").json()
        eventually(lambda: metric(http, EXECUTIONS) == 1)
        cost = metric(http, "claude_pool_cost_usd_total")
        told = http.get("/metrics").text
    eventually(lambda: {"request", "dispatch", "admission", "run"} <= names(collector))

    assert execution["status"] == "succeeded"
    assert set(kinds) >= {"execution_started", "usage_recorded", "execution_ended"}
    assert cost == pytest.approx(execution["usage"]["cost_usd"])
    assert SECRET not in told
    assert SECRET not in repr(collector.spans)
    assert {TRACE} == {each.trace for each in collector.spans if each.name != "request"}
    assert {each.part for each in collector.of("dispatch")} == {"router"}
    assert {each.part for each in collector.of("run")} == {execution["subscription_id"]}
    (line,) = eventually(lambda: logged(service, "execution ended"))
    assert started["id"] in line
    assert f'"subscription_id": "{execution["subscription_id"]}"' in line
    assert SECRET not in service.log.read_text(encoding="utf-8")


def names(collector: Collector) -> set[str]:
    return {each.name for each in collector.spans}


def logged(service: Service, what: str) -> list[str]:
    """The whole lines that say it. An actor's come by a file, some time after they were written."""
    lines = service.log.read_text(encoding="utf-8").splitlines(keepends=True)
    return [each for each in lines if what in each and each.endswith("\n")]


def test_a_killed_owner_is_told_and_what_was_spent_stays(service: Service) -> None:
    with service.client() as http:
        counted = metric(http, EXECUTIONS)
        http.post("/v1/executions", json={"prompt": "q", "subscription_id": "sub1"})
        eventually(lambda: metric(http, EXECUTIONS) == counted + 1)
        before = metric(http, "claude_pool_cost_usd_total")
        with service.client() as web, web.stream("GET", "/v1/events") as sse:
            pid = actor_pid(service, "SubscriptionShell", "sub1")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            found: list[str] = []
            for line in sse.iter_lines():
                found += [line.removeprefix("event: ")] if line.startswith("event: ") else []
                if "subscription_activated" in found:
                    break
        eventually(lambda: metric(http, "claude_pool_owner_epoch") == 3)

        assert "gap" in found
        assert metric(http, "claude_pool_cost_usd_total") == pytest.approx(before)

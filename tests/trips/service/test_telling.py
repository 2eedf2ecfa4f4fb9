"""What a pool tells of itself, with real Ray, the real CLI and a real collector of traces."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.services.actor_processes import actor_pid
from tests.support.services.collector import Collector, Seen
from tests.support.services.service import Service
from tests.support.services.shared_pool import SharedPool

pytestmark = pytest.mark.timeout(240)
SECRET = "the-plan-nobody-may-read"
EXECUTIONS = "claude_pool_lifetime_executions_total"
COST, EPOCHS = "claude_pool_cost_usd_total", "claude_pool_owner_epoch"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector(shared: SharedPool) -> Collector:
    return shared.collector


@pytest.fixture
def service(shared: SharedPool) -> Service:
    return shared.service


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
    began = time.time()
    with service.client() as http, service.client() as web, web.stream("GET", "/v1/events") as sse:
        counted, spent = metric(http, EXECUTIONS), metric(http, COST)
        body = {"prompt": SECRET, "background": True}
        started = http.post("/v1/executions", json=body, headers=trace).json()
        for line in sse.iter_lines():
            if line.startswith("data:") and started["id"] in line:
                assert SECRET not in line
                kinds.append(json.loads(line[5:])["kind"])
            if "execution_ended" in kinds:
                break
        execution = http.get(f"/v1/executions/{started['id']}").json()
        eventually(lambda: metric(http, EXECUTIONS) == counted + 1)
        cost = metric(http, COST) - spent
        told = http.get("/metrics").text
    names = {"request", "dispatch", "admission", "run"}
    eventually(lambda: names <= {each.name for each in of_the_trace(collector)})
    of_others = [each for each in collector.spans if each.begun_at >= began and each.trace != TRACE]

    assert execution["status"] == "succeeded"
    assert set(kinds) >= {"execution_started", "usage_recorded", "execution_ended"}
    assert cost == pytest.approx(execution["usage"]["cost_usd"])
    assert SECRET not in told
    assert SECRET not in repr(collector.spans)
    assert {each.name for each in of_others} <= {"request"}
    parts = {(each.name, each.part) for each in of_the_trace(collector)}
    assert {part for name, part in parts if name == "dispatch"} == {"router"}
    assert {part for name, part in parts if name == "run"} == {execution["subscription_id"]}
    (line,) = eventually(lambda: logged(service, "execution ended", started["id"]))
    assert f'"subscription_id": "{execution["subscription_id"]}"' in line
    assert SECRET not in service.log.read_text(encoding="utf-8")


def of_the_trace(collector: Collector) -> list[Seen]:
    return [each for each in collector.spans if each.trace == TRACE]


def logged(service: Service, what: str, id_: str) -> list[str]:
    """The whole lines that say it. An actor's come by a file, some time after they were written."""
    lines = service.log.read_text(encoding="utf-8").splitlines(keepends=True)
    return [each for each in lines if what in each and id_ in each and each.endswith("\n")]


def test_a_killed_owner_is_told_and_what_was_spent_stays(service: Service) -> None:
    with service.client() as http:
        counted = metric(http, EXECUTIONS)
        http.post("/v1/executions", json={"prompt": "q", "subscription_id": "sub1"})
        eventually(lambda: metric(http, EXECUTIONS) == counted + 1)
        before, epochs = metric(http, COST), metric(http, EPOCHS)
        with service.client() as web, web.stream("GET", "/v1/events") as sse:
            pid = actor_pid(service, "SubscriptionShell", "sub1")
            assert pid is not None
            told = len(service.events())
            os.kill(pid, signal.SIGKILL)  # Ray tells of it in words and colours of its own
            found: list[str] = []
            for line in sse.iter_lines():
                found += [line.removeprefix("event: ")] if line.startswith("event: ") else []
                if "subscription_activated" in found:
                    break
        eventually(lambda: metric(http, EPOCHS) == epochs + 1)

        assert "gap" in found
        assert any("worker died" in each.get("text", "") for each in service.events()[told:])
        assert metric(http, COST) == pytest.approx(before)

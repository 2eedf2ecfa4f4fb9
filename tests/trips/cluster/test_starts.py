"""Services of one pool that start beside each other, after each other and with other settings, and
programs that join them: real Ray, and a CLI that answers at once or never.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.telemetry.log_stream import FOLDER
from tests.support.clis.stubcli import SLOW, runs_of
from tests.support.clusters import clustered_pool
from tests.support.clusters.cluster import further_node, living
from tests.support.clusters.clustered_pool import NOBODY, ClusteredPool, configured
from tests.support.services.actor_processes import actor_pid
from tests.support.services.service import Service

pytestmark = pytest.mark.timeout(240)

WITHIN_SECONDS = 5.0
PAUSE_SECONDS = 0.4
"""Between two requests, or they take the cores from who comes up."""
KEY = {"idempotency-key": "once"}


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> ClusteredPool:
    return clustered_pool.CLUSTERED.ready(tmp_path_factory.mktemp)


@pytest.fixture
def service(clustered: ClusteredPool) -> Service:
    return clustered.service


def told(http: httpx.Client, field: str) -> dict[str, Any]:
    return {each["id"]: each[field] for each in http.get("/v1/subscriptions").json()["items"]}


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def running(http: httpx.Client, subscription_id: str) -> str:
    """An execution that goes on until it is cancelled."""
    body = {"prompt": SLOW, "background": True, "subscription_id": subscription_id}
    execution_id = str(http.post("/v1/executions", json=body).json()["id"])
    eventually(lambda: http.get(f"/v1/executions/{execution_id}").json()["started_at"] is not None)
    return execution_id


def router_of(service: Service) -> int | None:
    return actor_pid(service, "RouterShell", "directory.sqlite")


def test_a_pool_on_sqlite_outlives_its_service_and_stays_on_its_node(
    tmp_path: Path, clustered: ClusteredPool, service: Service
) -> None:
    """On a second node, which has another disk, nobody knows of any key; so the router is never
    there, and no service starts as long as it could be.
    """
    one = {"prompt": "one"}
    with service.client() as http:
        first = http.post("/v1/executions", json=one, headers=KEY).json()
        slow = {"prompt": "[[nap 3]] two.", "background": True}
        started = http.post("/v1/executions", json=slow).json()
        before = told(http, "epoch")

    try:
        service.stop()
    finally:
        service.start()
    with service.client() as http:
        found = http.get(f"/v1/executions/{first['id']}").json()
        ended = http.get(f"/v1/executions/{started['id']}", params={"wait_seconds": 30}).json()
        epochs = told(http, "epoch")
        other_disk = tmp_path / "other-disk"
        other_disk.mkdir()
        with further_node(clustered.address, tmp_path, disks={service.data_dir: other_disk}):
            router = router_of(service)
            assert router is not None
            os.kill(router, signal.SIGKILL)
            again = http.post("/v1/executions", json=one, headers=KEY).json()
            refused = clustered.beside().refusal()
    eventually(lambda: living(clustered.address) == 1)  # or the next service is refused as well

    assert first == found
    assert ended["status"] == "succeeded"
    assert epochs == before
    assert again == first
    assert runs_of(clustered.cli, "two.") == 1
    assert list(other_disk.iterdir()) == []
    assert "pool.store: sqlite keeps records on one machine, and this Ray has 2 nodes" in refused
    assert "name a PostgreSQL database" in refused


def test_a_second_service_joins_on_another_port_and_what_has_changed_replaces_nobody_else(
    clustered: ClusteredPool, service: Service
) -> None:
    """Another budget is told at once; another login renews its subscription alone, in the middle of
    a run that goes on; what runs at one that is taken out of the file is ended and settled.
    """
    changed = {
        'id = "sub1"': 'id = "sub1"\nweekly_budget_usd = 100',
        '"SUB2_TOKEN"': '"SUB9_TOKEN"',
        '[[subscriptions]]\nid = "sub3"\nmax_concurrent = 2\n'
        'credential = { oauth_token_env = "SUB3_TOKEN" }\n': "",
    }
    with service.client() as http:
        before, router = told(http, "epoch"), router_of(service)
        kept, taken_out = running(http, "sub2"), running(http, "sub3")
        with clustered.beside(**changed).running() as second, second.client() as other:
            budgets = {id_: each["budget_usd"] for id_, each in told(other, "weekly").items()}
            eventually(lambda: told(other, "epoch")["sub2"] == before["sub2"] + 1)
            still = other.get(f"/v1/executions/{kept}").json()
            cancelled = other.post(f"/v1/executions/{kept}/cancel").json()
            eventually(lambda: "sub3" not in told(other, "state"))
            epochs = told(other, "epoch")
            ended = other.get(f"/v1/executions/{taken_out}").json()
            listed = {each["id"]: each for each in other.get("/v1/executions").json()["items"]}
            made = other.post("/v1/executions", json={"prompt": "q"}).json()
            found = http.get(f"/v1/executions/{made['id']}").json()

    assert (budgets["sub1"], budgets["sub2"]) == (100, 456)
    assert still["status"] == "running"
    assert (cancelled["status"], len(cancelled["attempts"])) == ("cancelled", 1)
    assert epochs == {"sub1": before["sub1"], "sub2": before["sub2"] + 1}
    assert ended["finished_at"] is not None
    assert ended["error"]["type"] == "interrupted"
    assert "its subscription was removed from the pool" in ended["error"]["message"]
    assert listed[taken_out] == ended
    assert made["status"] == "succeeded"
    assert found == made
    assert router_of(service) == router


def test_what_everybody_uses_renews_everybody_one_at_a_time_and_no_request_fails(
    clustered: ClusteredPool, service: Service
) -> None:
    """The router of the other service renews them; what they say this one passes on."""
    answers: list[int] = []
    renewed = threading.Event()

    def asks() -> None:
        with service.client() as http:
            while not renewed.wait(PAUSE_SECONDS):
                answers.append(http.post("/v1/executions", json={"prompt": "q"}).status_code)

    asking = threading.Thread(target=asks)
    with service.client() as http, ExitStack() as at_the_end:
        before, router = told(http, "epoch"), router_of(service)
        third = clustered.beside(**{"[[sub": "[limits]\nnew_work_percent = 84\n[[sub"})
        at_the_end.callback(third.stop)
        asking.start()
        try:
            third.start()
            eventually(lambda: told(http, "epoch") == {id_: n + 1 for id_, n in before.items()})
        finally:
            renewed.set()
            asking.join()
        third.stop()
        body = {"prompt": "q", "subscription_id": "sub1"}
        execution_id = http.post("/v1/executions", json=body).json()["id"]

    assert router_of(service) not in {None, router}
    assert len(answers) > 5
    assert set(answers) == {200}
    said = ("execution ended", execution_id, actor_pid(service, "SubscriptionShell", "sub1/"))
    eventually(
        lambda: any(
            (each["event"], each.get("execution_id"), each["pid"]) == said
            for each in service.events()
        )
    )
    streams = {path.stem for path in (service.data_dir / FOLDER).glob("*.jsonl")}
    assert streams >= {"router", *(f"subscription-{id_}" for id_ in before)}
    assert sum(name.startswith("serve-") for name in streams) >= 2


def test_the_namespace_of_a_pool_is_refused_to_another_one(
    tmp_path: Path, clustered: ClusteredPool, service: Service
) -> None:
    other = Service(configured(tmp_path, clustered.address))

    with pytest.raises(RuntimeError, match=r"ray\.namespace: .*another pool"):
        other.start()

    with service.client() as http:
        assert http.post("/v1/executions", json={"prompt": "q"}).json()["status"] == "succeeded"
    assert [each["level"] for each in other.events()][-1] == "error"


def test_what_a_removed_subscription_did_is_read_from_its_store(service: Service) -> None:
    more = {"id": "extra", "credential": {"oauth_token_env": "SUB5_TOKEN"}}
    body = {"prompt": "q", "subscription_id": "extra"}
    with service.client() as http:
        assert http.post("/v1/subscriptions", json=more).status_code == 201
        made = http.post("/v1/executions", json=body).json()
        assert http.delete("/v1/subscriptions/extra").status_code == 204
        began = time.monotonic()
        found = http.get(f"/v1/executions/{made['id']}", params={"wait_seconds": 30})
        turn = {"prompt": "q", "session_id": made["session_id"]}
        gone = http.post("/v1/executions", json=turn)
        took = time.monotonic() - began
        again = http.post("/v1/subscriptions", json=more).json()
        assert http.delete("/v1/subscriptions/extra").status_code == 204

    assert (found.status_code, found.json()["result"]) == (200, "answer")
    assert (gone.status_code, "was removed" in gone.json()["detail"]) == (404, True)
    assert again["state"] == "available"  # and no more draining, as it was to be removed
    assert took < WITHIN_SECONDS


# -- programs ------------------------------------------------------------------------------------

CONNECTS = """
import json, os, sys, time
from actors import connect
from pool.errors import ConfigError
for arguments, environment in json.load(sys.stdin):
    if os.fork() == 0:
        os.environ.update(environment)
        began = time.monotonic()
        try:
            connect(*arguments)
        except ConfigError as error:
            said = str(error)
        else:
            said = "connected"
        print(json.dumps([time.monotonic() - began, said]), flush=True)
        sys.exit()
    os.wait()
"""
"""A program for each case: what they import, which takes a second, is imported once."""
NOT_SENT = {"RAY_AUTH_MODE": "disabled"}
"""Ray reads it as it is imported."""
CASES = {
    "its pool": ((), {}, "connected"),
    "address": (("{address}",), {}, "connected"),
    "RAY_ADDRESS": ((), {"RAY_ADDRESS": "{address}"}, "connected"),
    "dead address": ((NOBODY,), {}, "no Ray answers at"),
    "dead RAY_ADDRESS": ((), {"RAY_ADDRESS": NOBODY}, "no Ray answers at"),
    "no file": ((), {"CLAUDE_POOL_CONFIG": "/nowhere/pool.toml"}, "no pool is named"),
    "no pool": (("{address}", "nobodys"), {}, "no pool 'nobodys' is served in this cluster"),
    "wrong": ((), {"RAY_AUTH_TOKEN": "wrong" * 10}, "does not take the token"),
    "none": ((), {"HOME": "/nowhere"}, "does not take the token of this program, or finds none"),
    "not sent": ((), NOT_SENT, "does not take the token"),
}
"""What a program gives ``connect``, what its environment has, and what comes of it."""


@pytest.fixture(scope="module")
def connections(clustered: ClusteredPool) -> dict[str, tuple[float, str]]:
    """How long ``connect`` took in each case, in a program beside the service, and what it said."""
    service, address = clustered.service, clustered.address
    without = {"RAY_AUTH_TOKEN": ""} if "RAY_AUTH_TOKEN" in os.environ else {}
    cases = [
        ([each.format(address=address) for each in arguments], {**without, **variables})
        for arguments, environment, _ in CASES.values()
        for variables in [{name: of.format(address=address) for name, of in environment.items()}]
    ]
    of_one = _connecting(service, cases[:-1], {})
    return dict(zip(CASES, [*of_one, *_connecting(service, cases[-1:], NOT_SENT)], strict=True))


def _connecting(service: Service, cases: list[Any], variables: dict[str, str]) -> list[Any]:
    ended = subprocess.run(
        [sys.executable, "-c", CONNECTS],
        input=json.dumps(cases),
        env={**os.environ, "CLAUDE_POOL_CONFIG": str(service.config), **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.parametrize("case", CASES)
def test_a_program_connects_to_its_pool_or_is_told_within_seconds_what_is_not_there(
    connections: dict[str, tuple[float, str]], case: str
) -> None:
    seconds, said = connections[case]

    assert CASES[case][2] in said
    assert seconds < WITHIN_SECONDS

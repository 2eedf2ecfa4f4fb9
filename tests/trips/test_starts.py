"""Services that start beside each other, after each other and with other settings: real Ray, one
cluster for all of it, a CLI that answers at once or never.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from actor_processes import actor_pid
from behaviours import SLOW
from cluster import cluster
from service import Service, write_config
from stubcli import stub_cli

from actors.runtime.ray_address import NOTE
from actors.telemetry.log_stream import FOLDER

pytestmark = pytest.mark.timeout(240)

SUBSCRIPTIONS = 3
NOBODY = "127.0.0.1:9"
WITHIN_SECONDS = 5.0
PAUSE_SECONDS = 0.2
"""Between two requests, or they take the cores from who comes up."""
CONNECTS = """
import sys, time
from actors import connect
from pool.errors import ConfigError
began = time.monotonic()
try:
    connect(*sys.argv[1:])
except ConfigError as error:
    print(f"{time.monotonic() - began:.2f} {error}")
else:
    print(f"{time.monotonic() - began:.2f} connected")
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with cluster(tmp_path_factory.mktemp("ray")) as address:
        yield address


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pool")


def configured(folder: Path, ray: str, name: str = "pool.toml", **replaced: str) -> Path:
    """A configuration of the pool of a folder on a port of its own, with something replaced."""
    scratch = folder / f"{name}.scratch"
    scratch.mkdir(exist_ok=True)
    more = f'path = "{stub_cli(folder)}"\n{ray}'
    text = write_config(
        scratch, f"http://{NOBODY}", subscriptions=SUBSCRIPTIONS, more=more
    ).read_text("utf-8")
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def service(folder: Path, address: str) -> Iterator[Service]:
    service = Service(configured(folder, f'[ray]\naddress = "{address}"\n'))
    service.start()
    yield service
    service.stop()


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


def test_a_second_service_of_the_same_pool_joins_it_on_another_port(
    folder: Path, address: str, service: Service
) -> None:
    second = Service(configured(folder, f'[ray]\naddress = "{address}"\n', "second.toml"))
    with service.client() as http:
        before, router = told(http, "epoch"), actor_pid(service, "RouterShell", "directory")
        second.start()
        with second.client() as other:
            made = other.post("/v1/executions", json={"prompt": "q"}).json()
            found = http.get(f"/v1/executions/{made['id']}").json()
        second.stop()
        after = told(http, "epoch")

    assert made["status"] == "succeeded"
    assert found == made
    assert before == after == dict.fromkeys(before, 1)
    assert actor_pid(service, "RouterShell", "directory") == router


def test_what_has_changed_holds_at_once_and_replaces_nobody_that_does_not_use_it(
    folder: Path, address: str, service: Service
) -> None:
    """Another budget is told; another login renews its subscription alone, in the middle of a run
    that goes on.
    """
    changed = {
        'id = "sub1"': 'id = "sub1"\nweekly_budget_usd = 100',
        '"SUB2_TOKEN"': '"SUB9_TOKEN"',
    }
    ray = f'[ray]\naddress = "{address}"\n'
    second = Service(configured(folder, ray, "second.toml", **changed))
    with service.client() as http:
        execution_id = running(http, "sub2")
        second.start()
        with second.client() as other:
            budgets = {id_: each["budget_usd"] for id_, each in told(other, "weekly").items()}
            eventually(lambda: told(other, "epoch")["sub2"] == 2)
            still = other.get(f"/v1/executions/{execution_id}").json()
            cancelled = other.post(f"/v1/executions/{execution_id}/cancel").json()
            epochs = told(other, "epoch")
        second.stop()

    assert budgets == {"sub1": 100, "sub2": 456, "sub3": 456}
    assert still["status"] == "running"
    assert (cancelled["status"], len(cancelled["attempts"])) == ("cancelled", 1)
    assert epochs == {"sub1": 1, "sub2": 2, "sub3": 1}


def test_what_everybody_uses_renews_everybody_one_at_a_time_and_no_request_fails(
    folder: Path, address: str, service: Service
) -> None:
    changed = {"[[subscriptions]]": "[limits]\nnew_work_percent = 84\n[[subscriptions]]"}
    ray = f'[ray]\naddress = "{address}"\n'
    third = Service(configured(folder, ray, "third.toml", **changed))
    answers: list[int] = []
    renewed = threading.Event()

    def asks() -> None:
        with service.client() as http:
            while not renewed.wait(PAUSE_SECONDS):
                answers.append(http.post("/v1/executions", json={"prompt": "q"}).status_code)

    asking = threading.Thread(target=asks)
    with service.client() as http:
        before, router = told(http, "epoch"), actor_pid(service, "RouterShell", "directory")
        asking.start()
        try:
            third.start()
            eventually(lambda: told(http, "epoch") == {id_: n + 1 for id_, n in before.items()})
        finally:
            renewed.set()
            asking.join()
        third.stop()

    assert actor_pid(service, "RouterShell", "directory") not in {None, router}
    assert len(answers) > 5
    assert set(answers) == {200}


def test_the_namespace_of_a_pool_is_refused_to_another_one(
    tmp_path: Path, address: str, service: Service
) -> None:
    other = Service(configured(tmp_path, f'[ray]\naddress = "{address}"\n'))

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


@pytest.fixture
def connected(folder: Path, service: Service) -> Callable[..., tuple[float, str]]:
    """How long ``connect`` took in a program beside the service, and what came of it."""

    def connecting(*arguments: str, **environment: str) -> tuple[float, str]:
        ended = subprocess.run(
            [sys.executable, "-c", CONNECTS, *arguments],
            env={**os.environ, "CLAUDE_POOL_CONFIG": str(service.config), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        seconds, _, problem = ended.stdout.strip().partition(" ")
        return float(seconds), problem

    return connecting


Connected = Callable[..., tuple[float, str]]


def test_a_program_connects_by_the_configuration_of_its_pool(connected: Connected) -> None:
    seconds, problem = connected()

    assert problem == "connected"
    assert seconds < WITHIN_SECONDS


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ((NOBODY,), {}, "no Ray answers at"),
        ((), {"RAY_ADDRESS": NOBODY}, "no Ray answers at"),
        ((), {"CLAUDE_POOL_CONFIG": "/nowhere/pool.toml"}, "no pool is named"),
        (("{address}", "nobodys"), {}, "no pool 'nobodys' is served in this cluster"),
        ((), {"RAY_AUTH_TOKEN": "wrong" * 10}, "does not take the token"),
        ((), {"HOME": "/nowhere"}, "does not take the token of this program, or finds none"),
        ((), {"RAY_AUTH_MODE": "disabled"}, "does not take the token"),
    ],
    ids=["dead address", "dead RAY_ADDRESS", "no file", "no pool", "wrong", "none", "not sent"],
)
def test_what_a_program_does_not_find_is_told_within_seconds(
    connected: Connected,
    address: str,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    expected: str,
) -> None:
    asked = tuple(each.format(address=address) for each in arguments)
    without = {"RAY_AUTH_TOKEN": ""} if "RAY_AUTH_TOKEN" in os.environ else {}

    seconds, problem = connected(*asked, **{**without, **environment})

    assert expected in problem
    assert seconds < WITHIN_SECONDS


def test_a_service_passes_on_what_actors_say_whoever_started_them(
    service: Service, folder: Path
) -> None:
    """These were renewed by the router of another service, which has ended."""
    body = {"prompt": "q", "subscription_id": "sub3"}
    with service.client() as http:
        execution_id = http.post("/v1/executions", json=body).json()["id"]

    pid = actor_pid(service, "SubscriptionShell", "sub3/")
    told = ("execution ended", execution_id, pid)
    eventually(
        lambda: any(
            (each["event"], each.get("execution_id"), each["pid"]) == told
            for each in service.events()
        )
    )
    streams = {path.stem for path in (folder / "data" / FOLDER).glob("*.jsonl")}
    assert streams >= {"router", *(f"subscription-sub{n}" for n in range(1, 1 + SUBSCRIPTIONS))}
    assert sum(name.startswith("serve-") for name in streams) >= 2


def test_what_a_subscription_has_that_is_taken_out_of_the_file_is_ended_and_settled(
    folder: Path, address: str, service: Service
) -> None:
    section = (
        '[[subscriptions]]\nid = "sub3"\nmax_concurrent = 2\n'
        'credential = { oauth_token_env = "SUB3_TOKEN" }\n'
    )
    ray = f'[ray]\naddress = "{address}"\n'
    second = Service(configured(folder, ray, "without.toml", **{section: ""}))
    with service.client() as http:
        execution_id = running(http, "sub3")
        second.start()
        eventually(lambda: "sub3" not in told(http, "state"))
        ended = http.get(f"/v1/executions/{execution_id}").json()
        listed = {each["id"]: each for each in http.get("/v1/executions").json()["items"]}
        second.stop()

    assert ended["finished_at"] is not None
    assert ended["error"]["type"] == "interrupted"
    assert "its subscription was removed from the pool" in ended["error"]["message"]
    assert listed[execution_id] == ended


def test_two_services_with_a_ray_of_the_pools_own_share_it_and_the_second_ends_with_the_first(
    tmp_path: Path,
) -> None:
    first = Service(configured(tmp_path, ""))
    second = Service(configured(tmp_path, "", "second.toml"))
    first.start()
    try:
        second.start()
        note = first.data_dir / NOTE
        mode = note.stat().st_mode & 0o777
        with first.client() as http, second.client() as other:
            made = other.post("/v1/executions", json={"prompt": "q"}).json()
            found = http.get(f"/v1/executions/{made['id']}").json()
            pid = actor_pid(first, "SubscriptionShell", "sub3/")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)  # Ray tells of it in words and colours of its own
            eventually(lambda: told(http, "epoch").get("sub3") == 2)
        first.stop()
        assert second.process is not None
        code = second.process.wait(60)
    finally:
        first.kill()
        second.kill()

    assert made["status"] == "succeeded"
    assert found == made
    assert (mode, note.exists(), code) == (0o600, False, 1)
    assert "the service has ended" in second.events()[-1]["problem"]
    assert any("worker died" in each.get("text", "") for each in first.events())

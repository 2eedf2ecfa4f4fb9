"""A subscription of a real service sleeps and wakes: its process ends, and another one comes up.
The service has a machine that is not as it should be, which is not felt.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.services.actor_processes import actor_pid
from tests.support.services.service import Service
from tests.support.services.shared_pool import PROXIES, SharedPool

pytestmark = pytest.mark.timeout(240)

WAKES_WITHIN_SECONDS = 10.0
"""It took 1.3-1.6 s on two busy cores, of which an activation is nearly all."""


@pytest.fixture
def service(awkward: SharedPool) -> Service:
    return awkward.service


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with service.client() as http:
        yield http


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def shown(http: httpx.Client, id_: str = "sub1") -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/v1/subscriptions/{id_}").json()
    return found


def run(http: httpx.Client) -> tuple[dict[str, Any], float]:
    began = time.monotonic()
    asked = {"prompt": "q", "subscription_id": "sub1"}
    execution: dict[str, Any] = http.post("/v1/executions", json=asked).json()
    return execution, time.monotonic() - began


def test_it_leaves_is_shown_as_it_is_and_is_there_for_a_request(
    service: Service, http: httpx.Client
) -> None:
    before = shown(http)["totals"]["executions"]
    first, _ = run(http)
    eventually(lambda: shown(http)["totals"]["executions"] == before + 1)
    awake = shown(http)
    eventually(lambda: shown(http)["presence"] == "asleep")
    eventually(lambda: actor_pid(service, "Subscription", "sub1") is None)

    asleep = shown(http)
    listed = http.get("/v1/executions", params={"limit": 1}).json()["items"]
    still_gone = actor_pid(service, "Subscription", "sub1") is None
    second, seconds = run(http)

    assert (first["status"], second["status"]) == ("succeeded", "succeeded")
    for figure in ("weekly", "current_block", "totals", "state", "windows", "last_request_at"):
        assert awake[figure] == asleep[figure]
    assert [each["id"] for each in listed] == [first["id"]]
    assert still_gone
    assert seconds < WAKES_WITHIN_SECONDS
    assert shown(http)["presence"] == "awake"
    assert actor_pid(service, "Subscription", "sub1") is not None


def test_a_pool_works_without_a_good_tmpdir_and_behind_a_proxy(service: Service) -> None:
    of_the_pool = {
        "CLAUDE_POOL_URL": service.url,
        "CLAUDE_POOL_KEY": service.operator["x-api-key"],
    }
    told = subprocess.run(
        [str(Path(sys.executable).with_name("claude-pool")), "run", "say yes"],
        env={**os.environ, **PROXIES, **of_the_pool},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "x" * 60 in service.environment["TMPDIR"]
    assert told.returncode == 0, told.stderr

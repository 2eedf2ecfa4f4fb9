"""Several API processes of one pool, and the router that they share: what was begun at one that is
killed is had from another, and a router that is frozen is replaced.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from actor_processes import actor_pid
from cluster import cluster
from ports import free_port
from service import Service, cost_of, write_config

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin

pytestmark = pytest.mark.timeout(240)

ASKED = {"prompt": "q"}
FROZEN_SECONDS = 25.0
"""For one that is frozen to be ended, and its successor to answer."""


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app(Standin()), port=0) as server:
        yield server


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, api: Server
) -> Iterator[tuple[Service, Service]]:
    folder = tmp_path_factory.mktemp("pool")
    with cluster(folder) as address:
        joins = f'[ray]\naddress = "{address}"\n'
        config = write_config(folder, api.url, subscriptions=2, more=joins)
        first = Service(config)
        text = config.read_text(encoding="utf-8")
        other = folder / "second.toml"
        port = first.url.rpartition(":")[2]
        other.write_text(text.replace(f"port = {port}", f"port = {free_port()}"), encoding="utf-8")
        second = Service(other)
        first.start()
        second.start()
        yield first, second
        second.stop()
        first.stop()


@pytest.fixture
def clients(services: tuple[Service, Service]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    with services[0].client() as one, services[1].client() as other:
        yield one, other


def test_what_an_api_process_was_asked_as_it_was_killed_is_had_from_another(
    services: tuple[Service, Service], api: Server
) -> None:
    first, second = services
    billed = api.standin.bill.total().cost_nano_usd
    body = {"prompt": "[[standin slow seconds=3 chunks=8]] kept"}
    once = {"idempotency-key": "kept"}
    with first.client() as one, second.client() as other, ThreadPoolExecutor(1) as threads:
        lost = threads.submit(one.post, "/v1/executions", json=body, headers=once)
        time.sleep(1)
        first.kill()
        again = other.post("/v1/executions", json=body, headers=once).json()
        error = lost.exception()
    first.start()
    with first.client() as one:
        found = one.get(f"/v1/executions/{again['id']}").json()

    assert isinstance(error, httpx.HTTPError)
    assert again["status"] == "succeeded"
    assert found == again
    assert api.standin.bill.total().cost_nano_usd - billed == cost_of([again])


def test_a_router_that_is_frozen_is_replaced(
    services: tuple[Service, Service], clients: tuple[httpx.Client, httpx.Client]
) -> None:
    router = actor_pid(services[0], "RouterShell", "directory.sqlite")
    assert router is not None

    os.kill(router, signal.SIGSTOP)
    answered_after, answer = timed(clients[0].post, "/v1/executions", time.monotonic(), json=ASKED)
    print({"frozen": round(answered_after, 2)})  # noqa: T201 - measured

    assert answer.json()["status"] == "succeeded"
    assert answered_after < FROZEN_SECONDS


def timed(ask: Any, path: str, began: float, **of: Any) -> tuple[float, httpx.Response]:
    """After how many seconds an answer came, and the answer."""
    answer = ask(path, **of)
    assert answer.status_code == 200, answer.text
    return time.monotonic() - began, answer

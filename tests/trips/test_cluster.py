"""The service as part of a Ray cluster that was there before it, and outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from service import Service, free_port, write_config

from api.demo.messages_api import create_app
from api.demo.server import serving
from api.demo.standin import Standin

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A head node, started as an operator does; its address."""
    port = free_port()
    command = (
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
        *(f"--port={port}", "--include-dashboard=false", "--disable-usage-stats"),
        "--node-ip-address=127.0.0.1",
    )
    tokens = {f"SUB{n}_TOKEN": f"test-token-{n}" for n in (1, 2)}
    log = tmp_path / "ray.log"
    with log.open("wb") as output:
        head = subprocess.Popen(
            command,
            env={**os.environ, **tokens, "RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + 60
    while b"Ray runtime started" not in log.read_bytes():
        assert head.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.1)
    yield f"127.0.0.1:{port}"
    os.killpg(
        head.pid, signal.SIGKILL
    )  # in order it takes 30 s; the node's processes are its group
    head.wait(10)


def test_a_service_joins_a_cluster_and_the_next_one_finds_its_actors_at_work(
    cluster: str, tmp_path: Path
) -> None:
    with serving(create_app(Standin()), port=0) as api:
        joins = f'[ray]\naddress = "{cluster}"\n'
        service = Service(write_config(tmp_path, api.url, seats=2, more=joins))
        service.start()
        with service.client() as http:
            first = http.post("/v1/executions", json={"prompt": "one"}).json()
            slow = {"prompt": "[[standin slow seconds=4 chunks=8]] two", "background": True}
            started = http.post("/v1/executions", json=slow).json()
        service.stop()

        service.start()
        with service.client() as http:
            found = http.get(f"/v1/executions/{first['id']}").json()
            ended = http.get(f"/v1/executions/{started['id']}", params={"wait_seconds": 30}).json()
            epochs = [seat["epoch"] for seat in http.get("/v1/subscriptions").json()["items"]]
        service.stop()

    assert first == found
    assert ended["status"] == "succeeded"
    assert epochs == [1, 1]

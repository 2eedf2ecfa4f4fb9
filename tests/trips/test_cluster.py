"""The service as part of a Ray cluster that was there before it, and outlives it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from actor_processes import actor_pid
from cluster import cluster, further_node
from service import Service, cost_of, write_config

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import serving
from api.demo.standin.standin import Standin

pytestmark = pytest.mark.timeout(180)

KEY = {"idempotency-key": "once"}


def test_a_pool_on_sqlite_outlives_its_service_and_stays_on_its_node(tmp_path: Path) -> None:
    with cluster(tmp_path) as address, serving(create_app(Standin()), port=0) as api:
        joins = f'[ray]\naddress = "{address}"\n'
        service = Service(write_config(tmp_path, api.url, subscriptions=2, more=joins))
        service.start()
        with service.client() as http:
            first = http.post("/v1/executions", json={"prompt": "one"}, headers=KEY).json()
            slow = {"prompt": "[[standin slow seconds=4 chunks=8]] two", "background": True}
            started = http.post("/v1/executions", json=slow).json()
        service.stop()

        service.start()
        with service.client() as http:
            found = http.get(f"/v1/executions/{first['id']}").json()
            ended = http.get(f"/v1/executions/{started['id']}", params={"wait_seconds": 30}).json()
            epochs = [
                subscription["epoch"]
                for subscription in http.get("/v1/subscriptions").json()["items"]
            ]
            # A second node has another disk, where nobody knows of any key.
            other_disk = tmp_path / "other-disk"
            other_disk.mkdir()
            with further_node(address, tmp_path, disks={service.data_dir: other_disk}):
                router = actor_pid(service, "RouterShell", "directory.sqlite")
                assert router is not None
                os.kill(router, signal.SIGKILL)
                again = http.post("/v1/executions", json={"prompt": "one"}, headers=KEY).json()
                service.stop()
                refused = refusal(service)
        bill = api.standin.bill.total().cost_nano_usd

    assert first == found
    assert ended["status"] == "succeeded"
    assert epochs == [1, 1]
    assert again == first
    assert bill == cost_of([first, ended])
    assert list(other_disk.iterdir()) == []
    assert "pool.store: sqlite keeps records on one machine, and this Ray has 2 nodes" in refused
    assert "name a PostgreSQL database" in refused


def refusal(service: Service) -> str:
    """Why a service does not start."""
    service.begin()
    assert service.process is not None
    assert service.process.wait(60) == 1
    return str(service.events()[-1]["problem"])

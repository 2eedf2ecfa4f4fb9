"""The service as part of a Ray cluster that was there before it, and outlives it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster import cluster
from service import Service, write_config

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import serving
from api.demo.standin.standin import Standin

pytestmark = pytest.mark.timeout(180)


def test_a_service_joins_a_cluster_and_the_next_one_finds_its_actors_at_work(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path) as address, serving(create_app(Standin()), port=0) as api:
        joins = f'[ray]\naddress = "{address}"\n'
        service = Service(write_config(tmp_path, api.url, subscriptions=2, more=joins))
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

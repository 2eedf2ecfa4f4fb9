"""What is found out of the nodes of a Ray. Real ones: ``tests/trips/cluster/test_starts.py``."""

from __future__ import annotations

from typing import Any

import pytest

from actors.runtime.nodes import ray_nodes
from pool.config import Config, parse
from pool.errors import ConfigError


def node(name: str, *, alive: bool = True) -> dict[str, Any]:
    """As Ray tells of one."""
    return {
        "NodeID": f"id-of-{name}",
        "Alive": alive,
        "NodeManagerAddress": f"10.0.0.{name[-1]}",
        "NodeManagerHostname": name,
        "Labels": {"ray.io/node-id": f"id-of-{name}", "zone": "a"},
    }


def config(store: str) -> Config:
    return parse({"pool": {"data_dir": "/srv/pool", "store": store}})


def cluster_of(monkeypatch: pytest.MonkeyPatch, *nodes: dict[str, Any]) -> None:
    monkeypatch.setattr(ray_nodes.ray, "nodes", lambda: list(nodes))


def test_nodes_that_have_died_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster_of(monkeypatch, node("host2"), node("host3", alive=False), node("host1"))

    assert [(each.hostname, each.labels) for each in ray_nodes.alive()] == [
        ("host1", {"zone": "a"}),
        ("host2", {"zone": "a"}),
    ]


def test_sqlite_is_refused_on_two_nodes_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster_of(monkeypatch, node("host1"), node("host2"))

    with pytest.raises(ConfigError) as raised:
        ray_nodes.check_store(config("sqlite"))

    assert raised.value.field == "pool.store"
    assert "2 nodes, host1 (10.0.0.1), host2 (10.0.0.2)" in raised.value.problem
    assert "name a PostgreSQL database" in raised.value.problem


@pytest.mark.parametrize("store", ["sqlite", "postgresql://pool:secret@db/pool"])
def test_on_one_node_either_store_will_do(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    cluster_of(monkeypatch, node("host1"), node("host2", alive=False))

    ray_nodes.check_store(config(store))


def test_postgresql_serves_any_number_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster_of(monkeypatch, node("host1"), node("host2"))

    ray_nodes.check_store(config("postgresql://pool:secret@db/pool"))

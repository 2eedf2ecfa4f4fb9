"""Which pool a router is of, as a database is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.runtime import cluster
from actors.runtime.holder import holder_of
from pool.config import Config, parse

POSTGRESQL = "postgresql://pool:secret@db/pool"


def configured(data_dir: Path, store: str = POSTGRESQL, **ray: str) -> Config:
    return parse({"pool": {"data_dir": str(data_dir), "store": store}, "ray": ray})


def test_a_pool_with_a_ray_of_its_own_is_that_of_its_directory_whenever_it_was_started(
    tmp_path: Path,
) -> None:
    first, again = holder_of(configured(tmp_path)), holder_of(configured(tmp_path))
    others = configured(tmp_path, namespace="other"), configured(tmp_path / "other")

    assert first == again
    assert first.startswith(f"the pool 'claude-pool' of {tmp_path} on ")
    assert len({first, *map(holder_of, others)}) == 3
    assert "secret" not in first


def test_a_pool_of_a_cluster_is_that_of_its_namespace_wherever_its_service_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "id_", lambda: "a" * 56)
    there = {"address": "auto"}
    here, elsewhere = configured(tmp_path, **there), configured(tmp_path / "other", **there)
    other = configured(tmp_path, **there, namespace="other")

    named = f"the pool 'claude-pool' of the Ray cluster {'a' * 56}"
    assert holder_of(here) == holder_of(elsewhere) == named
    assert holder_of(other) != named

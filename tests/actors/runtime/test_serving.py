"""A service that is refused leaves the note of another pool alone. What runs is in ``trips``."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.runtime import serving
from actors.runtime.ray_actors import RayActors
from actors.runtime.ray_address import NOTE, noted
from pool.config import parse
from pool.errors import ConfigError


async def test_a_service_that_is_refused_leaves_the_note_of_the_pool_that_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_: RayActors) -> None:
        raise ConfigError("pool.store", "another pool has this database")

    lives = {"pool": {"data_dir": str(tmp_path)}, "ray": {"address": "10.0.0.1:6379"}}
    other = {**lives, "ray": {"address": "10.0.0.2:6379", "namespace": "other"}}
    monkeypatch.setattr(serving.cluster, "join", lambda address, *_, **__: address)
    monkeypatch.setattr(serving.ray, "shutdown", lambda: None)
    monkeypatch.setattr(serving.ray_nodes, "check_store", lambda _: None)
    monkeypatch.setattr(RayActors, "activate_router", refused)
    with noted(parse(lives), "10.0.0.1:6379"):
        before = (tmp_path / NOTE).read_text()

    with pytest.raises(ConfigError, match="another pool has this database"):
        async with serving.serving(parse(other)):
            pass

    assert (tmp_path / NOTE).read_text() == before

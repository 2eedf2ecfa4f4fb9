"""A service that is refused leaves the note of another pool alone, and one that has joined a Ray
knows when that is gone. What runs is in ``trips``.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.runtime import serving
from actors.runtime.ray_actors import RayActors
from actors.runtime.ray_address import NOTE, noted
from pool.config import parse
from pool.errors import ActorLost, ConfigError


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


@pytest.mark.parametrize("gone", ["is_there", "is_claimed"], ids=["in order", "killed"])
async def test_a_service_that_has_joined_anothers_ray_ends_however_that_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """What ends in order has its lock for a while when its Ray is gone; of what was killed, Ray's
    own processes may take longer.
    """
    seen = {"is_there": True, "is_claimed": True, gone: False}
    raylet = SimpleNamespace(is_there=lambda: seen["is_there"])
    monkeypatch.setattr(serving.raylets, "of_this_node", lambda: raylet)
    monkeypatch.setattr(serving, "is_claimed", lambda _: seen["is_claimed"])
    nobody: Any = None
    joined = serving.ServedPool(nobody, parse({"pool": {"data_dir": str(tmp_path)}}), is_own=False)

    with pytest.raises(ActorLost, match="the service has ended whose Ray this one had joined"):
        await joined.lost()

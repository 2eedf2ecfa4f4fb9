"""How named actors are found: once, whoever asks, and anew when they are gone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from ray.exceptions import ActorUnschedulableError

from actors.runtime import actor_proxy as remote
from actors.runtime.ray_actors import RayActors
from pool.errors import Conflict

pytestmark = pytest.mark.timeout(30)


class Method:
    def __init__(self, answer: str | Exception) -> None:
        self._answer = answer

    async def remote(self, *_: Any) -> str:
        await asyncio.sleep(0.01)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class Handle:
    def __init__(self, answer: str | Exception) -> None:
        self.call = Method(answer)


@dataclass
class Names:
    """Who bears which name; a name with several bearers gives one after the other."""

    bearers: dict[str, list[Handle]]
    looked_up: list[str] = field(default_factory=list)

    def get_actor(self, name: str, namespace: str) -> Handle:
        time.sleep(0.01)
        self.looked_up.append(f"{namespace}/{name}")
        found = self.bearers.get(name)
        if not found:
            raise ValueError(name)
        return found.pop(0) if len(found) > 1 else found[0]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names({"router": [Handle("here")]})
    monkeypatch.setattr(remote.ray, "get_actor", names.get_actor)
    return names


async def test_a_name_is_looked_up_once_however_many_calls_begin(names: Names) -> None:
    actors = RayActors("pool")

    answers = await asyncio.gather(*(actors.router().subscriptions() for _ in range(50)))
    await actors.router().subscriptions()

    assert answers == ["here"] * 50
    assert names.looked_up == ["pool/router"]


async def test_an_actor_whose_only_node_is_gone_is_away_like_any_other(names: Names) -> None:
    """Ray's error for that is no kind of its error for an actor that died."""
    gone = ActorUnschedulableError("the node is gone")
    names.bearers["router"] = [Handle(gone), Handle("next")]

    assert await RayActors("pool").router().subscriptions() == "next"


async def test_calls_that_fail_together_look_the_next_one_up_once(names: Names) -> None:
    lost = ValueError("it is gone")
    names.bearers["router"] = [Handle(lost), Handle("next")]
    actors = RayActors("pool")

    answers = await asyncio.gather(*(actors.router().subscriptions() for _ in range(20)))

    assert answers == ["next"] * 20
    assert len(names.looked_up) == 2


async def test_a_reconciler_that_nobody_configured_is_told_as_such_and_at_once(
    names: Names,
) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(Conflict, match="organizations"):
            await RayActors("pool").reconciler().is_there()

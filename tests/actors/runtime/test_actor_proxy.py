"""How named actors are found: once, whoever asks, and anew when they are gone."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError, ActorUnschedulableError

from actors.runtime import actor_proxy as remote
from actors.runtime.ray_actors import RayActors
from pool.errors import ActorLost, Conflict

pytestmark = pytest.mark.timeout(30)

ALIVE, RESTARTING = 2, 3
AWAY = ActorUnavailableError("its process has died", None)


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

    def _get_local_state(self) -> int:
        return ALIVE


class DiedHandle:
    """Of an actor whose process has died: Ray starts another one when it knows of that, and calls
    fail at once until it is up.
    """

    def __init__(self, known_after: int, up_after: int) -> None:
        """After so many looks at its state, and so many more."""
        self._looks = [*[ALIVE] * known_after, *[RESTARTING] * up_after]
        self.call = self
        self.calls = 0

    async def remote(self, *_: Any) -> str:
        self.calls += 1
        if self._looks:
            raise AWAY
        return "back"

    def _get_local_state(self) -> int:
        return self._looks.pop(0) if self._looks else ALIVE


@dataclass
class Names:
    """Who bears which name; a name with several bearers gives one after the other."""

    bearers: dict[str, list[Any]]
    looked_up: list[str] = field(default_factory=list)

    def get_actor(self, name: str, namespace: str) -> Any:
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


async def test_an_actor_whose_process_starts_is_called_when_that_is_up_and_not_before(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "RETRY_SECONDS", 0.001)
    names.bearers["router"] = [died := DiedHandle(known_after=2, up_after=50)]

    answer: Any = await RayActors("pool").router().subscriptions()

    assert (answer, died.calls) == ("back", 4)


async def test_of_many_calls_that_wait_for_a_process_one_looks_whether_it_is_up(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: Counter[asyncio.Task[Any] | None] = Counter()

    class Watched(DiedHandle):
        def _get_local_state(self) -> int:
            looks[asyncio.current_task()] += 1
            return super()._get_local_state()

    monkeypatch.setattr(remote, "RETRY_SECONDS", 0.001)
    names.bearers["router"] = [Watched(known_after=0, up_after=100)]
    router = RayActors("pool").router()

    answers: list[Any] = await asyncio.gather(*(router.subscriptions() for _ in range(20)))

    assert answers == ["back"] * 20
    assert sum(count > 2 for count in looks.values()) == 1


async def test_one_that_is_gone_without_anybody_knowing_is_called_less_and_less_often(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a killed node, in the seconds before it is given up."""
    monkeypatch.setattr(remote, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(remote, "MOST_RETRY_SECONDS", 1.0)
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.5)
    names.bearers["router"] = [died := DiedHandle(known_after=1000, up_after=0)]

    with pytest.raises(ActorLost, match="ActorUnavailableError"):
        await RayActors("pool").router().subscriptions()

    assert 2 < died.calls <= 12

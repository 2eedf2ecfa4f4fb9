"""Where subscriptions can be, with nodes that are told what to say. Real ones are in
``tests/trips/cluster/test_starts.py``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.runtime.nodes import places, ray_nodes
from actors.runtime.nodes.places import Places
from actors.runtime.nodes.ray_nodes import RayNode
from pool.config import parse
from pool.errors import ConfigError
from pool.nodes.inventory import Inventory
from pool.nodes.overview import node_list
from tests.support.values.examples import spec

pytestmark = pytest.mark.timeout(30)

DATABASE = "postgresql://pool:secret@db/pool"
LOGIN = Path("/home/pool/.claude")


def ray_id(number: int) -> str:
    """As Ray draws them: 28 bytes."""
    return f"{number:056x}"


class Cluster:
    """Nodes by number; the first one is this one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.living = [1, 2]
        self.silent: set[int] = set()
        self.asked: Counter[int] = Counter()
        self.has: dict[int, dict[str, Any]] = {}
        self.tells: dict[int, object] = {}
        """What some answer instead."""
        monkeypatch.setattr(ray_nodes, "here", lambda: ray_id(1))
        monkeypatch.setattr(ray_nodes, "alive", self.alive)
        monkeypatch.setattr(places, "take_inventory", lambda *_: self.inventory(1))
        monkeypatch.setattr(places, "run_at", self.run_at)

    def alive(self) -> tuple[RayNode, ...]:
        return tuple(RayNode(ray_id(n), f"10.0.0.{n}", f"host{n}", {}) for n in self.living)

    def inventory(self, number: int) -> Inventory:
        self.asked[number] += 1
        has = {"variables": frozenset({"SUB_TOKEN"}), **self.has.get(number, {})}
        return Inventory(node_id=f"node-{number}", hostname=f"host{number}", **has)

    async def run_at(self, where: str, *_: Any) -> Any:
        number = int(where, 16)
        if number in self.silent:
            await asyncio.Event().wait()
        if number in self.tells:
            return self.tells[number]
        return self.inventory(number)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def places_of(store: str = DATABASE) -> Places:
    return Places(parse({"pool": {"data_dir": "/srv/pool", "store": store}}))


def bound_to(options: dict[str, Any]) -> tuple[str, bool]:
    strategy = options["scheduling_strategy"]
    return strategy.node_id, strategy.soft


async def test_a_token_is_rather_where_it_was_and_else_anywhere(nodes: Cluster) -> None:
    nodes.has[2] = {"activations": {"sub1": 3}}

    found = await places_of().of(spec())

    assert bound_to(found) == (ray_id(2), True)


async def test_a_directory_is_on_its_node_or_nowhere(nodes: Cluster) -> None:
    nodes.has[2] = {"directories": {str(LOGIN): "a"}}

    found = await places_of().of(spec(config_dir=LOGIN))

    assert bound_to(found) == (ray_id(2), False)


async def test_with_sqlite_nobody_asks_another_node(nodes: Cluster) -> None:
    nodes.has[2] = {"activations": {"sub1": 3}}

    found = await places_of("sqlite").of(spec())

    assert bound_to(found) == (ray_id(1), False)
    assert nodes.asked == {1: 1}


async def test_subscriptions_spread_over_the_nodes(nodes: Cluster) -> None:
    placed = places_of()

    chosen = [bound_to(await placed.of(spec(f"sub{n}")))[0] for n in range(4)]

    assert Counter(chosen) == {ray_id(1): 2, ray_id(2): 2}


async def test_a_node_is_asked_once_in_a_while(nodes: Cluster) -> None:
    placed = places_of()
    for _ in range(5):
        await placed.of(spec())

    assert nodes.asked == {1: 1, 2: 1}


async def test_what_was_not_asked_for_yet_is_asked_for_at_once(nodes: Cluster) -> None:
    placed = places_of()
    await placed.of(spec())
    nodes.has[2] = {"directories": {str(LOGIN): "a"}}

    found = await placed.of(spec(config_dir=LOGIN))

    assert bound_to(found) == (ray_id(2), False)


async def test_a_silent_node_holds_nobody_up_and_is_told(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "ANSWER_SECONDS", 0.05)
    nodes.silent = {2}
    placed = places_of()

    found = await placed.of(spec())
    with pytest.raises(ConfigError, match=r"10\.0\.0\.2 \(10\.0\.0\.2\): it does not answer"):
        await placed.of(spec("sub2", config_dir=LOGIN))

    assert bound_to(found) == (ray_id(1), False)


async def test_a_node_that_freezes_is_shown_as_it_was_at_once_and_then_since_when_it_is_silent(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "FRESH_SECONDS", 0)
    monkeypatch.setattr(places, "SHOWN_SECONDS", 0.05)
    monkeypatch.setattr(places, "SILENT_SECONDS", 0.2)
    placed = places_of()
    await placed.known()

    nodes.silent, began = {2}, datetime.now(UTC)
    first = await placed.known()
    took = datetime.now(UTC) - began
    await asyncio.sleep(0.2)
    later = await placed.known()

    assert took < timedelta(seconds=places.ANSWER_SECONDS / 2)
    assert [each.silent_since for each in first] == [None, None]
    assert first[1].answered_at is not None
    assert first[1].answered_at < began
    assert later[0].silent_since is None
    assert later[1].silent_since is not None
    assert abs(later[1].silent_since - began) < timedelta(seconds=0.1)
    shown = node_list(later, (), {}).items
    assert [(each.id, each.answers) for each in shown] == [("node-1", True), ("node-2", False)]


async def test_a_node_that_never_answered_is_shown_at_once_too(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "SHOWN_SECONDS", 0.05)
    nodes.silent = {2}

    shown = node_list(await places_of().known(), (), {}).items

    assert [(each.id, each.answers) for each in shown] == [("node-1", True), (None, False)]


async def test_a_node_that_has_gone_is_remembered_until_it_is_back(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = places_of()
    await placed.known()

    nodes.living = [1]
    gone = await placed.known()
    nodes.living = [1, 3]  # another id of Ray's
    monkeypatch.setattr(nodes, "inventory", lambda n: Inventory(node_id="node-2", hostname="host2"))
    back = await placed.known()

    assert [(each.candidate.name, each.alive) for each in gone] == [
        (ray_id(1), True),
        (ray_id(2), False),
    ]
    assert [(each.candidate.name, each.alive) for each in back] == [
        (ray_id(1), True),
        (ray_id(3), True),
    ]


async def test_a_node_is_found_by_its_name_for_good(nodes: Cluster) -> None:
    placed = places_of()

    there, nobody = await placed.called("node-2"), await placed.called("node-9")

    assert there is not None
    assert (there.ray_id, nobody) == (ray_id(2), None)


async def test_a_node_whose_clock_is_a_minute_ahead_is_told(nodes: Cluster) -> None:
    late = datetime.now(UTC) + timedelta(seconds=70)
    nodes.has[2] = {"directories": {str(LOGIN): "a"}, "taken_at": late}

    with pytest.raises(ConfigError, match=r"host2 .*its clock is (69|70) s ahead"):
        await places_of().of(spec(config_dir=LOGIN))


async def test_a_node_of_an_earlier_release_may_not_say_when_it_looked(nodes: Cluster) -> None:
    told = nodes.inventory(2).model_copy(update={"directories": {str(LOGIN): "a"}})
    vars(told).pop("taken_at")  # as it comes out of a pickle that has no such field
    nodes.tells[2] = told

    found = await places_of().of(spec(config_dir=LOGIN))

    assert bound_to(found) == (ray_id(2), False)


@pytest.mark.parametrize("told", [None, "what?", Inventory.model_construct(hostname="host2")])
async def test_what_one_node_says_that_nobody_understands_holds_up_no_other(
    nodes: Cluster, told: object
) -> None:
    nodes.tells[2] = told
    placed = places_of()

    found = await placed.of(spec())

    assert bound_to(found) == (ray_id(1), False)
    with pytest.raises(ConfigError, match=r"10\.0\.0\.2 .*: it does not answer"):
        await placed.of(spec("sub2", config_dir=LOGIN))


async def test_of_the_nodes_that_have_gone_the_newest_ones_are_remembered(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "GONE_KEPT", 2)
    placed = places_of()
    for number in (9, 2, 8, 3):  # a machine that is started anew again and again
        nodes.living = [1, number]
        await placed.known()

    nodes.living = [1]
    gone = [each for each in await placed.known() if not each.alive]

    assert [each.candidate.name for each in gone] == [ray_id(8), ray_id(3)]
    for known in (placed._seen, placed._taken, placed._said):
        assert set(known) == {ray_id(1), ray_id(8), ray_id(3)}
    assert set(placed._asked_at) == set()

"""The places of a pool: its nodes, asked what they have, and where a subscription can be of them.

A node is asked by a task that runs there for milliseconds, not by an actor that waits there for
good: it is asked when a subscription is to come up and what is known has aged, and at no other
time. This very node is looked at without Ray.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from actors.aiokit import Keyed, Tasks
from actors.runtime.nodes import ray_nodes
from actors.runtime.nodes.ray_nodes import RayNode
from pool.config import Config, environment
from pool.errors import ConfigError
from pool.nodes.clocks import ahead
from pool.nodes.inventory import Inventory, take_inventory
from pool.nodes.node_choice import Candidate, Placed, Unplaced, place
from pool.nodes.overview import KnownNode
from pool.subscriptions.spec import SubscriptionSpec
from pool.values import now_in_utc

log = logging.getLogger(__name__)

FRESH_SECONDS = 10.0
"""How long an inventory is believed: whoever mends what was missing waits no longer."""
ANSWER_SECONDS = 10.0
"""For a node to say what it has: its first task takes the start of a process."""
SHOWN_SECONDS = 1.0
"""How long whoever has the nodes shown waits for those that do not answer."""
SILENT_SECONDS = 3.0
"""After which a node that was asked is called silent: the start of a process takes one or two."""
GONE_KEPT = 100
"""Of the nodes that have gone, the newest ones: each start of Ray on a machine is another node."""


class _Taken(NamedTuple):
    inventory: Inventory | None
    """None where it did not answer."""
    at: float
    asked_for: frozenset[SubscriptionSpec]
    clock_ahead: timedelta


class Places:
    """Where subscriptions can be. ``of`` answers in seconds, whatever some node does."""

    def __init__(self, config: Config) -> None:
        self._data_dir = config.pool.data_dir
        self._is_bound = config.pool.store == "sqlite"
        """The records are on this node, and so is everybody."""
        self._specs: dict[str, SubscriptionSpec] = {}
        self._taken: dict[str, _Taken] = {}
        self._said: dict[str, _Taken] = {}
        """What each said when it answered for the last time."""
        self._asked_at: dict[str, float] = {}
        """Since when those are asked that have not answered since."""
        self._seen: dict[str, RayNode] = {}
        self._chosen: dict[str, str] = {}
        self._asking = Keyed(asyncio.Lock)
        self._tasks = Tasks()

    async def of(self, spec: SubscriptionSpec) -> dict[str, Any]:
        """Ray's options that put an actor of a subscription in its place.

        ``ConfigError`` with the field, the nodes and the reason where it can be nowhere.
        """
        self._specs[spec.id] = spec
        found = place(spec, await self._candidates())
        if isinstance(found, Unplaced):
            raise _nowhere(spec, found)
        return self._options(spec, found)

    async def unplaced(self, specs: Iterable[SubscriptionSpec]) -> dict[str, ConfigError]:
        """Those that can be nowhere, by id; every node is asked once for all of them."""
        wanted = {spec.id: spec for spec in specs}
        self._specs.update(wanted)
        candidates = await self._candidates()
        found = {id_: place(spec, candidates) for id_, spec in wanted.items()}
        return {
            id_: _nowhere(wanted[id_], each)
            for id_, each in found.items()
            if isinstance(each, Unplaced)
        }

    async def known(self) -> tuple[KnownNode, ...]:
        """Every node that lives, and those that were seen to, at once: one that does not answer is
        shown as it was, and since when it is silent.
        """
        living_nodes = await self._looked_at(SHOWN_SECONDS)
        candidates = [self._candidate(each, self._said) for each in living_nodes]
        living = {each.name for each in candidates}
        back = {each.inventory.node_id for each in candidates if each.inventory is not None}
        gone = (each for id_, each in self._seen.items() if id_ not in living)
        seen = [self._candidate(each, self._said) for each in gone]
        return (
            *(self._known(each, alive=True) for each in candidates),
            *(
                self._known(each, alive=False)
                for each in seen
                if each.inventory is not None and each.inventory.node_id not in back
            ),
        )

    def _known(self, candidate: Candidate, *, alive: bool) -> KnownNode:
        said, asked_at = self._said.get(candidate.name), self._asked_at.get(candidate.name)
        is_silent = asked_at is not None and time.monotonic() - asked_at >= SILENT_SECONDS
        return KnownNode(
            candidate=candidate,
            alive=alive,
            answered_at=None if said is None else _instant(said.at),
            silent_since=_instant(asked_at) if alive and is_silent and asked_at else None,
        )

    async def called(self, node_id: str) -> RayNode | None:
        """The node of a name for good, if it lives."""
        for each in await self._candidates():
            if each.inventory is not None and each.inventory.node_id == node_id:
                return self._seen[each.name]
        return None

    def _options(self, spec: SubscriptionSpec, found: Placed) -> dict[str, Any]:
        chosen = self._chosen[spec.id] = found.names[0]
        if self._is_bound or not found.anywhere or spec.config_dir is not None:
            return ray_nodes.only(chosen)
        return ray_nodes.rather(chosen) if len(found.names) > 1 else {}

    async def _candidates(self) -> tuple[Candidate, ...]:
        """The nodes that live, each as it says what it has now."""
        return tuple(self._candidate(each, self._taken) for each in await self._looked_at())

    async def _looked_at(self, seconds: float | None = None) -> tuple[RayNode, ...]:
        """The nodes that live, once each was asked, or so many seconds have passed; who has not
        answered by then is asked on.
        """
        nodes = await asyncio.to_thread(ray_nodes.alive)
        here = ray_nodes.here()
        if self._is_bound:
            nodes = tuple(each for each in nodes if each.ray_id == here)
        self._remember(nodes)
        asked = [self._tasks.spawn(self._ask(each.ray_id, here)) for each in nodes]
        done, _ = await asyncio.wait(asked, timeout=seconds) if asked else ((), ())
        for each in done:
            each.result()
        return nodes

    def _remember(self, nodes: Iterable[RayNode]) -> None:
        """Know these, which live, and of those that have gone the newest ones."""
        for each in nodes:
            self._seen.pop(each.ray_id, None)  # so that who was seen last comes last
            self._seen[each.ray_id] = each
        living = {each.ray_id for each in nodes}
        gone = [id_ for id_ in self._seen if id_ not in living]
        kept = living.union(gone[-GONE_KEPT:])
        known: dict[str, Any]
        for known in (self._seen, self._taken, self._said, self._asked_at):
            for id_ in known.keys() - kept:
                del known[id_]

    def _candidate(self, node: RayNode, taken: Mapping[str, _Taken]) -> Candidate:
        there = Counter(self._chosen.values())
        known = taken.get(node.ray_id)
        return Candidate(
            name=node.ray_id,
            address=node.address,
            labels=node.labels,
            inventory=None if known is None else known.inventory,
            subscriptions=there[node.ray_id],
            clock_ahead=timedelta() if known is None else known.clock_ahead,
        )

    async def _ask(self, ray_id: str, here: str) -> None:
        """Have a node say what it has, unless it said so a moment ago."""
        async with self._asking[ray_id]:
            wanted = frozenset(self._specs.values())
            known = self._taken.get(ray_id)
            is_fresh = known is not None and time.monotonic() - known.at < FRESH_SECONDS
            if known is not None and is_fresh and known.asked_for >= wanted:
                return
            self._asked_at.setdefault(ray_id, time.monotonic())
            inventory: Inventory | None
            clock, asked_at = timedelta(), now_in_utc()
            if ray_id == here:
                inventory = await asyncio.to_thread(_inventory, self._data_dir, wanted)
            elif (inventory := await self._asked(ray_id, wanted)) is not None:
                clock = ahead(inventory.taken_at, asked_at, now_in_utc())
            taken = self._taken[ray_id] = _Taken(inventory, time.monotonic(), wanted, clock)
            if inventory is not None:
                self._said[ray_id] = taken
                self._asked_at.pop(ray_id, None)

    async def _asked(self, ray_id: str, specs: frozenset[SubscriptionSpec]) -> Inventory | None:
        """None where it does not answer, or with what nobody here understands: a node of another
        release holds up no other.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                told = await run_at(ray_id, _inventory, self._data_dir, specs)
                return Inventory.model_validate(dict(told))  # it may lack what is new here
        except (RayError, TimeoutError, OSError, ValueError, TypeError, AttributeError) as error:
            problem = str(error).partition("\n")[0] or type(error).__name__
            log.warning("node does not answer", extra={"ray_node_id": ray_id, "problem": problem})
            return None


def _instant(monotonic: float) -> datetime:
    """When a reading of the monotonic clock was."""
    return now_in_utc() - timedelta(seconds=time.monotonic() - monotonic)


def _nowhere(spec: SubscriptionSpec, found: Unplaced) -> ConfigError:
    return ConfigError(f"subscriptions.{spec.id}.{found.field}", found.reason)


async def run_at(ray_id: str, function: Any, *args: Any) -> Any:
    """Run a function on a node; it holds nothing there, and is not run again where it fails."""
    task: Any = ray.remote(function)
    bound = task.options(num_cpus=0, max_retries=0, **ray_nodes.only(ray_id))
    return await bound.remote(*args)


def _inventory(data_dir: Path, specs: Iterable[SubscriptionSpec]) -> Inventory:
    return take_inventory(data_dir, specs, environment(), now_in_utc())

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
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from actors.runtime.nodes import ray_nodes
from actors.runtime.nodes.ray_nodes import RayNode
from pool.config import Config, environment
from pool.errors import ConfigError
from pool.nodes.inventory import Inventory, take_inventory
from pool.nodes.overview import KnownNode
from pool.nodes.placement import Candidate, Placed, Unplaced, place
from pool.subscriptions.spec import SubscriptionSpec

log = logging.getLogger(__name__)

FRESH_SECONDS = 10.0
"""How long an inventory is believed: whoever mends what was missing waits no longer."""
ANSWER_SECONDS = 10.0
"""For a node to say what it has: its first task takes the start of a process."""


class _Taken(NamedTuple):
    inventory: Inventory | None
    at: float
    asked_for: frozenset[SubscriptionSpec]


class Places:
    """Where subscriptions can be. ``of`` answers in seconds, whatever some node does."""

    def __init__(self, config: Config) -> None:
        self._data_dir = config.pool.data_dir
        self._is_bound = config.pool.store == "sqlite"
        """The records are on this node, and so is everybody."""
        self._specs: dict[str, SubscriptionSpec] = {}
        self._taken: dict[str, _Taken] = {}
        self._seen: dict[str, RayNode] = {}
        self._chosen: dict[str, str] = {}
        self._asking = asyncio.Lock()

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
        """Every node that lives, and those that were seen to."""
        candidates = await self._candidates()
        living = {each.name for each in candidates}
        back = {each.inventory.node_id for each in candidates if each.inventory is not None}
        seen = [self._candidate(each) for id_, each in self._seen.items() if id_ not in living]
        return (
            *(KnownNode(candidate=each, alive=True) for each in candidates),
            *(
                KnownNode(candidate=each, alive=False)
                for each in seen
                if each.inventory is not None and each.inventory.node_id not in back
            ),
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
        nodes = await asyncio.to_thread(ray_nodes.alive)
        here = ray_nodes.here()
        if self._is_bound:
            nodes = tuple(each for each in nodes if each.ray_id == here)
        self._seen.update({each.ray_id: each for each in nodes})
        async with self._asking:
            await asyncio.gather(*(self._ask(each.ray_id, here) for each in nodes))
        return tuple(self._candidate(each) for each in nodes)

    def _candidate(self, node: RayNode) -> Candidate:
        there = Counter(self._chosen.values())
        taken = self._taken.get(node.ray_id)
        return Candidate(
            name=node.ray_id,
            address=node.address,
            labels=node.labels,
            inventory=None if taken is None else taken.inventory,
            subscriptions=there[node.ray_id],
        )

    async def _ask(self, ray_id: str, here: str) -> None:
        """Have a node say what it has, unless it said so a moment ago."""
        wanted = frozenset(self._specs.values())
        known = self._taken.get(ray_id)
        is_fresh = known is not None and time.monotonic() - known.at < FRESH_SECONDS
        if known is not None and is_fresh and known.asked_for >= wanted:
            return
        inventory: Inventory | None
        if ray_id == here:
            inventory = await asyncio.to_thread(_inventory, self._data_dir, wanted)
        else:
            inventory = await self._asked(ray_id, wanted)
        self._taken[ray_id] = _Taken(inventory, time.monotonic(), wanted)

    async def _asked(self, ray_id: str, specs: frozenset[SubscriptionSpec]) -> Inventory | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                told = await run_at(ray_id, _inventory, self._data_dir, specs)
                return Inventory.model_validate(told)
        except (RayError, TimeoutError, OSError) as error:
            problem = str(error).partition("\n")[0] or type(error).__name__
            log.warning("node does not answer", extra={"ray_node_id": ray_id, "problem": problem})
            return None


def _nowhere(spec: SubscriptionSpec, found: Unplaced) -> ConfigError:
    return ConfigError(f"subscriptions.{spec.id}.{found.field}", found.reason)


async def run_at(ray_id: str, function: Any, *args: Any) -> Any:
    """Run a function on a node; it holds nothing there, and is not run again where it fails."""
    task: Any = ray.remote(function)
    bound = task.options(num_cpus=0, max_retries=0, **ray_nodes.only(ray_id))
    return await bound.remote(*args)


def _inventory(data_dir: Path, specs: Iterable[SubscriptionSpec]) -> Inventory:
    return take_inventory(data_dir, specs, environment())

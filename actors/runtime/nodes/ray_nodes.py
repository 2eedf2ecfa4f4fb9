"""The nodes of Ray: which there are, which one this is, and how an actor is bound to one.

Ray's own id of a node is drawn anew at each start of its raylet. What a node is called for longer
stands in ``pool.nodes``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pool.config import Config
from pool.errors import ConfigError

_OF_RAY = "ray.io/node-id"
"""A label that Ray itself gives each node: its id."""


class RayNode(NamedTuple):
    """A node that is alive, as Ray knows it."""

    ray_id: str
    address: str
    hostname: str
    labels: dict[str, str]

    def __str__(self) -> str:
        return f"{self.hostname} ({self.address})"


def alive() -> tuple[RayNode, ...]:
    """Those that Ray holds to be alive, always in the same order. Blocking, for milliseconds."""
    found = (
        RayNode(
            *(each["NodeID"], each["NodeManagerAddress"], each["NodeManagerHostname"]),
            labels={key: text for key, text in each["Labels"].items() if key != _OF_RAY},
        )
        for each in ray.nodes()  # type: ignore[no-untyped-call]
        if each["Alive"]
    )
    return tuple(sorted(found, key=lambda node: (node.hostname, node.address, node.ray_id)))


def here() -> str:
    """Ray's id of the node of this process."""
    return str(ray.get_runtime_context().get_node_id())


def only(ray_id: str) -> dict[str, Any]:
    """Options: on this node or nowhere, also when the actor is started again."""
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(ray_id, soft=False)}


def rather(ray_id: str) -> dict[str, Any]:
    """Options: on this node while it lives, or else on any other. Ray puts who asks for nothing on
    a node by chance, whatever it is told (2.60), so a byte is asked for.
    """
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(ray_id, soft=True), "memory": 1}


def check_store(config: Config) -> None:
    """Raise ``ConfigError`` where records would be kept on one node of several."""
    nodes = alive()
    if config.pool.store == "sqlite" and len(nodes) > 1:
        names = ", ".join(map(str, nodes))
        problem = f"sqlite keeps records on one machine, and this Ray has {len(nodes)} nodes"
        remedy = "name a PostgreSQL database (postgresql://user:password@host:5432/database)"
        raise ConfigError("pool.store", f"{problem}, {names}: {remedy}, or use a Ray of one node")

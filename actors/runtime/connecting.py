"""Connecting a program to a pool that is served: in its cluster, or on its machine."""

from __future__ import annotations

import time

import ray

from actors.client.client import PoolClient
from actors.client.concurrency import MAX_IN_FLIGHT
from actors.runtime import cluster
from actors.runtime.ray_actors import ROUTER, RayActors
from actors.runtime.ray_address import find
from pool.config import RaySettings, environment
from pool.errors import ConfigError

RENEWED_SECONDS = 1.5
"""For a router that is just being renewed: its successor takes its name a second later."""
LOOK_SECONDS = 0.1


def connect(
    address: str | None = None,
    namespace: str | None = None,
    *,
    max_in_flight: int = MAX_IN_FLIGHT,
) -> PoolClient:
    """A client for a program inside or outside the cluster that serves a pool.

    Without an address the pool is that of ``CLAUDE_POOL_CONFIG`` or of the ``pool.toml`` here,
    unless ``RAY_ADDRESS`` names a cluster. ``ConfigError`` says within seconds what is not there:
    the cluster, a token that it takes, or the pool in it. In a task or an actor of the cluster it
    joins nothing; but there a client that was sent along does as well.
    """
    settings = _found() if address is None else RaySettings(address=address)
    name = namespace or settings.namespace
    joins = not ray.is_initialized()
    if joins:
        cluster.join(settings.address, name)
    try:
        _check_pool(name)
    except BaseException:
        if joins:
            ray.shutdown()
        raise
    return PoolClient(RayActors(name), max_in_flight=max_in_flight)


def _found() -> RaySettings:
    """The Ray to join; who is in one already needs to know no more than its pool's namespace."""
    try:
        return find(environment())
    except ConfigError:
        if ray.is_initialized():
            return RaySettings()
        raise


def _check_pool(namespace: str) -> None:
    deadline = time.monotonic() + RENEWED_SECONDS
    while True:
        try:
            ray.get_actor(ROUTER, namespace=namespace)
        except ValueError:
            if time.monotonic() > deadline:
                problem = f"no pool {namespace!r} is served in this cluster"
                remedy = "begin with claude-pool serve, or name the ray.namespace of its pool.toml"
                raise ConfigError("ray.namespace", f"{problem}: {remedy}") from None
            time.sleep(LOOK_SECONDS)
        else:
            return

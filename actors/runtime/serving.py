"""The pool of a configuration, running: with a Ray of its own, or as part of a cluster.

A Ray of its own belongs to the first service of a data directory, and ends with it, with everything
in it; a further service joins it, and ends when it is gone. In a cluster the actors stay. Runs of
the CLI go on either way, and are adopted by the next activation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from typing import Any

import ray
from ray.exceptions import RayActorError

from actors.aiokit import Tasks, every
from actors.client.client import PoolClient
from actors.runtime import cluster
from actors.runtime.nodes import ray_nodes
from actors.runtime.nodes import raylet as raylets
from actors.runtime.nodes.raylet import Raylet
from actors.runtime.ray_actors import RayActors
from actors.runtime.ray_address import claimed, is_claimed, noted, running
from actors.runtime.ray_directory import ray_directory
from pool.config import Config, environment
from pool.errors import ActorLost, PoolError

LOOK_SECONDS = 60.0
"""Between two looks at whether the reconciler is there: Ray starts a dead one, its first call has
it begin."""
ROUTER_LOOK_SECONDS = 3.0
"""Between two looks at whether the router answers: 3 ms each."""
GONE_SECONDS = 1.0
"""Between two looks at whether the Ray is there that was joined: 0.1 ms each."""
OBJECT_STORE_BYTES = 512 * 1024**2
"""Of the shared memory of a Ray of one's own, for arguments and results beyond 100 KB on their way;
what finds no room waits on the disk. Ray would take 30% of the machine's memory, and a disk for all
of it where ``/dev/shm`` has not as much: in a container.
"""
_QUIET: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
"""The lines of actors have streams of their own, and Ray's loggers write as all others do."""


class ServedPool:
    """A running pool, as its service has it."""

    def __init__(self, client: PoolClient, config: Config, *, is_own: bool) -> None:
        self.client = client
        self._config = config
        self._is_own = is_own

    async def stop(self) -> None:
        """Put the pool at rest, if it ends with this service."""
        if self._is_own:
            await self.client.stop(self._config.server.drain_seconds)

    async def lost(self) -> None:
        """Wait until the pool cannot be reached any more from here; ``ActorLost`` says why."""
        raylet = raylets.of_this_node()
        while (why := await asyncio.to_thread(self._loss, raylet)) is None:  # noqa: ASYNC110 - sockets
            await asyncio.sleep(GONE_SECONDS)
        raise ActorLost("pool", why)

    def _loss(self, raylet: Raylet) -> str | None:
        has_joined = not self._is_own and self._config.ray.address == "local"
        is_there = raylet.is_there()  # of an orderly end it is the first that is seen
        if has_joined and not (is_there and is_claimed(self._config)):
            return "the service has ended whose Ray this one had joined"
        return None if is_there else "Ray has ended on this node: start it, and this service again"


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[ServedPool]:
    """The pool of a configuration, as soon as its router answers; subscriptions come up then."""
    with _ray(config) as (is_own, address):
        actors = RayActors(config.ray.namespace, config)
        try:
            await asyncio.to_thread(ray_nodes.check_store, config)
            await actors.activate_router()
            # Not before: what is refused has not written over the note of a pool that lives.
            with nullcontext() if address is None else noted(config, address):
                await actors.router().declare(config.subscriptions)
                background = Tasks()
                try:
                    background.spawn(_ReconcilerWatch(actors, config).run())
                    if is_own or config.ray.address != "local":  # another's ends as that one does
                        background.spawn(_keep_router(actors))
                    yield ServedPool(PoolClient(actors), config, is_own=is_own)
                finally:
                    await background.close()
                    if is_own:
                        await _close(actors)
        finally:
            await asyncio.to_thread(ray.shutdown)


@contextmanager
def _ray(config: Config) -> Iterator[tuple[bool, str | None]]:
    """Ray, started or joined: whether it ends with this service; its address, where this service is
    to note that. On the main thread: it sets signal handlers.
    """
    namespace = config.ray.namespace
    if config.ray.address != "local":
        yield False, cluster.join(config.ray.address, namespace, **_QUIET)
        return
    with claimed(config) as is_own:
        if not is_own:
            cluster.join(running(config).address, namespace, **_QUIET)
            yield False, None
            return
        with ray_directory(environment()) as directory:
            options = {**_QUIET, "object_store_memory": OBJECT_STORE_BYTES}
            yield True, cluster.start(namespace, directory, **options)


async def _keep_router(actors: RayActors) -> None:
    """Ray starts a router anew that has died; not one that is frozen, or that it has given up."""
    await asyncio.sleep(ROUTER_LOOK_SECONDS)
    await every(ROUTER_LOOK_SECONDS, actors.keep_router, "router is not there")


class _ReconcilerWatch:
    """Sees to it that the reconciler is there, if it is to be, and begins again after its death."""

    def __init__(self, actors: RayActors, config: Config) -> None:
        self._actors = actors
        self._is_wanted = bool(config.organizations)
        self._is_up = False

    async def run(self) -> None:
        await every(LOOK_SECONDS, self._look, "reconciler is not there")

    async def _look(self) -> None:
        if not self._is_up:  # once: another service may have it made otherwise later
            await self._actors.activate_reconciler()
            self._is_up = True
        if self._is_wanted:
            await self._actors.reconciler().is_there()


async def _close(actors: RayActors) -> None:
    """Let go of every store in an orderly way; whatever fails here, kill -9 would do as well."""
    with suppress(PoolError, RayActorError):
        registrations = await actors.router().registrations()
        await actors.deactivate_reconciler()
        await actors.deactivate_router()
        await asyncio.gather(*(actors.deactivate(each.spec.id) for each in registrations))

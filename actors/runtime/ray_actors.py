"""The actors of a pool as named actors of a Ray namespace: found, brought up, renewed and ended.

One that is merely pending is waited for, for as long as anything comes up: Ray starts a few
processes at a time, and to kill who waits only makes another one that waits. One that is alive and
does not answer is frozen, and is ended. One that was made by another blueprint (an earlier version
or configuration, since actors may outlive their service) leaves in order, and its successor takes
its place; runs of the CLI go on meanwhile, and are adopted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

import ray
from ray.exceptions import ActorUnschedulableError, RayActorError, RayTaskError

from actors.interfaces.messages import Farewell
from actors.interfaces.reconciler_actor import ReconcilerActor
from actors.interfaces.router_actor import RouterActor
from actors.interfaces.subscription_actor import SubscriptionActor
from actors.runtime import cluster
from actors.runtime.actor_proxy import AWAY, PATIENCE_SECONDS, ActorProxy, is_alive, is_restarting
from actors.runtime.blueprint import (
    Blueprint,
    blueprint_of,
    of_reconciler,
    of_router,
    of_subscription,
)
from actors.runtime.calls import Raised
from actors.runtime.factory import makers
from actors.runtime.holder import holder_of
from actors.runtime.nodes import ray_nodes
from actors.runtime.nodes.places import Places
from actors.runtime.nodes.releasing import let_go
from actors.runtime.ray_privacy import kept_back
from actors.runtime.shells import ActorShell, ReconcilerShell, RouterShell, SubscriptionShell
from actors.runtime.spare_process import SPARE
from pool.config import Config, environment
from pool.errors import ActorLost, ConfigError, Conflict, PoolError, StoreBusy
from pool.nodes.overview import KnownNode
from pool.subscriptions.spec import SubscriptionSpec

ROUTER = "router"
RECONCILER = "reconciler"
LOOK_SECONDS = 1.0
"""Between two looks at an actor that is waited for."""
STUCK_SECONDS = 60.0
"""Without anything that comes up: as long as Ray itself gives a process to start."""
LEAVING_SECONDS = 15.0
"""For an actor to leave: its calls, and up to 10 s for its store to close."""
ROUTER_SILENT_SECONDS = 8.0
"""For a router to answer what costs it nothing: everybody waits for it, and another one takes its
place in two seconds."""
RELEASE_SECONDS = 5.0
"""For what waits at a subscription without a node to be handed on; with SQLite its ledger cannot be
read meanwhile."""
TRIES = 5
"""An actor may die while it comes up, or be found while it leaves."""
RETRY_SECONDS = 0.2
"""Before the second try, and twice as long before each further one: 3 s in all, in which a node is
known to be gone."""
MAX_CALLS_AT_ONCE = 10_000
"""Waiting calls are cheap coroutines; Ray would stop at 1,000 and hold further ones back."""


class _Wanted(NamedTuple):
    """An actor as it is to be."""

    shell: type[ActorShell]
    name: str
    make: Callable[[], Awaitable[Any]]
    blueprint: Blueprint
    spec: SubscriptionSpec | None = None
    """Of a subscription, whose place depends on it."""


class RayActors:
    """The actors of the pool as named actors of a Ray namespace.

    Only one that was given a configuration can activate; whoever just calls needs none.
    """

    def __init__(self, namespace: str, config: Config | None = None) -> None:
        self._namespace = namespace
        self._config = config
        self._proxies: dict[str, ActorProxy] = {}
        self._progress = 0.0
        """When something came up for the last time."""
        self._places = None if config is None else Places(config)
        self._tell_lost: Callable[[str], None] = lambda _: None

    def router(self) -> RouterActor:
        return cast(RouterActor, self._proxy(ROUTER))

    def subscription(self, subscription_id: str) -> SubscriptionActor:
        name, wake = _name_of(subscription_id), partial(self._wake, subscription_id)
        proxy = self._proxy(name, wake=wake, lost=partial(self._lost, subscription_id))
        return cast(SubscriptionActor, proxy)

    def _lost(self, subscription_id: str) -> None:
        SPARE.taken()  # Ray may have brought it up again
        self._tell_lost(subscription_id)

    def tell_of_losses(self, tell: Callable[[str], None]) -> None:
        self._tell_lost = tell

    def reconciler(self) -> ReconcilerActor:
        absent = Conflict("nothing can be reconciled: add [[organizations]] to pool.toml")
        if self._config is None:  # a program outside the pool: the actor is there, or is not wanted
            return cast(ReconcilerActor, self._proxy(RECONCILER, absent))
        if not self._config.organizations:
            raise absent
        return cast(ReconcilerActor, self._proxy(RECONCILER))

    async def activate(self, spec: SubscriptionSpec) -> bool:
        wanted = self._subscription(spec)
        digest = await self._digest(wanted)
        await self.subscription(spec.id).configure(spec)
        return digest != wanted.blueprint.digest

    async def renew(self, spec: SubscriptionSpec) -> None:
        await self._end(_name_of(spec.id))
        await self.activate(spec)

    async def unplaced(self, specs: Sequence[SubscriptionSpec]) -> dict[str, ConfigError]:
        return await self._placed().unplaced(specs)

    async def nodes(self) -> tuple[KnownNode, ...]:
        return await self._placed().known()

    async def activate_router(self) -> None:
        """Bring up the router, or join it. ``ConfigError`` where it is another pool's, or its store
        is, and ``StoreBusy`` where somebody holds that; then none is left behind.
        """
        await self._ensure(self._the_router())
        try:
            await self.router().heard_from()  # its first call: by this it opens its store
        except (ConfigError, StoreBusy):
            await self._kill(ROUTER)
            raise

    async def keep_router(self) -> None:
        """See to it that there is a router which answers, whatever it was made with: one that is
        silent is ended, and one that is nowhere is made.
        """
        await self._digest(self._the_router(), ROUTER_SILENT_SECONDS)

    async def activate_reconciler(self) -> None:
        """Where organizations are configured; one of an earlier configuration ends otherwise."""
        part = of_reconciler(self._configuration())
        if not part.organizations:
            await self.deactivate_reconciler()
            return
        make = makers.reconciler_maker(part, RayActors(self._namespace))
        wanted = _Wanted(ReconcilerShell, RECONCILER, make, blueprint_of(RECONCILER, part))
        await self._ensure(wanted)

    async def fall_asleep(self, subscription_id: str, after: str | None) -> Farewell | None:
        name = _name_of(subscription_id)
        handle = await self._found(name)
        if handle is None or not hasattr(handle, "fall_asleep"):  # of a version that never slept
            return None
        try:
            async with asyncio.timeout(LEAVING_SECONDS):
                asked = handle.fall_asleep.remote(after)
                left = await asyncio.wrap_future(asked.future())
        except (*AWAY, RayTaskError, TimeoutError) as error:  # it may have begun to leave
            await self._kill(name)
            raise ActorLost(name, f"it did not fall asleep: {type(error).__name__}") from error
        if left is None:
            return None
        await self._kill(name)
        if isinstance(left, Raised):
            raise left.error
        return cast(Farewell, left)

    async def release(self, spec: SubscriptionSpec, why: str) -> int:
        part = of_subscription(self._configuration())
        make = makers.subscription_maker(spec, part, RayActors(self._namespace), released=why)
        name = _name_of(spec.id)
        made = blueprint_of(name, part, spec)  # whoever finds it later is to renew it
        made = made.model_copy(update={"digest": f"released {made.digest}"})
        try:
            # One that is up does not let go: what it was made with is gone, and it says just that.
            await self._ensure(_Wanted(SubscriptionShell, name, make, made))
            return await let_go(self.subscription(spec.id), RELEASE_SECONDS)
        finally:
            await self._end(name)

    async def deactivate(self, subscription_id: str) -> None:
        await self._end(_name_of(subscription_id))

    async def deactivate_router(self) -> None:
        await self._end(ROUTER)

    async def deactivate_reconciler(self) -> None:
        await self._end(RECONCILER)

    def __reduce__(self) -> tuple[type[RayActors], tuple[str, Config | None]]:
        return RayActors, (self._namespace, self._config)

    def _configuration(self) -> Config:
        if self._config is None:
            raise ConfigError("pool", "a client cannot activate subscriptions: ask the router")
        return self._config

    def _the_router(self) -> _Wanted:
        part = of_router(self._configuration())
        holder = holder_of(self._configuration())
        make = makers.router_maker(part, RayActors(self._namespace, part), holder)
        return _Wanted(RouterShell, ROUTER, make, blueprint_of(ROUTER, part))

    def _subscription(self, spec: SubscriptionSpec) -> _Wanted:
        part = of_subscription(self._configuration())
        make = makers.subscription_maker(spec, part, RayActors(self._namespace))
        name = _name_of(spec.id)
        return _Wanted(SubscriptionShell, name, make, blueprint_of(name, part, spec), spec)

    def _proxy(
        self,
        name: str,
        absent: PoolError | None = None,
        wake: Callable[[], Awaitable[None]] | None = None,
        lost: Callable[[], None] = lambda: None,
    ) -> ActorProxy:
        proxy = self._proxies.get(name)
        if proxy is None:
            made = ActorProxy(name, self._namespace, absent, wake, lost)
            proxy = self._proxies.setdefault(name, made)
        return proxy

    async def _wake(self, subscription_id: str) -> None:
        """Have the router bring up a subscription that has left, if it sleeps."""
        await self.router().wake(subscription_id)

    async def _ensure(self, wanted: _Wanted) -> None:
        """See to it that an actor runs that is made as it is to be now."""
        for _ in range(TRIES):
            if await self._digest(wanted) == wanted.blueprint.digest:
                return
            await self._end(wanted.name)
        raise ActorLost(wanted.name, "another service has it made otherwise, again and again")

    async def _digest(self, wanted: _Wanted, silent_seconds: float | None = None) -> str:
        """What the actor of this name was made with, once it is up; made now where there is none.

        ``ConfigError`` for one of another pool, or that no node can have; ``ActorLost`` for one
        that does not come up.
        """
        problem: Exception | None = None
        handle: Any = None
        for tried in range(TRIES):
            if isinstance(problem, (RayActorError, ValueError)):
                await asyncio.sleep(RETRY_SECONDS * 2 ** (tried - 1))
                await self._restarted(handle, wanted.name)
            handle = None
            try:
                handle = await self._found(wanted.name) or await self._made(wanted)
                digest = await self._answer(handle, "digest", wanted.name, silent_seconds)
                await self._check_pool(handle, wanted)
            except (TimeoutError, ActorUnschedulableError) as error:
                problem = error  # it is frozen, or tied to a node that is gone
                await self._kill(wanted.name)
            except (RayActorError, ValueError) as error:  # it leaves, or has died in coming up
                problem = error
            else:
                return digest
        raise ActorLost(wanted.name, f"it does not come up: {_first_line(problem)}") from problem

    async def _restarted(self, handle: Any, name: str) -> None:
        """Wait as long as Ray starts a process anew for an actor. ``ActorLost`` where nothing comes
        up any more.
        """
        began = time.monotonic()
        while is_restarting(handle):
            self._check_progress(name, began)
            await asyncio.sleep(RETRY_SECONDS)

    def _check_progress(self, name: str, since: float) -> None:
        """``ActorLost`` where nothing has come up for long, while an actor waits for that."""
        if time.monotonic() - max(since, self._progress) > STUCK_SECONDS:
            problem = f"it has waited {STUCK_SECONDS:g} s for Ray to start its process"
            raise ActorLost(name, f"{problem}: has the cluster room for it?")

    async def _answer(
        self, handle: Any, method: str, name: str, silent_seconds: float | None = None
    ) -> str:
        """What an actor answers at once when it is up. ``TimeoutError`` for one that is alive and
        silent, ``ActorLost`` where it is pending and nothing comes up any more.
        """
        asked = asyncio.wrap_future(getattr(handle, method).remote().future())
        began, alive_since = time.monotonic(), None
        silent_seconds = silent_seconds or PATIENCE_SECONDS
        try:
            while not (await asyncio.wait({asked}, timeout=LOOK_SECONDS))[0]:
                now = time.monotonic()
                if not is_alive(handle):
                    alive_since = None
                    self._check_progress(name, began)
                    continue
                alive_since = alive_since or now
                if now - alive_since > silent_seconds:
                    raise TimeoutError(f"it is alive, and silent for {silent_seconds:g} s")
            self._progress = time.monotonic()
            return str(asked.result())
        finally:
            asked.cancel()

    async def _check_pool(self, handle: Any, wanted: _Wanted) -> None:
        if not hasattr(handle, "pool"):  # of a version that did not say so
            return
        other = await self._answer(handle, "pool", wanted.name)
        if other != wanted.blueprint.pool:
            problem = f"{self._namespace!r} is the namespace of another pool of this cluster"
            raise ConfigError("ray.namespace", f"{problem} ({other}): choose another one")

    async def _made(self, wanted: _Wanted) -> Any:
        bound = await self._bound(wanted)
        SPARE.taken()
        return await asyncio.to_thread(self._create, wanted, bound)

    def _create(self, wanted: _Wanted, bound: Mapping[str, Any]) -> Any:
        # What Ray's own processes did not inherit; a cluster's nodes have variables themselves.
        variables = kept_back(environment()) if cluster.is_own() else {}
        actor: Any = ray.remote(wanted.shell)
        return actor.options(
            name=wanted.name,
            namespace=self._namespace,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=MAX_CALLS_AT_ONCE,
            num_cpus=0,
            **bound,
        ).remote(wanted.make, wanted.blueprint, variables)

    async def _bound(self, wanted: _Wanted) -> dict[str, Any]:
        """Where an actor may be. With SQLite the records are on the node of whoever makes it."""
        if wanted.spec is not None:
            return await self._placed().of(wanted.spec)
        is_bound = self._configuration().pool.store == "sqlite"
        return ray_nodes.only(ray_nodes.here()) if is_bound else {}

    def _placed(self) -> Places:
        if self._places is None:
            raise ConfigError("pool", "a client cannot place subscriptions: ask the router")
        return self._places

    async def _end(self, name: str) -> None:
        """Have an actor leave, if it answers, and kill it for good."""
        handle = await self._found(name)
        if handle is not None:
            with suppress(*AWAY, RayTaskError, TimeoutError):
                async with asyncio.timeout(LEAVING_SECONDS):
                    await _left(handle)
            await self._kill(name)

    async def _kill(self, name: str) -> None:
        self._proxies.pop(name, None)
        handle = await self._found(name)
        if handle is not None:
            await asyncio.to_thread(ray.kill, handle, no_restart=True)

    async def _found(self, name: str) -> Any:
        with suppress(ValueError):
            return await asyncio.to_thread(ray.get_actor, name, namespace=self._namespace)
        return None


async def _left(handle: Any) -> None:
    """Ask an actor to leave. One that is not up has nothing to let go of."""
    if hasattr(handle, "leave"):
        asked = handle.leave.remote()
    else:  # of a version that had no way of leaving
        asked = handle.call.remote("close", (), {})
    gone = asyncio.wrap_future(asked.future())
    while not (await asyncio.wait({gone}, timeout=LOOK_SECONDS))[0]:
        if not is_alive(handle):
            gone.cancel()
            return
    gone.result()


def _first_line(error: Exception | None) -> str:
    return str(error).strip().partition("\n")[0] or "it dies again and again"


def _name_of(subscription_id: str) -> str:
    return f"subscription:{subscription_id}"

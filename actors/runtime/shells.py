"""The Ray shells: they name, place and forward, and decide nothing.

A named actor is no lock (a frozen node can leave two behind): the ledger's epoch is. Ray's own
retries stay off (``max_task_retries=0``), because it would repeat a call without asking; every call
that crosses is repeatable by its ids, and the proxy repeats it when the actor dies under it.
Errors of the pool cross as values, so that a caller sees them as they were raised.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

if "ray" not in sys.modules:
    # Both are read once, when Ray is loaded. A Ray of its own makes its token; that of a cluster
    # has to be here. Without the other, of several executions that end at once one is logged.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")

import ray
from ray.exceptions import RayActorError, RayTaskError

from actors.aiokit import Tasks, every
from actors.client.client import PoolClient
from actors.client.concurrency import MAX_IN_FLIGHT
from actors.interfaces.protocols import ReconcilerActor, RouterActor, SubscriptionActor
from actors.runtime import factory
from actors.runtime.ray_address import find, noted
from actors.runtime.ray_directory import ray_directory
from actors.telemetry import logs
from pool.config import Config, RaySettings, environment
from pool.errors import ActorLost, ConfigError, Conflict, PoolError
from pool.subscriptions.spec import SubscriptionSpec

log = logging.getLogger(__name__)

ROUTER = "router"
RECONCILER = "reconciler"
LOOK_SECONDS = 60.0
"""Between two looks at whether the reconciler is there: Ray starts a dead one, its first call has
it begin."""
PATIENCE_SECONDS = 20.0
"""How long a call is repeated while its actor is away: a restart takes 1-2 s, on a busy machine
more, and its ledger may be held for up to 10 s."""
CALL_SECONDS = 75.0
"""A call that takes longer than any it could be (a 30 s poll after a slow activation) is lost."""
RETRY_SECONDS = 0.05
MAX_CALLS_AT_ONCE = 10_000
"""Waiting calls are cheap coroutines; Ray would stop at 1,000 and hold further ones back."""


class _Raised:
    """A ``PoolError`` on its way to the caller."""

    def __init__(self, error: PoolError) -> None:
        self.error = error


class ActorShell:
    """An actor around a plain object, which is made at the first call."""

    def __init__(self, make: Callable[[], Awaitable[Any]], digest: str, log_level: str) -> None:
        self._make = make
        self._digest = digest
        self._object: Any = None
        self._making = asyncio.Lock()
        logs.configure(log_level)

    async def digest(self) -> str:
        """Which configuration it was made with."""
        return self._digest

    async def call(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a public method of the object."""
        if method.startswith("_"):
            raise AttributeError(method)
        try:
            async with self._making:
                if self._object is None:
                    self._object = await self._make()
            return await getattr(self._object, method)(*args, **named)
        except PoolError as error:
            return _Raised(error)


class RouterShell(ActorShell):
    """The router's actor."""


class SubscriptionShell(ActorShell):
    """A subscription's actor."""


class ReconcilerShell(ActorShell):
    """The reconciler's actor."""


class _ActorProxy:
    """Stands for the object inside a named actor; its methods are those of the object.

    The name is looked up once, however many calls begin at a time, and again when a call fails.
    With ``absent``, that is raised at once where nobody bears the name.
    """

    def __init__(self, name: str, namespace: str, absent: PoolError | None = None) -> None:
        self._name = name
        self._namespace = namespace
        self._absent = absent
        self._handle: Any = None
        self._looking_up = threading.Lock()

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        if method.startswith("_"):
            raise AttributeError(method)

        async def call(*args: Any, **named: Any) -> Any:
            return await self._call(method, args, named)

        return call

    async def _call(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            handle = None
            try:
                handle = self._handle or await asyncio.to_thread(self._look_up)
                async with asyncio.timeout(CALL_SECONDS):
                    answer = await handle.call.remote(method, args, named)
            except (RayActorError, ValueError, TimeoutError) as error:
                if handle is None and self._absent is not None:
                    raise type(self._absent)(*self._absent.args) from error
                if self._handle is handle:
                    self._handle = None  # another call may have found the next one already
                if time.monotonic() > deadline:
                    raise ActorLost(self._name, type(error).__name__) from error
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if isinstance(answer, _Raised):
                raise answer.error
            return answer

    def _look_up(self) -> Any:
        """The actor's handle; ``ValueError`` where nobody bears the name."""
        with self._looking_up:
            if self._handle is None:
                self._handle = ray.get_actor(self._name, namespace=self._namespace)
            return self._handle


class RayActors:
    """Peers as named actors of a Ray namespace.

    Only one that was given a configuration can activate; whoever just calls needs none.
    """

    def __init__(self, namespace: str, config: Config | None = None) -> None:
        self._namespace = namespace
        self._config = config
        self._proxies: dict[str, _ActorProxy] = {}

    def router(self) -> RouterActor:
        return cast(RouterActor, self._proxy(ROUTER))

    def subscription(self, subscription_id: str) -> SubscriptionActor:
        return cast(SubscriptionActor, self._proxy(_name_of(subscription_id)))

    def reconciler(self) -> ReconcilerActor:
        absent = Conflict("nothing can be reconciled: add [[organizations]] to pool.toml")
        if self._config is None:  # a program beside the pool: the actor is there, or is not wanted
            return cast(ReconcilerActor, self._proxy(RECONCILER, absent))
        if not self._config.organizations:
            raise absent
        return cast(ReconcilerActor, self._proxy(RECONCILER))

    async def activate(self, spec: SubscriptionSpec) -> None:
        config = self._configuration()
        make = factory.subscription_maker(spec, config, RayActors(self._namespace))
        await self._ensure(SubscriptionShell, _name_of(spec.id), make)
        await self.subscription(spec.id).configure(spec)

    async def activate_router(self) -> None:
        config = self._configuration()
        make = factory.router_maker(config, RayActors(self._namespace, config))
        await self._ensure(RouterShell, ROUTER, make)

    async def activate_reconciler(self) -> None:
        """Where organizations are configured; one of an earlier configuration ends otherwise."""
        config = self._configuration()
        if not config.organizations:
            await self.deactivate_reconciler()
            return
        make = factory.reconciler_maker(config, RayActors(self._namespace))
        await self._ensure(ReconcilerShell, RECONCILER, make)

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

    def _proxy(self, name: str, absent: PoolError | None = None) -> _ActorProxy:
        return self._proxies.setdefault(name, _ActorProxy(name, self._namespace, absent))

    async def _ensure(
        self, shell: type[ActorShell], name: str, make: Callable[[], Awaitable[Any]]
    ) -> None:
        """See to it that an actor of this name runs, made with this configuration.

        One of an earlier configuration (actors may outlive their cluster's drivers) is replaced;
        its runs are adopted.
        """
        digest = hashlib.sha256(self._configuration().model_dump_json().encode()).hexdigest()
        for _ in range(2):
            handle = await asyncio.to_thread(self._create, shell, name, make, digest)
            with suppress(RayActorError, TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    if await handle.digest.remote() == digest:
                        return
            await self._end(name)
        raise ActorLost(name, "it could not be started: see the logs of Ray")

    def _create(
        self, shell: type[ActorShell], name: str, make: Callable[[], Awaitable[Any]], digest: str
    ) -> Any:
        actor: Any = ray.remote(shell)
        return actor.options(
            name=name,
            namespace=self._namespace,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=MAX_CALLS_AT_ONCE,
            num_cpus=0,
        ).remote(make, digest, self._configuration().pool.log_level)

    async def _end(self, name: str) -> None:
        """Close what is inside, if it answers, and kill the actor for good."""
        self._proxies.pop(name, None)
        try:
            handle = await asyncio.to_thread(ray.get_actor, name, namespace=self._namespace)
        except ValueError:
            return
        with suppress(RayActorError, RayTaskError, TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await handle.call.remote("close", (), {})
        await asyncio.to_thread(ray.kill, handle, no_restart=True)


def _name_of(subscription_id: str) -> str:
    return f"subscription:{subscription_id}"


def _init(address: str, namespace: str, directory: Path | None = None) -> None:
    """Start or join Ray. One that is started keeps its files in ``directory``.

    Workers run at Ray's default nice 15, and so would every CLI: set to 0. Ray takes SIGTERM for
    itself; it is given back to whoever had it.
    """
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            namespace=namespace,
            include_dashboard=False if address == "local" else None,
            log_to_driver=True,
            logging_level=logging.ERROR,
            _temp_dir=None if directory is None else str(directory),
        )
    except Exception as error:
        if directory is not None:
            raise ConfigError("ray", f"it cannot be started in {directory}: {error}") from error
        problem = f"no Ray cluster can be joined at {address!r}: {error}"
        if "RAY_AUTH_MODE" not in os.environ:  # Ray was imported first, and has read it by now
            problem += "; if it uses tokens, set RAY_AUTH_MODE=token or import this before ray"
        raise ConfigError("ray.address", problem) from error
    finally:
        if threading.current_thread() is threading.main_thread() and on_sigterm is not None:
            signal.signal(signal.SIGTERM, on_sigterm)


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[PoolClient]:
    """The pool of a configuration, running: a Ray of its own, or as part of a cluster.

    On leaving, a Ray of its own ends with everything in it; in a cluster the actors stay. Runs of
    the CLI go on either way, and are adopted by the next activation.
    """
    own = config.ray.address == "local"
    with ray_directory(environment()) if own else nullcontext() as directory:
        # On the main thread: it sets signal handlers.
        _init(config.ray.address, config.ray.namespace, directory)
        with noted(config, ray.get_runtime_context().gcs_address):
            async with _serving(config, own=own) as client:
                yield client


@asynccontextmanager
async def _serving(config: Config, *, own: bool) -> AsyncIterator[PoolClient]:
    actors = RayActors(config.ray.namespace, config)
    try:
        await actors.activate_router()
        await actors.router().declare(config.subscriptions)
        await _everybody(actors.router())
        await actors.activate_reconciler()
        watching = Tasks()
        if config.organizations:
            watching.spawn(every(LOOK_SECONDS, partial(_called, actors), "reconciler is not there"))
        try:
            yield PoolClient(actors)
        finally:
            await watching.close()
    finally:
        if own:
            await _close(actors)
        await asyncio.to_thread(ray.shutdown)


async def _everybody(router: RouterActor) -> None:
    """Wait until every subscription has been heard of; one that stays away is told and left."""
    for registration in await router.registrations():
        try:
            await router.subscription(registration.spec.id)
        except PoolError as error:
            log.warning("subscription is not there", extra={"problem": str(error)})


async def _called(actors: RayActors) -> None:
    """Call the reconciler, so that it begins, and again after its death."""
    await actors.reconciler().is_there()


async def _close(actors: RayActors) -> None:
    """Let go of every store in an orderly way; whatever fails here, kill -9 would do as well."""
    with suppress(PoolError, RayActorError):
        registrations = await actors.router().registrations()
        await actors.deactivate_reconciler()
        await actors.deactivate_router()
        await asyncio.gather(*(actors.deactivate(each.spec.id) for each in registrations))


def connect(
    address: str | None = None,
    namespace: str | None = None,
    *,
    max_in_flight: int = MAX_IN_FLIGHT,
) -> PoolClient:
    """A client for a program inside or beside the cluster that serves a pool.

    Without an address the pool is that of ``CLAUDE_POOL_CONFIG`` or of the ``pool.toml`` here,
    unless ``RAY_ADDRESS`` names a cluster; ``ConfigError`` says what was not found. In a task or an
    actor of the cluster it joins nothing; but there a client that was sent along does as well.
    """
    settings = _found() if address is None else RaySettings(address=address)
    if not ray.is_initialized():
        _init(settings.address, namespace or settings.namespace)
    return PoolClient(RayActors(namespace or settings.namespace), max_in_flight=max_in_flight)


def _found() -> RaySettings:
    """The Ray to join; who is in one already needs to know no more than its pool's namespace."""
    try:
        return find(environment())
    except ConfigError:
        if ray.is_initialized():
            return RaySettings()
        raise

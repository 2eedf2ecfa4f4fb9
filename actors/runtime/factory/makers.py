"""What makes an actor, as it crosses to the actor's process, and there loads what it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from actors.interfaces.protocols import Actors, SubscriptionActors
from actors.interfaces.reconciler_actor import ReconcilerActor
from actors.interfaces.router_actor import RouterActor
from actors.interfaces.subscription_actor import SubscriptionActor
from pool.config import Config
from pool.subscriptions.spec import SubscriptionSpec


def subscription_maker(
    spec: SubscriptionSpec, config: Config, actors: Actors, released: str | None = None
) -> Callable[[], Awaitable[SubscriptionActor]]:
    """``released`` says why it only lets go of what it has; see ``SubscriptionActors.release``."""
    return partial(_subscription, spec, config, actors, released)


def router_maker(
    config: Config, actors: SubscriptionActors, holder: str
) -> Callable[[], Awaitable[RouterActor]]:
    """``holder`` is its pool, as a database knows it: see ``holder_of``."""
    return partial(_router, config, actors, holder)


def reconciler_maker(config: Config, actors: Actors) -> Callable[[], Awaitable[ReconcilerActor]]:
    return partial(_reconciler, config, actors)


async def _subscription(
    spec: SubscriptionSpec, config: Config, actors: Actors, released: str | None
) -> SubscriptionActor:
    from actors.runtime.factory.subscription import made  # noqa: PLC0415 - only its own process

    return await made(spec, config, actors, released)


async def _router(config: Config, actors: SubscriptionActors, holder: str) -> RouterActor:
    from actors.runtime.factory.router import made  # noqa: PLC0415 - only its own process

    return await made(config, actors, holder)


async def _reconciler(config: Config, actors: Actors) -> ReconcilerActor:
    from actors.runtime.factory.reconciler import made  # noqa: PLC0415 - only its own process

    return await made(config, actors)

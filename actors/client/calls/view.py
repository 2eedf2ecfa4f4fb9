"""The pool as one caller sees it: what every group of a client's calls stands on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from actors.interfaces.protocols import Actors
from actors.interfaces.reconciler_actor import ReconcilerActor
from actors.interfaces.router_actor import RouterActor
from pool.errors import NotFound
from pool.keys.access import Access
from pool.subscriptions.report import Report

P = ParamSpec("P")
T = TypeVar("T")


class PoolView:
    """The pool, for somebody with an access: what is not theirs is not there."""

    def __init__(self, actors: Actors, clock: Callable[[], datetime], access: Access) -> None:
        self._actors = actors
        self._clock = clock
        self._access = access

    def _router(self) -> RouterActor:
        return self._actors.router()

    def _open_router(self, subscription_id: str) -> RouterActor:
        """The router, to be asked about a subscription; ``NotFound`` for one that is not there for
        whoever asks.
        """
        if not self._covers(subscription_id):
            raise NotFound("subscription", subscription_id)
        return self._router()

    def _covers(self, subscription_id: str) -> bool:
        return self._access.covers_subscription(subscription_id)

    async def _known(self) -> list[str]:
        """The subscriptions that there are for whoever asks."""
        return [id_ for id_ in await self._router().subscription_ids() if self._covers(id_)]

    async def _ids(self, subscription_id: str | None) -> list[str]:
        """Those of all subscriptions, or of one; ``NotFound`` where that is not known."""
        known = await self._known()
        if subscription_id is not None and subscription_id not in known:
            raise NotFound("subscription", subscription_id)
        return known if subscription_id is None else [subscription_id]

    async def _report(self, subscription_id: str) -> Report:
        """The latest report of a subscription, as the pool knows it."""
        return await self._open_router(subscription_id).subscription(subscription_id)


def router(self: PoolView) -> RouterActor:
    """The router, for a method of a client's that only passes its call on."""
    return self._router()


def reconciler(self: PoolView) -> ReconcilerActor:
    """The reconciler, for the same; ``Conflict`` where no organization is configured."""
    return self._actors.reconciler()


def for_subscription(
    method: Callable[Concatenate[RouterActor, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[PoolView, P], Coroutine[Any, Any, T]]:
    """A method of the router's about the subscription that its first argument names, as one of a
    client's: ``NotFound`` for a subscription that is not there for whoever asks.
    """
    name = method.__name__

    async def call(self: PoolView, /, *args: P.args, **named: P.kwargs) -> T:
        subscription_id = str(args[0] if args else named["subscription_id"])
        answer: T = await getattr(self._open_router(subscription_id), name)(*args, **named)
        return answer

    return update_wrapper(call, method)

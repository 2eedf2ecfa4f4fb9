"""Where the actors are found, by whoever calls them.

A router, a client and a subscription speak to each other as if they were objects in the same
process; where they really are is the business of whoever provides these. Every method that crosses
from one to another (``subscription_actor``, ``router_actor``, ``reconciler_actor``) may be called
again with the same arguments (executions and usage records are known by their ids), so a provider
repeats a call whose fate it does not know, and raises ``ActorLost`` for one who stays away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from actors.interfaces.messages import Farewell
from actors.interfaces.reconciler_actor import ReconcilerActor
from actors.interfaces.router_actor import RouterActor
from actors.interfaces.subscription_actor import SubscriptionActor
from pool.errors import ConfigError
from pool.nodes.overview import KnownNode
from pool.subscriptions.spec import SubscriptionSpec


class Actors(Protocol):
    """Where the router is found, the subscriptions, and the reconciler."""

    def router(self) -> RouterActor: ...

    def subscription(self, subscription_id: str) -> SubscriptionActor: ...

    def reconciler(self) -> ReconcilerActor:
        """``Conflict`` where the pool has none, since no organization is configured."""
        ...


class SubscriptionActors(Protocol):
    """Where subscriptions are found, and how they come and go."""

    def subscription(self, subscription_id: str) -> SubscriptionActor: ...

    async def activate(self, spec: SubscriptionSpec) -> bool:
        """Make sure that the subscription runs, with this specification. Whether its actor is one
        of an earlier version or configuration, which does what it can and is to be renewed.
        ``ConfigError`` where it can run on no node, as it is configured.
        """
        ...

    def tell_of_losses(self, tell: Callable[[str], None]) -> None:
        """Have somebody told, by its id, of every subscription whose actor is lost as it is called
        from here.
        """
        ...

    async def renew(self, spec: SubscriptionSpec) -> None:
        """Have an actor leave in order, and its successor take its place."""
        ...

    async def fall_asleep(self, subscription_id: str, after: str | None) -> Farewell | None:
        """Have a subscription's actor leave, where it has nothing to do and nobody calls it; what
        it leaves, with what happened there after a cursor. None where it stays. Whatever this
        raises, the actor is gone.
        """
        ...

    async def release(self, spec: SubscriptionSpec, why: str) -> int:
        """Have a subscription that can run on no node let go of what it has, wherever that can be
        done: what waits goes on at another one, or ends with ``why``; what was lost with its node
        ends once its deadline has passed. Its actor comes up for that, starts nothing, and is gone
        afterwards. How many executions have not ended there yet.
        """
        ...

    async def deactivate(self, subscription_id: str) -> None:
        """End a subscription's actor; its ledger stays."""
        ...

    async def unplaced(self, specs: Sequence[SubscriptionSpec]) -> dict[str, ConfigError]:
        """Those of some subscriptions that can run on no node, as they are configured, by id, and
        why not.
        """
        ...

    async def nodes(self) -> tuple[KnownNode, ...]:
        """The nodes that live, and those that were seen to. Each is asked what it has, unless it
        said so a moment ago.
        """
        ...

"""Who reaches whom in a local pool: actors without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from actors.aiokit import Keyed
from actors.interfaces.messages import HandoffRequest, NotTaken
from actors.reconciler.reconciler import Reconciler
from actors.router.router import Router
from actors.runtime.nodes.releasing import let_go
from actors.subscription.subscription import Subscription
from pool.errors import ActorLost, ConfigError, Conflict
from pool.executions.session import SessionHome
from pool.nodes.inventory import Inventory
from pool.nodes.node_choice import Candidate
from pool.nodes.overview import KnownNode
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.values.examples import NOON

THIS_NODE = Candidate(
    name="ray-1",
    address="127.0.0.1",
    inventory=Inventory(node_id="node-of-the-tests", hostname="host1"),
)


class LonelyRouter:
    """A router that knows of nobody else."""

    async def hand_off(self, _: HandoffRequest) -> NotTaken:
        return NotTaken(reasons="nobody else is there", retry_at=None)

    async def session_home(self, session_id: str) -> SessionHome:
        return SessionHome(session_id=session_id, subscription_id="sub1", used_at=NOON)


class LonelyPeers:
    """For a subscription alone."""

    def router(self) -> Router:
        return cast(Router, LonelyRouter())

    def subscription(self, subscription_id: str) -> Subscription:
        raise ActorLost(subscription_id, "it is not there")


class Make(Protocol):
    """Makes an activation; ``released`` says why it only lets go of what it has."""

    async def __call__(
        self, wanted: SubscriptionSpec, released: str | None = None
    ) -> Subscription: ...


@dataclass
class LocalPeers:
    """Peers in this process. An activation can be killed: its calls then fail, its tasks stop."""

    make: Make
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    the_router: Router | None = None
    the_reconciler: Reconciler | None = None
    nowhere: dict[str, ConfigError] = field(default_factory=dict)
    """Those that no node can have, and why not."""
    one_at_a_time: Keyed[asyncio.Lock] = field(default_factory=lambda: Keyed(asyncio.Lock))

    def router(self) -> Router:
        if self.the_router is None:
            raise ActorLost("router", "it is not there")
        return self.the_router

    def subscription(self, subscription_id: str) -> Subscription:
        try:
            return self.subscriptions[subscription_id]
        except KeyError:
            raise ActorLost(subscription_id, "it is not there") from None

    def reconciler(self) -> Reconciler:
        if self.the_reconciler is None:
            raise Conflict("nothing can be reconciled")
        return self.the_reconciler

    async def activate(self, spec: SubscriptionSpec) -> None:
        """As with Ray, one activation is made, however many ask for it."""
        async with self.one_at_a_time[spec.id]:
            if spec.id in self.nowhere:
                raise self.nowhere[spec.id]
            known = self.subscriptions.get(spec.id)
            if known is None:
                self.subscriptions[spec.id] = await self.make(spec)
            else:
                await known.configure(spec)

    async def unplaced(self, specs: Sequence[SubscriptionSpec]) -> dict[str, ConfigError]:
        return {each.id: self.nowhere[each.id] for each in specs if each.id in self.nowhere}

    async def release(self, spec: SubscriptionSpec, why: str) -> int:
        self.subscriptions[spec.id] = await self.make(spec, released=why)
        try:
            return await let_go(self.subscriptions[spec.id], 5)
        finally:
            await self.deactivate(spec.id)

    def tell_of_losses(self, tell: Callable[[str], None]) -> None:
        """Nobody is lost here."""

    async def nodes(self) -> tuple[KnownNode, ...]:
        return (KnownNode(candidate=THIS_NODE, alive=True),)

    async def deactivate(self, subscription_id: str) -> None:
        subscription = self.subscriptions.pop(subscription_id, None)
        if subscription is not None:
            await subscription.close()

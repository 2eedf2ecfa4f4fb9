"""How the parts of the pool reach each other.

A router, a client and a subscription speak to each other as if they were objects in the same
process; where they really are is the business of whoever provides the ``Peers``. Every method that
crosses here may be called again with the same arguments (executions and usage records are known by
their ids), so a provider repeats a call whose fate it does not know, and raises ``PeerLost`` for
one who stays away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pool.subscriptions.spec import SubscriptionSpec

if TYPE_CHECKING:  # the peers know each other
    from actors.reconciler.reconciler import Reconciler
    from actors.router.router import Router
    from actors.subscription.subscription import Subscription


class Whole(Protocol):
    """Where the router is found, the subscriptions, and the reconciler."""

    def router(self) -> Router: ...

    def subscription(self, subscription_id: str) -> Subscription: ...

    def reconciler(self) -> Reconciler:
        """``Conflict`` where the pool has none, since no organization is configured."""
        ...


class Peers(Protocol):
    """Where subscriptions are found, and how they come and go."""

    def subscription(self, subscription_id: str) -> Subscription: ...

    async def activate(self, spec: SubscriptionSpec) -> None:
        """Make sure that the subscription runs, with this specification."""
        ...

    async def deactivate(self, subscription_id: str) -> None:
        """End a subscription's actor; its ledger stays."""
        ...

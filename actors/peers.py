"""How the parts of the pool reach each other.

A router and a client speak to subscriptions as if they were objects in the same process; where they
really are is the business of whoever provides the ``Peers``. Every method that crosses here may be
called again with the same arguments (executions and usage records are known by their ids), so a
provider repeats a call whose fate it does not know, and raises ``PeerLost`` for one who stays away.
"""

from __future__ import annotations

from typing import Protocol

from actors.subscription import Subscription
from pool.subscription import SubscriptionSpec


class Peers(Protocol):
    """Where subscriptions are found, and how they come and go."""

    def subscription(self, subscription_id: str) -> Subscription: ...

    async def activate(self, spec: SubscriptionSpec) -> None:
        """Make sure that the subscription runs, with this specification."""
        ...

    async def deactivate(self, subscription_id: str) -> None:
        """End a subscription's actor; its ledger stays."""
        ...

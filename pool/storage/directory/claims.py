"""Claims: execution ids taken in the directory; and the subscriptions that are registered there."""

from __future__ import annotations

from pool.keys.account import Reservation
from pool.subscriptions.spec import SubscriptionSpec
from pool.values import Instant, Value


class NewClaim(Value):
    """What a request takes in the directory before a subscription gets it."""

    execution_id: str
    key: str | None = None
    """The idempotency key, scoped by its caller."""
    digest: str
    """Of what is asked for: a key stands for one request."""
    at: Instant
    session_id: str
    tenant: str | None = None
    """Whom the session belongs to, if it begins with this."""
    reservation: Reservation | None = None
    """What it holds of its caller's key, where that is metered."""
    conversation: str | None = None
    """The digest of the one that its session has to hold, which nobody else goes on from then."""


class Claim(Value):
    """An execution id taken in the directory, with the digest of its request."""

    execution_id: str
    digest: str
    created_at: Instant
    subscription_id: str | None = None
    """The subscription that was asked last; None in stores of earlier versions, where nobody was
    asked yet."""
    placement: int = 0
    """The number of its last placement, from 1 on; 0 where that was made by an earlier version."""
    epoch: int = 0
    """The activation of that subscription for which it was placed; 0 where none was known."""

    def is_of(self, wanted: NewClaim) -> bool:
        """Whether it was taken for this very request, by this call or an earlier one."""
        return (self.execution_id, self.digest) == (wanted.execution_id, wanted.digest)


class Registration(Value):
    """A subscription that the pool knows."""

    spec: SubscriptionSpec
    declared: bool
    """It stands in ``pool.toml``; only there it can be removed."""
    created_at: Instant

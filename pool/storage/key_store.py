"""The protocol of a store of keys: the keys, what they have reserved, and what they have spent.

It lies where the directory lies, and like it may have one owner or be shared by several routers.
Reservations are made by ``Directory.claim``, with the claim of their execution: the transaction
reads the account, judges it by ``pool.keys.quotas.allowed``, and writes the reservation, while
nobody else judges or settles for the same key. So budgets hold however many ask at once. Every call
comes to the same when it is repeated; failures are ``StoreError``s, and nothing of the call was
kept then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from pool.keys.api_keys import ApiKey
from pool.keys.quotas import Account, Charge, HourSpent, Settled
from pool.values import Value


class KeptCharge(Value):
    """A charge with everything that is kept of it; not settled while it is open."""

    charge: Charge
    settled: Settled | None


class KeyHour(Value):
    """What a key has spent in an hour."""

    key_id: str
    spent: HourSpent


class KeyStore(Protocol):
    """The keys of a pool and their accounts."""

    async def add(self, key: ApiKey) -> ApiKey:
        """Keep a new key. One with its id that is there already is the answer.

        ``Conflict`` where the name is taken, by a revoked key too, or ``MAX_KEYS`` are kept.
        """
        ...

    async def change(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        """Replace a key by what ``change`` makes of it, which may be asked more than once.

        ``NotFound`` for an unknown id; what ``change`` raises comes through, and nothing is kept.
        """
        ...

    async def key(self, key_id: str) -> ApiKey | None: ...

    async def named(self, name: str) -> ApiKey | None: ...

    async def keys(self) -> Sequence[ApiKey]:
        """Oldest first, revoked ones included."""
        ...

    async def release(self, execution_id: str) -> None:
        """Let go of a reservation whose execution is nowhere. A settled one stays."""
        ...

    async def settle(self, charge: Charge, settled: Settled) -> None:
        """Put what an execution cost in the place of its reservation, once: later settlements of it
        change nothing. A cost counts even where its reservation is not there any more.
        """
        ...

    async def open_charges(self) -> Sequence[Charge]:
        """Reservations that were neither released nor settled, oldest first."""
        ...

    async def account(self, key_id: str, now: datetime) -> Account: ...

    async def expire(self, before: datetime) -> None:
        """Forget what was settled and spent before, and keys that were revoked before; those only
        while another key is in use, for a pool that ever had keys never opens again by itself.
        """
        ...

"""The stores of a pool, as they are opened: one protocol for the engines, and the pace of
retention.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.storage.reconciliations import Reconciliations


class Stores(Protocol):
    """Where ledgers and the directory are opened."""

    async def open_ledger(self, subscription_id: str, *, wait_seconds: float = 10.0) -> Ledger:
        """Take a subscription's ledger over: raise its epoch and shut earlier owners out.

        An earlier owner that cannot be shut out while it lives, or while it is in a transaction, is
        waited for, up to ``wait_seconds``; then ``StoreBusy``, saying who holds it. Raises
        ``StoreError`` for a store that cannot be read or written.
        """
        ...

    async def open_removed(self, subscription_id: str, *, wait_seconds: float = 10.0) -> Ledger:
        """Take over the ledger of a subscription that is registered no more, which nobody owns.

        ``StoreBusy`` where it is registered again, or somebody owns it after all; whoever puts it
        back takes the ledger over from this call, as from any earlier owner.
        """
        ...

    async def read_ledger(self, subscription_id: str) -> Ledger | None:
        """A subscription's ledger, to be read alone: its owner stays the owner, and writes on. None
        where no two can have it open.
        """
        ...

    async def ledgers(self) -> tuple[str, ...]:
        """The ids of all subscriptions that have a ledger, registered or not."""
        ...

    async def open_directory(self, *, wait_seconds: float = 10.0) -> Directory:
        """Join the directory, or take it over where it has one owner."""
        ...

    async def open_reconciliations(self, *, wait_seconds: float = 10.0) -> Reconciliations:
        """Take the reconciler's store over, as a ledger is."""
        ...


RETENTION_PERIOD = timedelta(hours=1)
"""How often whoever holds a store has it forget what is older than its retention."""

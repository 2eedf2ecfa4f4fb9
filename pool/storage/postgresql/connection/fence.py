"""The fence (G1): what a transaction that writes begins with, and how its fate is found out.

The rows of a subscription are written by one transaction at a time, under its owner's row. So the
row's ``seq`` shows whether the last one was committed, however its connection was lost.
"""

from __future__ import annotations

from typing import Protocol

from pool.errors import Fenced
from pool.storage.postgresql.connection.statements import Db, first_row, statements

_SQL = statements("owner")
NOBODY = 0
"""An epoch that no activation has: they begin with 1."""


class Fence(Protocol):
    @property
    def repeats(self) -> bool:
        """Whether a transaction in doubt is done again, and not looked up."""
        ...

    async def enter(self, db: Db) -> int:
        """The first statement of a transaction; a mark, by which its fate can be found out."""
        ...

    async def was_committed(self, db: Db, mark: int) -> bool | None:
        """What became of a transaction whose connection was lost; None where nobody can tell."""
        ...


class OwnerFence:
    """The fence of one activation, which writes one transaction after the other."""

    repeats = False

    def __init__(self, store: str, subscription_id: str, epoch: int) -> None:
        self._store = store
        self._mine = {"subscription_id": subscription_id, "epoch": epoch}

    async def enter(self, db: Db) -> int:
        """Raise ``Fenced`` where another activation owns the rows."""
        row = await first_row(db, _SQL["enter"], self._mine)
        if row is None:
            problem = f"epoch {self._mine['epoch']} has ended, another owns it now: leave at once"
            raise Fenced(self._store, problem)
        seq: int = row[0]
        return seq

    async def was_committed(self, db: Db, mark: int) -> bool | None:
        """Wait for the transaction to end, and see whether its seq is there."""
        row = await first_row(db, _SQL["fate"], self._mine)
        if row is None:
            return None
        epoch, seq, seq_before = row
        match epoch - self._mine["epoch"]:
            case 0:
                return bool(mark <= seq)
            case 1:  # taken over since; the new owner noted where this one had come to
                return bool(mark <= seq_before)
        return None


class NoFence:
    """Of the directory, which has no owner: whatever is written there comes to the same when it is
    written twice, so that what is in doubt is simply done again.
    """

    repeats = True

    async def enter(self, db: Db) -> int:  # noqa: ARG002 - there is nothing to enter
        return 0

    async def was_committed(self, db: Db, mark: int) -> bool | None:  # noqa: ARG002 - nobody asks
        return None

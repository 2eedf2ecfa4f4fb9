"""Opening stores in a database: the tables, the epoch, the shared connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from pool.errors import StoreBusy
from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.storage.owner import owned_name, this_process
from pool.storage.postgresql import schema
from pool.storage.postgresql.connection.address import Address
from pool.storage.postgresql.connection.commits import Commits
from pool.storage.postgresql.connection.connections import Connections
from pool.storage.postgresql.connection.failures import Lost, away, store_error
from pool.storage.postgresql.connection.fence import NoFence
from pool.storage.postgresql.connection.statements import Db, first_row, rows, run, statements
from pool.storage.postgresql.connection.transactions import PAUSE_SECONDS, Transactions
from pool.storage.postgresql.database import OwnedDatabase, SharedDatabase
from pool.storage.reconciliations import OWNER, Reconciliations

Result = TypeVar("Result")
_SQL = statements("owner")
LOOK_SECONDS = 10.0
"""For the database to be there, where it is only looked at: which ledgers it has, or what one holds
beside its owner."""


class PostgresqlStores:
    """The stores in one database: ledgers with one owner each, a directory shared by routers."""

    def __init__(self, url: str) -> None:
        """``postgresql://user:password@host:port/database``; ``?search_path=`` names a schema."""
        self._address = Address(url)

    async def open_ledger(self, subscription_id: str, *, wait_seconds: float = 10.0) -> Ledger:
        """Take a subscription's ledger over, whoever has it; see ``Stores``.

        An earlier owner is shut out by this, and learns of it with its next write. What is waited
        for is a transaction that it is in, and a database that is away.
        """
        return await self._open(subscription_id, wait_seconds)

    async def open_removed(self, subscription_id: str, *, wait_seconds: float = 10.0) -> Ledger:
        """Nobody who lives is shut out by this: whether it is registered is asked after its rows
        were locked, and then they are left alone.
        """
        return await self._open(subscription_id, wait_seconds, is_removed=True)

    async def read_ledger(self, subscription_id: str) -> Ledger | None:
        """It shows the epoch of its owner. What would be written by it is refused."""
        name = f"{self._address.name} {owned_name(subscription_id)}"

        async def look(db: Db) -> int:
            row = await first_row(db, _SQL["epoch"], {"subscription_id": subscription_id})
            return 0 if row is None else int(row[0])

        connections, epoch = await self._joined(name, LOOK_SECONDS, look)
        commits = Commits(name, subscription_id, epoch, connections, is_owner=False)
        return self._ledger(subscription_id, commits)

    async def ledgers(self) -> tuple[str, ...]:
        name = f"{self._address.name} ledgers"
        connections = await Connections.joined(self._address)
        try:
            found = await _opened(name, connections, LOOK_SECONDS, _ledgers)
        finally:
            await connections.left()
        return tuple(row[0] for row in found)

    async def _open(
        self, subscription_id: str, wait_seconds: float, *, is_removed: bool = False
    ) -> Ledger:
        name = f"{self._address.name} {owned_name(subscription_id)}"
        takeover = _Takeover(name, subscription_id, wait_seconds, is_removed=is_removed)
        connections, epoch = await self._joined(name, wait_seconds, takeover)
        return self._ledger(subscription_id, Commits(name, subscription_id, epoch, connections))

    def _ledger(self, subscription_id: str, commits: Commits) -> Ledger:
        mine = {"subscription_id": subscription_id}
        return Ledger(subscription_id, OwnedDatabase(commits, "ledger", always=mine))

    async def open_directory(self, *, wait_seconds: float = 10.0) -> Directory:
        """Join the directory; others may have it open at the same time."""
        name = f"{self._address.name} directory"
        connections, _ = await self._joined(name, wait_seconds, _nothing_more)
        transactions = Transactions(name, connections, NoFence())
        files = ("directory", "outbox", "keys")
        return Directory(SharedDatabase(name, connections, transactions, *files))

    async def open_reconciliations(self, *, wait_seconds: float = 10.0) -> Reconciliations:
        """Take the reconciler's rows over, as those of a subscription are: they have a row of their
        own in ``owner``, so that its writes are fenced as those of a ledger are.
        """
        name = f"{self._address.name} reconciler"
        takeover = _Takeover(name, OWNER, wait_seconds, has_subscription=False)
        connections, epoch = await self._joined(name, wait_seconds, takeover)
        return Reconciliations(
            OwnedDatabase(Commits(name, OWNER, epoch, connections), "reconciliations")
        )

    async def _joined(
        self, name: str, wait_seconds: float, then: Callable[[Db], Awaitable[Result]]
    ) -> tuple[Connections, Result]:
        """The connections of this process, and what came of what was to be done first; where that
        fails, they are given back.
        """
        connections = await Connections.joined(self._address)
        try:
            return connections, await _opened(name, connections, wait_seconds, then)
        except BaseException:
            await connections.left()
            raise


class _Takeover:
    """One more epoch of a subscription."""

    def __init__(
        self,
        store: str,
        subscription_id: str,
        wait_seconds: float,
        *,
        has_subscription: bool = True,
        is_removed: bool = False,
    ) -> None:
        self._store = store
        self._wait_seconds = wait_seconds
        self._has_subscription = has_subscription
        self._is_removed = is_removed
        self._mine = {
            "subscription_id": subscription_id,
            "holder": f"{this_process()} on {socket.gethostname()}",
        }

    async def __call__(self, db: Db) -> int:
        try:
            return await self._raised(db)
        except asyncpg.LockNotAvailableError:
            await db.execute("ROLLBACK")
            row = await first_row(db, _SQL["holder"], self._mine)
            problem = (
                f"is held by {row and row[0]}, for {self._wait_seconds:g} s and longer: stop it"
            )
            raise StoreBusy(self._store, problem) from None

    async def _raised(self, db: Db) -> int:
        await db.execute("BEGIN")
        await db.execute(f"SET LOCAL lock_timeout = {max(1, round(self._wait_seconds * 1000))}")
        epoch: int = (await first_row(db, _SQL["take"], self._mine))[0]
        if self._is_removed and await first_row(db, _SQL["is_registered"], self._mine):
            await db.execute("ROLLBACK")
            raise StoreBusy(self._store, "its subscription is registered: that owns it")
        if self._has_subscription:
            await run(db, _SQL["seat"], self._mine)
        await db.execute("COMMIT")
        return epoch


async def _ledgers(db: Db) -> list[Any]:
    return await rows(db, _SQL["ledgers"], {})


async def _nothing_more(_: Db) -> None:
    return None


async def _opened(
    store: str,
    connections: Connections,
    wait_seconds: float,
    then: Callable[[Db], Awaitable[Result]],
) -> Result:
    """Prepare the tables and do what comes next. A COMMIT in doubt is done again: one epoch more
    than was needed shuts nobody out that had a right to be in.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + wait_seconds
    while True:
        try:
            async with connections.lent() as db:
                await schema.prepare(store, db)
                return await then(db)
        except Lost as lost:
            if clock() >= until:
                raise away(store, lost) from None
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise store_error(store, error) from error
        await asyncio.sleep(PAUSE_SECONDS)

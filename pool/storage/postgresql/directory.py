"""The directory, which belongs to no subscription, shared by all routers. See
``pool.storage.protocol.Directory``.

There is no epoch here, since several routers write at the same time: unique keys, and updates on a
condition, decide between them. Each call is a transaction of its own; calls are not gathered, since
two routers with many claims in a transaction each would wait for one another. Every call comes to
the same when it is repeated, which is what is done where the fate of a commit is in doubt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pool.errors import NotFound, StoreError
from pool.executions.session import SessionHome, SessionMove
from pool.storage import rows as values
from pool.storage.documents import micros, readable
from pool.storage.export import exported_directory, loading_directory, registration_columns
from pool.storage.paging import Bindings, Page, homes_below, page
from pool.storage.postgresql.connection.connections import Connections
from pool.storage.postgresql.connection.failures import no_backup
from pool.storage.postgresql.connection.statements import (
    Db,
    first_row,
    rows,
    run,
    run_many,
    statements,
)
from pool.storage.postgresql.connection.transactions import Raised, Transactions
from pool.storage.postgresql.keys import PostgresqlKeyStore, reserve
from pool.storage.postgresql.outbox import PostgresqlOutbox
from pool.storage.protocol import Claim, DirectoryPortion, NewClaim, Registration

Result = TypeVar("Result")
_SQL = {**statements("directory"), **statements("outbox"), **statements("keys")}
_EXPIRED_AT_ONCE = 1000
_TRIES = 5
"""A claim that stands in the way may be forgotten before it is read; hardly so often."""


async def _located(db: Db, execution_id: str, key: str | None = None) -> Claim | None:
    row = await first_row(db, _SQL["locate"], {"execution_id": execution_id, "key": key})
    return None if row is None else values.claim(row)


async def _claimed(db: Db, wanted: NewClaim) -> Claim | None:
    """Take an id and a key; a claim that stands in the way is used instead, and may be forgotten
    before it is read.
    """
    row = values.claim_columns(wanted)
    is_new = await run(db, _SQL["claim"], row) > 0
    claim = await _located(db, wanted.execution_id, wanted.key)
    if claim is not None and not is_new:
        await run(db, _SQL["use_claim"], {**row, "execution_id": claim.execution_id})
    return claim


async def _placed(db: Db, placing: Bindings) -> Claim:
    """Place an execution if it stands where it is said to; its session counts as used when the
    claim was.
    """
    await run(db, _SQL["place"], placing)
    claim = await _located(db, placing["execution_id"])
    if claim is None:
        raise NotFound("execution", placing["execution_id"])
    return claim


async def _home(db: Db, session_id: str) -> SessionHome | None:
    row = await first_row(db, _SQL["session_home"], {"session_id": session_id})
    return None if row is None else values.session_home(row)


class PostgresqlDirectory:
    """The registry, and the index of executions and sessions."""

    def __init__(self, store: str, connections: Connections, transactions: Transactions) -> None:
        self._store = store
        self._connections = connections
        self._transactions = transactions
        self.outbox = PostgresqlOutbox(transactions, self._check_open)
        self._is_closed = False
        self.keys = PostgresqlKeyStore(transactions)

    async def _write(self, work: Callable[[Db], Awaitable[Result]]) -> Result:
        self._check_open()
        answer: Any = (await self._transactions.write([work]))[0]
        if isinstance(answer, Raised):
            raise answer.error
        result: Result = answer
        return result

    async def _read(self, work: Callable[[Db], Awaitable[Result]]) -> Result:
        self._check_open()
        return await self._transactions.read(work)

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError(self._store, "is closed")

    async def claim(self, wanted: NewClaim, subscription_id: str) -> Claim:
        """The claim comes first, then the account of the key, then the session: whoever takes
        several of these rows takes them in this order, so that nobody waits in a circle.
        """
        placing = {
            "execution_id": wanted.execution_id,
            "subscription_id": subscription_id,
            "session_id": wanted.session_id,
            "instead_of": None,
        }

        async def work(db: Db) -> Claim:
            claim = await self._claimed(db, wanted)
            if not claim.is_of(wanted):
                return claim
            if wanted.reservation is not None:
                await reserve(db, wanted.reservation)
            return await _placed(db, placing)

        return await self._write(work)

    async def _claimed(self, db: Db, wanted: NewClaim) -> Claim:
        for _ in range(_TRIES):
            claim = await _claimed(db, wanted)
            if claim is not None:
                return claim
        raise StoreError(self._store, "a claim comes and goes: try again")

    async def place(
        self, execution_id: str, subscription_id: str, session_id: str, *, instead_of: str | None
    ) -> Claim:
        placing = {
            "execution_id": execution_id,
            "subscription_id": subscription_id,
            "session_id": session_id,
            "instead_of": instead_of,
        }
        return await self._write(lambda db: _placed(db, placing))

    async def locate(self, execution_id: str, key: str | None = None) -> Claim | None:
        return await self._read(lambda db: _located(db, execution_id, key))

    async def session_home(self, session_id: str) -> SessionHome | None:
        return await self._read(lambda db: _home(db, session_id))

    async def session_homes(
        self, *, limit: int, cursor: str | None = None, subscription_id: str | None = None
    ) -> Page[SessionHome]:
        wanted = homes_below(limit, cursor, subscription_id)
        found = await self._read(lambda db: rows(db, _SQL["session_homes"], wanted))
        return page("sessions", limit, found, values.listed_home)

    async def move_session(
        self, session_id: str, *, instead_of: str, subscription_id: str, with_history: bool
    ) -> SessionHome | None:
        moving = {
            "session_id": session_id,
            "instead_of": instead_of,
            "subscription_id": subscription_id,
            "with_history": with_history,
        }

        async def work(db: Db) -> SessionHome | None:
            await run(db, _SQL["move_session"], moving)
            return await _home(db, session_id)

        return await self._write(work)

    async def session_arrived(self, session_id: str, subscription_id: str, now: datetime) -> bool:
        where = {"session_id": session_id, "subscription_id": subscription_id}
        arrived = False

        async def work(db: Db) -> bool:
            nonlocal arrived  # done again, there is nothing left to fetch
            row = await first_row(db, _SQL["session_to_fetch"], where)
            if row is not None:
                await run(db, _SQL["session_fetched"], {"session_id": session_id})
                move = values.arrival(session_id, row[0], subscription_id, now)
                await run(db, _SQL["add_session_move"], move)
                arrived = True
            return arrived

        return await self._write(work)

    async def session_moves(self, session_id: str) -> tuple[SessionMove, ...]:
        wanted = {"session_id": session_id}
        found = await self._read(lambda db: rows(db, _SQL["session_moves"], wanted))
        return tuple(values.session_move(row) for row in found)

    async def forget_session(self, session_id: str) -> bool:
        wanted = {"session_id": session_id}
        was_there = False

        async def work(db: Db) -> bool:
            nonlocal was_there
            await run(db, _SQL["forget_session_moves"], wanted)
            was_there = bool(await run(db, _SQL["forget_session"], wanted)) or was_there
            return was_there

        return await self._write(work)

    async def register(self, registration: Registration) -> None:
        row = registration_columns(registration)
        await self._write(lambda db: run(db, _SQL["register"], row))

    async def unregister(self, subscription_id: str) -> bool:
        was_there = False

        async def work(db: Db) -> bool:
            nonlocal was_there  # done again, it finds nothing to remove
            was_there = (
                bool(await run(db, _SQL["unregister"], {"id": subscription_id})) or was_there
            )
            return was_there

        return await self._write(work)

    async def registrations(self) -> tuple[Registration, ...]:
        """Oldest first."""
        found = await self._read(lambda db: rows(db, _SQL["registrations"], {}))
        return tuple(readable(Registration, (row[0] for row in found)))

    async def expire(self, before: datetime) -> int:
        """In transactions of bounded size; the number of claims."""
        edge = {"before": micros(before), "limit": _EXPIRED_AT_ONCE}
        await self._expire("expire_session_homes", edge)
        await self._write(lambda db: run(db, _SQL["expire_session_moves"], {}))
        return await self._expire("expire_claims", edge)

    async def _expire(self, statement: str, edge: dict[str, int]) -> int:
        total = removed = await self._write(lambda db: run(db, _SQL[statement], edge))
        while removed == edge["limit"]:
            removed = await self._write(lambda db: run(db, _SQL[statement], edge))
            total += removed
        return total

    def export(self) -> AsyncIterator[DirectoryPortion]:
        return exported_directory(self._found)

    async def load(self, portion: DirectoryPortion) -> None:
        """Not to be repeated by itself: in doubt, what was loaded stands in the way of itself, and
        ``StoreError`` says so.
        """

        async def work(db: Db) -> None:
            for name, many in loading_directory(portion):
                await run_many(db, _SQL[name], many)

        await self._write(work)

    async def _found(self, statement: str, wanted: Bindings) -> list[Any]:
        return await self._read(lambda db: rows(db, _SQL[statement], wanted))

    async def backup(self, file: Path) -> None:
        """Left to PostgreSQL: raises ``NotSupported``."""
        raise no_backup(file)

    async def close(self) -> None:
        """Leave the connections. Twice is once."""
        if not self._is_closed:
            self._is_closed = True
            await self._connections.left()

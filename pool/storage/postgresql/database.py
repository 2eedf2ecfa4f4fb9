"""PostgreSQL, as the stores speak to it. See ``pool.storage.database``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from pool.errors import StoreError
from pool.storage.database import Bindings, Db, Result, Work
from pool.storage.postgresql.connection import statements as sql
from pool.storage.postgresql.connection.commits import Commits
from pool.storage.postgresql.connection.connections import Connections
from pool.storage.postgresql.connection.failures import no_backup
from pool.storage.postgresql.connection.statements import Statement
from pool.storage.postgresql.connection.transactions import Raised, Transactions


class _Statements:
    """The statements of a store's files, and what is bound in each of them."""

    def __init__(self, files: Iterable[str], always: Bindings) -> None:
        self._sql = {name: each for file in files for name, each in sql.statements(file).items()}
        self._always = always

    def done(self, work: Work[Result]) -> Callable[[sql.Db], Coroutine[Any, Any, Result]]:
        return lambda connection: work(_Transaction(connection, self._sql, self._always))


class OwnedDatabase:
    """Rows of the schema of all that have one owner, whose calls share commits."""

    def __init__(self, commits: Commits, *files: str, always: Bindings | None = None) -> None:
        self._commits = commits
        self._statements = _Statements(files, always or {})

    @property
    def epoch(self) -> int:
        return self._commits.epoch

    @property
    def lost(self) -> asyncio.Event:
        return self._commits.lost

    async def write(self, work: Work[Result]) -> Result:
        return await self._commits.write(self._statements.done(work))

    async def read(self, work: Work[Result], *, snapshot: bool = False) -> Result:
        return await self._commits.read(self._statements.done(work), snapshot=snapshot)

    async def forget_removed(self) -> None:
        """Left to PostgreSQL, which frees what was removed as it vacuums the table."""

    async def backup(self, file: Path, *, without: str | None = None) -> None:
        """Left to PostgreSQL: raises ``NotSupported``."""
        del without
        raise no_backup(file)

    async def close(self) -> None:
        await self._commits.close()


class SharedDatabase:
    """Rows of the schema of all that several routers write at the same time.

    There is no epoch here. Each call is a transaction of its own; calls are not gathered, since two
    routers with many claims in a transaction each would wait for one another. A call is done again
    where the fate of its commit is in doubt.
    """

    epoch = 0

    def __init__(
        self, store: str, connections: Connections, transactions: Transactions, *files: str
    ) -> None:
        self.lost = asyncio.Event()
        """Never set: nobody else can take over what several write."""
        self._store = store
        self._connections = connections
        self._transactions = transactions
        self._statements = _Statements(files, {})
        self._is_closed = False

    async def write(self, work: Work[Result]) -> Result:
        self._check_open()
        answer: Any = (await self._transactions.write([self._statements.done(work)]))[0]
        if isinstance(answer, Raised):
            raise answer.error
        result: Result = answer
        return result

    async def read(self, work: Work[Result], *, snapshot: bool = False) -> Result:
        self._check_open()
        return await self._transactions.read(self._statements.done(work), snapshot=snapshot)

    async def forget_removed(self) -> None:
        """Left to PostgreSQL, which frees what was removed as it vacuums the table."""

    async def backup(self, file: Path, *, without: str | None = None) -> None:
        """Left to PostgreSQL: raises ``NotSupported``."""
        del without
        raise no_backup(file)

    async def close(self) -> None:
        """Leave the connections."""
        if not self._is_closed:
            self._is_closed = True
            await self._connections.left()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError(self._store, "is closed")


class _Transaction(Db):
    def __init__(
        self, connection: sql.Db, statements: Mapping[str, Statement], always: Bindings
    ) -> None:
        self._connection = connection
        self._sql = statements
        self._always = always

    async def rows(self, statement: str, bindings: Bindings | None = None) -> list[Any]:
        return await sql.rows(self._connection, self._sql[statement], self._bound(bindings))

    async def first(self, statement: str, bindings: Bindings | None = None) -> Any:
        return await sql.first_row(self._connection, self._sql[statement], self._bound(bindings))

    async def run(self, statement: str, bindings: Bindings | None = None) -> int:
        return await sql.run(self._connection, self._sql[statement], self._bound(bindings))

    async def run_many(self, statement: str, many: Iterable[Bindings]) -> None:
        bound = [self._bound(each) for each in many]
        await sql.run_many(self._connection, self._sql[statement], bound)

    def _bound(self, bindings: Bindings | None) -> Bindings:
        return {**(bindings or {}), **self._always}

"""What a contract needs to know of an engine beside its protocol: rows as an earlier release kept
them, and how much a call makes it write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

import apsw
import asyncpg

from pool.executions.row import ExecutionRow
from pool.storage.documents import document
from pool.storage.ledger.ledger import Ledger
from pool.storage.ledger.rows import Columns, execution_columns, record_columns
from pool.storage.postgresql import PostgresqlStores
from pool.storage.postgresql.connection.statements import migrations as postgresql_migrations
from pool.storage.sqlite import SqliteStores
from pool.storage.sqlite.statements import migrations as sqlite_migrations
from pool.usage.records import UsageRecord

_REQUESTS = "-- What an execution was asked"
"""How the migration begins that set requests apart."""
_PLACEMENTS = "-- How often an execution was placed"
_INSERT = """
INSERT INTO executions (id, status, session_id, created_at, ended_at, document)
VALUES (:id, :status, :session_id, :created_at, :ended_at, :document)
"""
_INSERT_RECORD = """
INSERT INTO usage_records (id, timestamp, cost_nano_usd, source, document)
VALUES (:id, :timestamp, :cost_nano_usd, :source, :document)
"""


class Engine(Protocol):
    """One kind of store."""

    stores: SqliteStores | PostgresqlStores

    async def make_earlier(
        self, rows: Iterable[ExecutionRow], records: Iterable[UsageRecord] = ()
    ) -> None:
        """Make the ledger ``sub1`` of the release before requests stood apart from documents."""
        ...

    async def make_earlier_directory(self, execution_id: str, subscription_id: str) -> None:
        """Make a directory of the release before placements were counted, with one claim."""
        ...

    async def change(self, script: str, migration: str | None = None) -> None:
        """Run a script where the rows of ``sub1`` are while nobody has it open, and then the
        migration that begins so.
        """
        ...

    async def watch(self, ledger: Ledger) -> None:
        """Count what is written from here on."""
        ...

    async def written(self) -> int:
        """Bytes that went into the engine's log since the last call."""
        ...


_CLAIM = (
    "INSERT INTO claims (execution_id, digest, created_at, used_at, subscription_id) "
    "VALUES ('{}', 'd', 0, 0, '{}')"
)


def _earlier(
    migrations: Iterable[tuple[int, str]], before: str = _REQUESTS
) -> Iterator[tuple[int, str]]:
    return takewhile(lambda each: not each[1].startswith(before), migrations)


def _named(migrations: Iterable[tuple[int, str]], begins: str | None) -> str:
    if begins is None:
        return ""
    (script,) = (script for _, script in migrations if script.startswith(begins))
    return script


def _earlier_columns(row: ExecutionRow) -> Columns:
    return {**execution_columns(row), "document": document(row)}


class SqliteEngine:
    """A file."""

    def __init__(self, folder: Path) -> None:
        self.stores = SqliteStores(folder)
        self._file = folder / "subscriptions" / "sub1" / "ledger.sqlite"
        self._pages: list[int] = []

    async def make_earlier(
        self, rows: Iterable[ExecutionRow], records: Iterable[UsageRecord] = ()
    ) -> None:
        self._file.parent.mkdir(parents=True)
        db = apsw.Connection(str(self._file))
        for number, script in _earlier(sqlite_migrations("ledger")):
            db.execute(script)
            db.pragma("user_version", number)
        db.executemany(_INSERT, [_earlier_columns(row) for row in rows])
        db.executemany(_INSERT_RECORD, [record_columns(record) for record in records])
        db.close()

    async def make_earlier_directory(self, execution_id: str, subscription_id: str) -> None:
        file = self._file.parents[2] / "directory.sqlite"
        file.parent.mkdir(parents=True)
        db = apsw.Connection(str(file))
        for number, script in _earlier(sqlite_migrations("directory"), _PLACEMENTS):
            db.execute(script)
            db.pragma("user_version", number)
        db.execute(_CLAIM.format(execution_id, subscription_id))
        db.close()

    async def change(self, script: str, migration: str | None = None) -> None:
        db = apsw.Connection(str(self._file))
        db.execute(script)
        db.execute(_named(sqlite_migrations("ledger"), migration))
        db.close()

    async def watch(self, ledger: Ledger) -> None:
        def hook(_: apsw.Connection, __: str, pages: int) -> int:
            self._pages.append(pages)  # of the whole log: with a hook nothing shortens it
            return apsw.SQLITE_OK

        commits: Any = ledger
        await commits._database._commits.read(lambda db: db.set_wal_hook(hook))

    async def written(self) -> int:
        first, last = (self._pages[0], self._pages[-1]) if self._pages else (0, 0)
        self._pages = self._pages[-1:]
        return (last - first) * 4096


class PostgresqlEngine:
    """A schema."""

    def __init__(self, url: str) -> None:
        self.stores = PostgresqlStores(url)
        self._url = url
        self._at = 0

    async def make_earlier(
        self, rows: Iterable[ExecutionRow], records: Iterable[UsageRecord] = ()
    ) -> None:
        db = await asyncpg.connect(self._url)
        await db.execute("CREATE TABLE schema_version (version integer NOT NULL)")
        for number, script in _earlier(postgresql_migrations()):
            await db.execute(script)
            await db.execute("INSERT INTO schema_version VALUES ($1)", number)
        named = ("id", "status", "session_id", "created_at", "ended_at", "document")
        insert = f"INSERT INTO executions (subscription_id, {', '.join(named)}) "
        insert += "VALUES ('sub1', $1, $2, $3, $4, $5, $6)"
        columns = [_earlier_columns(row) for row in rows]
        await db.executemany(insert, [[each[name] for name in named] for each in columns])
        of_record = ("id", "timestamp", "cost_nano_usd", "source", "document")
        insert = f"INSERT INTO usage_records (subscription_id, {', '.join(of_record)}) "
        insert += "VALUES ('sub1', $1, $2, $3, $4, $5)"
        kept = [record_columns(record) for record in records]
        await db.executemany(insert, [[each[name] for name in of_record] for each in kept])
        await db.close()

    async def make_earlier_directory(self, execution_id: str, subscription_id: str) -> None:
        db = await asyncpg.connect(self._url)
        await db.execute("CREATE TABLE schema_version (version integer NOT NULL)")
        for number, script in _earlier(postgresql_migrations(), _PLACEMENTS):
            await db.execute(script)
            await db.execute("INSERT INTO schema_version VALUES ($1)", number)
        await db.execute(_CLAIM.format(execution_id, subscription_id))
        await db.close()

    async def change(self, script: str, migration: str | None = None) -> None:
        db = await asyncpg.connect(self._url)
        await db.execute(f"{script};{_named(postgresql_migrations(), migration)}")
        await db.close()

    async def watch(self, _: Ledger) -> None:
        await self.written()

    async def written(self) -> int:
        db = await asyncpg.connect(self._url)
        try:
            at: Decimal = await db.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'")
        finally:
            await db.close()
        grown, self._at = int(at) - self._at, int(at)
        return grown

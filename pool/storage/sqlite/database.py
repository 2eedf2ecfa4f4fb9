"""SQLite, as the stores speak to it. See ``pool.storage.database``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from pool.storage.database import Bindings, Db, Result, Work
from pool.storage.sqlite.commits import Commits
from pool.storage.sqlite.connection import copy_into, empty_log
from pool.storage.sqlite.statements import statements


class SqliteDatabase:
    """One file, for the owner who opened it. ``files`` are those of its statements."""

    def __init__(self, commits: Commits, *files: str) -> None:
        self._commits = commits
        self._sql = {name: sql for file in files for name, sql in statements(file).items()}

    @property
    def epoch(self) -> int:
        return self._commits.epoch

    @property
    def lost(self) -> asyncio.Event:
        return self._commits.lost

    async def write(self, work: Work[Result]) -> Result:
        return await self._commits.write(self._done(work))

    async def read(self, work: Work[Result], *, snapshot: bool = False) -> Result:
        """On the store's thread nothing changes between two statements."""
        del snapshot
        return await self._commits.read(self._done(work))

    async def forget_removed(self) -> None:
        """It was overwritten in the file, and stands in the log until that is emptied."""
        await self._commits.read(empty_log)

    async def backup(self, file: Path, *, without: str | None = None) -> None:
        removal = None if without is None else self._sql[without]
        await self._commits.read(partial(copy_into, file=file, removal=removal))

    async def close(self) -> None:
        await self._commits.close()

    def _done(self, work: Work[Result]) -> Callable[[apsw.Connection], Result]:
        return lambda connection: _result(work(_Transaction(connection, self._sql)))


class _Transaction(Db):
    """Statements are run at once: nothing is waited for on the store's thread."""

    def __init__(self, connection: apsw.Connection, sql: Mapping[str, str]) -> None:
        self._connection = connection
        self._sql = sql

    async def rows(self, statement: str, bindings: Bindings | None = None) -> list[Any]:
        return self._connection.execute(self._sql[statement], bindings).fetchall()

    async def first(self, statement: str, bindings: Bindings | None = None) -> Any:
        return next(iter(await self.rows(statement, bindings)), None)

    async def run(self, statement: str, bindings: Bindings | None = None) -> int:
        await self.rows(statement, bindings)
        return self._connection.changes()

    async def run_many(self, statement: str, many: Iterable[Bindings]) -> None:
        self._connection.executemany(self._sql[statement], many)


def _result(work: Coroutine[Any, Any, Result]) -> Result:
    """What work comes to that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    finally:
        work.close()
    raise RuntimeError("work on a store waited for something else than the store")

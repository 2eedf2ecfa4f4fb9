"""A database, as the stores speak to it.

Each store is written once and stands on this: statements by their names, run in transactions. The
engines differ in their SQL, which each keeps in files of its own under the same names, and in how a
transaction is begun, fenced and made durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")
Bindings = dict[str, Any]
"""Values of a statement's parameters. It takes those that it names."""


class Db(Protocol):
    """A transaction."""

    async def rows(self, statement: str, bindings: Bindings | None = None) -> list[Any]: ...

    async def first(self, statement: str, bindings: Bindings | None = None) -> Any:
        """The first row; None where there is none."""
        ...

    async def run(self, statement: str, bindings: Bindings | None = None) -> int:
        """How many rows the statement has written; of several, the last one."""
        ...

    async def run_many(self, statement: str, many: Iterable[Bindings]) -> None:
        """Once for each of the bindings."""
        ...


Work = Callable[[Db], Coroutine[Any, Any, Result]]
"""What is done in a transaction. May be done more than once; only the last time is kept, so it
leaves nothing behind elsewhere but what may be done twice. It waits for nothing but the database.
"""


Loading = list[tuple[str, list[Bindings]]]
"""Statements by their names, each with the bindings that it is run with."""


async def run_all(db: Db, loading: Loading) -> None:
    for statement, many in loading:
        await db.run_many(statement, many)


class Database(Protocol):
    """The rows of one store, for whoever opened it.

    When a method returns, what it wrote survives kill -9 and power loss; when it raises anything
    but ``CommitUnknown``, nothing of it was kept. Failures are ``StoreError``s. Safe to call from
    many tasks of one event loop.
    """

    @property
    def epoch(self) -> int:
        """The number of this owner, of a store that has one at a time."""
        ...

    @property
    def lost(self) -> asyncio.Event:
        """Set once this owner can never write again: fenced, or a commit of unknown fate."""
        ...

    async def write(self, work: Work[Result]) -> Result: ...

    async def read(self, work: Work[Result], *, snapshot: bool = False) -> Result:
        """With ``snapshot``, all its statements see the rows of one instant."""
        ...

    async def forget_removed(self) -> None:
        """See to it that what was removed cannot be read from the store's files either."""
        ...

    async def backup(self, file: Path, *, without: str | None = None) -> None:
        """Write a copy, consistent in itself, to a file that is not there yet; writes wait for it.
        ``without`` names a statement that removes from the copy what is to hold here alone.

        ``NotSupported`` where the engine has better tools of its own.
        """
        ...

    async def close(self) -> None:
        """Let go of the store. Twice is once."""
        ...

"""Transactions that survive a lost connection, and answer the truth about a commit.

What is promised:

- before the COMMIT is sent, nothing is kept whatever happens, and losses that pass are tried again
  for ``AWAY_SECONDS``; after that the caller gets the error that the database is away;
- a connection lost at the COMMIT leaves its fate open. It is looked up on another connection, for
  up to ``DOUBT_SECONDS``, and the answer is what was found: the results, or another try;
- only where nobody can tell, ``CommitUnknown``.

Several calls may share a transaction. Where one of them fails, it is done again with a savepoint
for each, so that the failure leaves the others alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from pool.errors import CommitUnknown, PoolError
from pool.storage.postgresql.connection.connections import Connections
from pool.storage.postgresql.connection.failures import Lost, away, is_of_all, reason, store_error
from pool.storage.postgresql.connection.fence import Fence
from pool.storage.postgresql.connection.statements import Db

Result = TypeVar("Result")
Work = Callable[[Db], Awaitable[Result]]
"""May run more than once; only the last run is kept."""

AWAY_SECONDS = 2.0
"""Covers a restart of the server; callers should not wait longer to learn that it is away."""
DOUBT_SECONDS = 10.0
"""Covers a crash recovery: what is in doubt is worth a longer wait than what can be refused."""
PAUSE_SECONDS = 0.1


class Raised(NamedTuple):
    """The answer to a call that failed."""

    error: Exception


class _InDoubt(Exception):
    """A COMMIT was sent and not answered."""

    def __init__(self, mark: int, answers: list[Any], why: str) -> None:
        super().__init__(mark, answers, why)
        self.mark = mark
        self.answers = answers
        self.why = why


class Transactions:
    """The transactions of one store."""

    def __init__(self, store: str, connections: Connections, fence: Fence) -> None:
        self._store = store
        self._connections = connections
        self._fence = fence

    async def write(self, works: Sequence[Work[Any]]) -> list[Any]:
        """The result of each, or ``Raised``, once they are kept.

        Raises ``Fenced`` and ``CommitUnknown``, and ``StoreError`` where nothing was kept.
        """
        doubt: _InDoubt | None = None
        until = _now() + AWAY_SECONDS
        while True:
            try:
                async with self._connections.lent() as db:
                    if doubt is not None and not self._fence.repeats:
                        if await self._was_committed(db, doubt):
                            return doubt.answers
                        doubt = None
                    return await self._attempt(db, works)
            except _InDoubt as in_doubt:
                if doubt is None:
                    until = _now() + DOUBT_SECONDS
                doubt = in_doubt
            except PoolError:
                raise
            except Exception as error:
                if doubt is None and not isinstance(error, Lost):
                    raise store_error(self._store, error) from error
                if _now() >= until:
                    raise self._given_up(doubt, error) from None
            await asyncio.sleep(PAUSE_SECONDS)

    async def read(self, work: Work[Result], *, snapshot: bool = False) -> Result:
        """Its result; with ``snapshot``, all its statements see the rows of one instant."""
        until = _now() + AWAY_SECONDS
        while True:
            try:
                async with self._connections.lent() as db:
                    return await (_in_snapshot(db, work) if snapshot else work(db))
            except Lost as lost:
                if _now() >= until:
                    raise away(self._store, lost) from None
            except PoolError:
                raise
            except Exception as error:
                raise store_error(self._store, error) from error
            await asyncio.sleep(PAUSE_SECONDS)

    def _given_up(self, doubt: _InDoubt | None, error: Exception) -> PoolError:
        if doubt is None:
            return away(self._store, error)
        problem = f"the fate of a commit is unknown ({doubt.why}): open it again and ask by id"
        return CommitUnknown(self._store, problem)

    async def _was_committed(self, db: Db, doubt: _InDoubt) -> bool:
        committed = await self._fence.was_committed(db, doubt.mark)
        if committed is None:
            raise self._given_up(doubt, doubt)
        return committed

    async def _attempt(self, db: Db, works: Sequence[Work[Any]]) -> list[Any]:
        """Straight through first: savepoints triple the round trips, and failures are rare."""
        mark = await self._begun(db)
        answers = await self._until_one_fails(db, works)
        if isinstance(answers[-1], Raised):
            await db.execute("ROLLBACK")
            if len(works) == 1:
                return answers
            mark = await self._begun(db)
            answers = [await self._in_savepoint(db, work) for work in works]
        try:
            ended = await db.execute("COMMIT")
        except Exception as error:
            raise _InDoubt(mark, answers, reason(error)) from error
        if ended != "COMMIT":
            raise Lost("the transaction was rolled back")
        return answers

    async def _begun(self, db: Db) -> int:
        await db.execute("BEGIN")
        return await self._fence.enter(db)

    async def _until_one_fails(self, db: Db, works: Sequence[Work[Any]]) -> list[Any]:
        answers: list[Any] = []
        for work in works:
            answers.append(await self._outcome(db, work))
            if isinstance(answers[-1], Raised):
                break
        return answers

    async def _in_savepoint(self, db: Db, work: Work[Any]) -> Any:
        await db.execute("SAVEPOINT call")
        answer = await self._outcome(db, work)
        if isinstance(answer, Raised):
            await db.execute("ROLLBACK TO call")
        await db.execute("RELEASE call")
        return answer

    async def _outcome(self, db: Db, work: Work[Any]) -> Any:
        try:
            return await work(db)
        except PoolError as error:
            return Raised(error)
        except Exception as error:
            if is_of_all(error):
                raise
            return Raised(store_error(self._store, error))


async def _in_snapshot(db: Db, work: Work[Result]) -> Result:
    await db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    result = await work(db)
    await db.execute("COMMIT")
    return result


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Group commit: one thread, one connection, one sync for all who wait.

Calls gather while a commit runs, and the next takes them all: one transaction, each call in a
savepoint of its own, so that one that fails leaves its neighbours alone. Alone a caller gets 4-5k
durable rows/s; 64 at a time get more than ten times that. What it promises:

- a write is answered after its COMMIT has reached the disk, never before (G2);
- every transaction checks the epoch first; a stale owner writes nothing, is answered with
  ``Fenced``, and its store is closed for good (G1);
- an error before the commit, or a disk without room, leaves nothing behind and the store open: it
  serves reads, and tries again with the next write;
- any other error of the commit itself is ``CommitUnknown``, and the store is closed: a sync that
  failed is never repeated, since the kernel may have dropped what it could not write;
- a read sees every write that was answered before it was asked for.

A call that is cancelled while it waits may still have been kept. The queue holds as many calls as
there are tasks waiting; admission bounds those. The thread is a daemon: a store that nobody closed
does not keep the interpreter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any, NamedTuple, TypeVar

import apsw

from pool.errors import CommitUnknown, Fenced, StoreError
from pool.storage.sqlite.connection import (
    abandon,
    epoch_of,
    leave,
    open_store,
    roll_back,
    store_error,
)

Result = TypeVar("Result")
Work = Callable[[apsw.Connection], Result]

CLOSE_SECONDS = 10.0
"""Long enough for a checkpoint of a full log on a slow disk."""

_WHOLE_BATCH = (
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.NoMemError,
)
"""Errors of the store, not of the call that met them: SQLite may have undone everything already."""


class _Raised(NamedTuple):
    """The answer to a call that failed."""

    error: Exception


class _Call(NamedTuple):
    work: Work[Any]
    answer: asyncio.Future[Any]
    writes: bool


def _again(error: StoreError) -> StoreError:
    """An error of its own for each who waits: a traceback belongs to one task."""
    return type(error)(*error.args)


def _resolve(answers: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, _Raised):
            future.set_exception(answer.error)
        else:
            future.set_result(answer)


class Commits:
    """A store's thread, and the calls that wait for it. Bound to the event loop it was made in."""

    def __init__(self, path: Path, schema: str, wait_seconds: float) -> None:
        self.path = path
        self.epoch = 0
        self.lost = asyncio.Event()
        self._schema = schema
        self._wait_seconds = wait_seconds
        self._loop = asyncio.get_running_loop()
        self._opened = self._loop.create_future()
        self._gone = self._loop.create_future()
        self._changed = Condition()
        self._pending: list[_Call] = []
        self._ended: StoreError | None = None
        self._closing = Event()
        self._thread = Thread(target=self._run, name=f"store {path.name}", daemon=True)

    @classmethod
    async def opened(cls, path: Path, schema: str, wait_seconds: float) -> Commits:
        """Take the store over, see ``open_store``."""
        commits = cls(path, schema, wait_seconds)
        commits._thread.start()
        try:
            await commits._opened
        except BaseException:
            commits._end(StoreError(str(path), "was not opened"))
            raise
        return commits

    async def write(self, work: Work[Result]) -> Result:
        """Run ``work`` in a transaction; its result once that is on the disk."""
        return await self._ask(work, writes=True)

    async def read(self, work: Work[Result]) -> Result:
        return await self._ask(work, writes=False)

    async def close(self) -> None:
        """Answer what was asked before, close the file and end the thread. Twice is once."""
        self._end(StoreError(str(self.path), "is closed"))
        await asyncio.wait([self._gone], timeout=CLOSE_SECONDS)
        if not self._gone.done():
            raise StoreError(str(self.path), f"did not close within {CLOSE_SECONDS:g} s")
        self._thread.join(CLOSE_SECONDS)

    async def _ask(self, work: Work[Result], *, writes: bool) -> Result:
        answer: asyncio.Future[Result] = self._loop.create_future()
        with self._changed:
            if self._ended is not None:
                raise _again(self._ended)
            self._pending.append(_Call(work, answer, writes))
            self._changed.notify()
        return await answer

    def _end(self, reason: StoreError) -> None:
        """Take no further calls. The first reason stays."""
        with self._changed:
            self._ended = self._ended or reason
            self._closing.set()
            self._changed.notify()

    # From here on: the thread.

    def _tell(self, answers: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(_resolve, answers)

    def _run(self) -> None:
        try:
            db, self.epoch = open_store(self.path, self._schema, self._wait_seconds, self._closing)
        except Exception as error:  # noqa: BLE001 - raised at whoever opens
            self._tell([(self._opened, _Raised(error))])
            return
        self._tell([(self._opened, None)])
        try:
            self._serve(db)
        finally:
            self._tell([(self._gone, None)])

    def _serve(self, db: apsw.Connection) -> None:
        batch: list[_Call] = []
        try:
            while batch := self._gathered():
                self._answer(db, batch)
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may wait for ever
            self._give_up(db, batch, error)
        else:
            leave(self.path, db)

    def _gathered(self) -> list[_Call]:
        """All calls that have gathered, at least one; none at the end."""
        with self._changed:
            while not self._pending and self._ended is None:
                self._changed.wait()
            batch, self._pending = self._pending, []
            return batch

    def _answer(self, db: apsw.Connection, batch: list[_Call]) -> None:
        writes = [call for call in batch if call.writes]
        if writes:
            answers = self._committed(db, writes)
            self._tell(
                [(call.answer, answer) for call, answer in zip(writes, answers, strict=True)]
            )
        reads = [call for call in batch if not call.writes]
        if reads:
            self._tell([(call.answer, self._outcome(db, call)) for call in reads])

    def _committed(self, db: apsw.Connection, writes: list[_Call]) -> list[Any]:
        """The answers to ``writes``, which are on the disk when this returns."""
        try:
            db.execute("BEGIN IMMEDIATE")
            self._check_epoch(db)
            answers = [self._in_savepoint(db, call) for call in writes]
            self._commit(db)
        except apsw.Error as error:
            roll_back(db)
            return [_Raised(store_error(self.path, error)) for _ in writes]
        return answers

    def _check_epoch(self, db: apsw.Connection) -> None:
        epoch = epoch_of(db)
        if epoch != self.epoch:
            problem = f"epoch {self.epoch} has ended, {epoch} owns it now: leave at once"
            raise Fenced(str(self.path), problem)

    def _commit(self, db: apsw.Connection) -> None:
        try:
            db.execute("COMMIT")
        except apsw.FullError:
            raise  # the log had no room for the commit record: surely not kept
        except apsw.Error as error:
            problem = f"the fate of a commit is unknown ({error}): open it again and ask by id"
            raise CommitUnknown(str(self.path), problem) from error

    def _in_savepoint(self, db: apsw.Connection, call: _Call) -> Any:
        db.execute("SAVEPOINT call")
        answer = self._outcome(db, call)
        if isinstance(answer, _Raised):
            if isinstance(answer.error.__cause__, _WHOLE_BATCH):
                raise answer.error.__cause__
            db.execute("ROLLBACK TO call")
        db.execute("RELEASE call")
        return answer

    def _outcome(self, db: apsw.Connection, call: _Call) -> Any:
        try:
            return call.work(db)
        except apsw.Error as error:
            refusal = store_error(self.path, error)
            refusal.__cause__ = error
            return _Raised(refusal)
        except OverflowError:
            problem = "a number needs more than 64 bits: nothing of this was kept; correct it"
            return _Raised(StoreError(str(self.path), problem))
        except Exception as error:  # noqa: BLE001 - the caller's, who gets it
            return _Raised(error)

    def _give_up(self, db: apsw.Connection, batch: list[_Call], error: Exception) -> None:
        """Close for good, and answer everybody; those of the batch with what happened to it."""
        store = str(self.path)
        if isinstance(error, Fenced):
            reason: StoreError = error
            later: StoreError = error
        else:
            reason = error if isinstance(error, CommitUnknown) else CommitUnknown(store, str(error))
            later = StoreError(store, "was closed when the fate of a commit was unknown: reopen it")
        self._end(later)
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(self.lost.set)
        abandon(db)
        waiting = [(call.answer, _Raised(_again(reason))) for call in batch]
        waiting += [(call.answer, _Raised(_again(later))) for call in self._gathered()]
        self._tell(waiting)

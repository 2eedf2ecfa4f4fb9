"""Group commit: calls gather while a commit runs, and the next takes them all.

One transaction at a time, so that they are in order and the fence can tell what became of the last
one. What it promises is what ``sqlite.commits`` promises: answers come after the COMMIT (G2); a
stale owner writes nothing, is answered with ``Fenced``, and its store is closed for good (G1); so
it is after a commit whose fate nobody can tell. A read sees every write that was answered before.

Unlike there, a database that is away closes nothing: the next call tries again.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from pool.errors import CommitUnknown, Fenced, StoreError
from pool.storage.postgresql.connection.connections import Connections
from pool.storage.postgresql.connection.fence import NOBODY, OwnerFence
from pool.storage.postgresql.connection.transactions import Raised, Result, Transactions, Work

AT_ONCE = 256
"""Calls in one transaction: the owner's row is held some 0.2 s at most, and takeovers wait."""


class _Call(NamedTuple):
    work: Work[Any]
    answer: asyncio.Future[Any]


def _again(error: StoreError) -> StoreError:
    """An error of its own for each who waits: a traceback belongs to one task."""
    return type(error)(*error.args)


class Commits:
    """The writes of one activation, and those who wait for them."""

    def __init__(
        self,
        store: str,
        subscription_id: str,
        epoch: int,
        connections: Connections,
        *,
        is_owner: bool = True,
    ) -> None:
        """Where this is not the owner of that epoch and only reads, all writes are refused."""
        self.store = store
        self.epoch = epoch
        self.lost = asyncio.Event()
        self._connections = connections
        fence = OwnerFence(store, subscription_id, epoch if is_owner else NOBODY)
        self._transactions = Transactions(store, connections, fence)
        self._pending: list[_Call] = []
        self._ended: StoreError | None = None
        self._committing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def write(self, work: Work[Result]) -> Result:
        """Run ``work`` in a transaction; its result once that is durable."""
        self._check_open()
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending.append(_Call(work, answer))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.ensure_future(self._commit())
        return await answer

    async def read(self, work: Work[Result], *, snapshot: bool = False) -> Result:
        self._check_open()
        return await self._transactions.read(work, snapshot=snapshot)

    async def close(self) -> None:
        """Answer what was asked before, and leave the connections. Twice is once."""
        self._end(StoreError(self.store, "is closed"))
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._leave())
        await asyncio.shield(self._closing)

    async def _leave(self) -> None:
        if self._committing is not None:
            await asyncio.wait([self._committing])
        await self._connections.left()

    def _check_open(self) -> None:
        if self._ended is not None:
            raise _again(self._ended)

    def _end(self, reason: StoreError) -> None:
        """Take no further calls. The first reason stays."""
        self._ended = self._ended or reason

    async def _commit(self) -> None:
        while self._pending:
            batch, self._pending = self._pending[:AT_ONCE], self._pending[AT_ONCE:]
            try:
                answers = await self._transactions.write([call.work for call in batch])
            except (Fenced, CommitUnknown) as error:
                self._give_up(error, batch)
            except StoreError as error:
                _resolve(batch, [Raised(_again(error)) for _ in batch])
            else:
                _resolve(batch, answers)

    def _give_up(self, error: StoreError, batch: list[_Call]) -> None:
        """Close for good, and answer everybody; those of the batch with what happened to it."""
        later = error
        if isinstance(error, CommitUnknown):
            problem = "was closed when the fate of a commit was unknown: reopen it"
            later = StoreError(self.store, problem)
        self._end(later)
        self.lost.set()
        waiting, self._pending = self._pending, []
        _resolve(batch, [Raised(_again(error)) for _ in batch])
        _resolve(waiting, [Raised(_again(later)) for _ in waiting])


def _resolve(calls: list[_Call], answers: list[Any]) -> None:
    for call, answer in zip(calls, answers, strict=True):
        if call.answer.done():
            continue
        if isinstance(answer, Raised):
            call.answer.set_exception(answer.error)
        else:
            call.answer.set_result(answer)

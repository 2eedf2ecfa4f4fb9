"""The keys of a pool, shared by all routers. See ``pool.storage.key_store``.

Whoever judges or settles for a key first locks its account's row, so that sums are read and
reservations written as if there were one router. Each call is a transaction of its own, and done
again where the fate of its commit is in doubt, which changes nothing more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

from pool.errors import NotFound
from pool.keys.api_keys import ApiKey
from pool.keys.quotas import Account, Charge, Reservation, Settled, allowed, limited, paced
from pool.storage import key_rows
from pool.storage.documents import micros, read_document, readable
from pool.storage.postgresql.connection.statements import Db, first_row, rows, run, statements
from pool.storage.postgresql.connection.transactions import Raised, Transactions

Result = TypeVar("Result")
_SQL = statements("keys")


async def _key(db: Db, statement: str, wanted: dict[str, Any]) -> ApiKey | None:
    row = await first_row(db, _SQL[statement], wanted)
    return None if row is None else read_document(ApiKey, row[0])


async def _account(db: Db, key_id: str, now: datetime) -> Account:
    wanted = key_rows.wanted(key_id, now)
    return key_rows.account(
        await first_row(db, _SQL["pace"], wanted),
        await first_row(db, _SQL["reserved"], wanted),
        await first_row(db, _SQL["held"], wanted),
        await rows(db, _SQL["hours"], wanted),
    )


async def _locked(db: Db, key_id: str) -> None:
    """Let nobody else judge or settle for a key until the transaction ends. The row may be
    forgotten between the two statements, by retention; not twice.
    """
    row = None
    while row is None:
        await run(db, _SQL["account"], {"key_id": key_id})
        row = await first_row(db, _SQL["lock"], {"key_id": key_id})


async def reserve(db: Db, reservation: Reservation) -> None:
    """Hold an amount for an execution, once. Raises a ``KeyLimited`` where there is no room."""
    charge, key = reservation.charge, reservation.key
    row = key_rows.charge_columns(charge)
    await _locked(db, charge.key_id)
    if await first_row(db, _SQL["is_charged"], row) is not None:
        return
    account = await _account(db, charge.key_id, charge.at)
    refusal = allowed(key, account, charge.amount_nano_usd, charge.at)
    if refusal is not None:
        raise limited(reservation, refusal)
    await run(db, _SQL["reserve"], row)
    next_at = paced(key, account, charge.at)
    if next_at is not None:
        await run(db, _SQL["set_pace"], {"key_id": charge.key_id, "next_at": micros(next_at)})


class PostgresqlKeyStore:
    """The keys and their key_rows."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def _write(self, work: Callable[[Db], Awaitable[Result]]) -> Result:
        answer: Any = (await self._transactions.write([work]))[0]
        if isinstance(answer, Raised):
            raise answer.error
        result: Result = answer
        return result

    async def add(self, key: ApiKey) -> ApiKey:
        async def work(db: Db) -> ApiKey:
            await first_row(db, _SQL["one_at_a_time"], {})
            known = await _key(db, "key", {"id": key.id})
            if known is not None:
                return known
            key_rows.check_room((await first_row(db, _SQL["count"], {}))[0])
            if not await run(db, _SQL["add"], key_rows.key_columns(key)):
                raise key_rows.name_taken(key.name)
            return key

        return await self._write(work)

    async def change(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        async def work(db: Db) -> ApiKey:
            known = await _key(db, "key_to_change", {"id": key_id})
            if known is None:
                raise NotFound("key", key_id)
            changed = change(known)
            if changed != known:
                await run(db, _SQL["replace"], key_rows.key_columns(changed))
            return changed

        return await self._write(work)

    async def key(self, key_id: str) -> ApiKey | None:
        return await self._transactions.read(lambda db: _key(db, "key", {"id": key_id}))

    async def named(self, name: str) -> ApiKey | None:
        return await self._transactions.read(lambda db: _key(db, "named", {"name": name}))

    async def keys(self) -> tuple[ApiKey, ...]:
        found = await self._transactions.read(lambda db: rows(db, _SQL["keys"], {}))
        return tuple(readable(ApiKey, (row[0] for row in found)))

    async def release(self, execution_id: str) -> None:
        wanted = {"execution_id": execution_id}
        await self._write(lambda db: run(db, _SQL["release"], wanted))

    async def settle(self, charge: Charge, settled: Settled) -> None:
        row = key_rows.settled_columns(charge, settled)

        async def work(db: Db) -> None:
            await _locked(db, charge.key_id)
            if await first_row(db, _SQL["settle"], row) is not None:
                await run(db, _SQL["spend"], row)

        await self._write(work)

    async def open_charges(self) -> tuple[Charge, ...]:
        found = await self._transactions.read(lambda db: rows(db, _SQL["open_charges"], {}))
        return tuple(key_rows.charge(row) for row in found)

    async def account(self, key_id: str, now: datetime) -> Account:
        return await self._transactions.read(lambda db: _account(db, key_id, now), snapshot=True)

    async def expire(self, before: datetime) -> None:
        edge = {"before": micros(before)}

        async def work(db: Db) -> None:
            for name in key_rows.EXPIRING:
                await run(db, _SQL[name], edge)

        await self._write(work)

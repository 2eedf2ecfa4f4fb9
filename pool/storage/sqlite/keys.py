"""The keys of a pool, in the directory's file. See ``pool.storage.key_store``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import apsw

from pool.errors import NotFound
from pool.keys.api_keys import ApiKey
from pool.keys.quotas import Account, Charge, Reservation, Settled, allowed, limited, paced
from pool.storage import key_rows
from pool.storage.documents import micros, read_document, readable
from pool.storage.sqlite.commits import Commits
from pool.storage.sqlite.statements import first_row, statements

_SQL = statements("keys")


def _key(db: apsw.Connection, statement: str, wanted: dict[str, Any]) -> ApiKey | None:
    row = first_row(db, _SQL[statement], wanted)
    return None if row is None else read_document(ApiKey, row[0])


def _account(db: apsw.Connection, key_id: str, now: datetime) -> Account:
    wanted = key_rows.wanted(key_id, now)
    return key_rows.account(
        first_row(db, _SQL["pace"], wanted),
        first_row(db, _SQL["reserved"], wanted),
        first_row(db, _SQL["held"], wanted),
        db.execute(_SQL["hours"], wanted).fetchall(),
    )


def reserve(db: apsw.Connection, reservation: Reservation) -> None:
    """Hold an amount for an execution, once. Raises a ``KeyLimited`` where there is no room."""
    charge, key = reservation.charge, reservation.key
    row = key_rows.charge_columns(charge)
    if first_row(db, _SQL["is_charged"], row) is not None:
        return
    account = _account(db, charge.key_id, charge.at)
    refusal = allowed(key, account, charge.amount_nano_usd, charge.at)
    if refusal is not None:
        raise limited(reservation, refusal)
    db.execute(_SQL["reserve"], row)
    next_at = paced(key, account, charge.at)
    if next_at is not None:
        db.execute(_SQL["set_pace"], {"key_id": charge.key_id, "next_at": micros(next_at)})


class SqliteKeyStore:
    """The keys and their key_rows. Writes are one after the other here, which is lock enough."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    async def add(self, key: ApiKey) -> ApiKey:
        def work(db: apsw.Connection) -> ApiKey:
            known = _key(db, "key", {"id": key.id})
            if known is not None:
                return known
            key_rows.check_room(first_row(db, _SQL["count"])[0])
            db.execute(_SQL["add"], key_rows.key_columns(key))
            if not db.changes():
                raise key_rows.name_taken(key.name)
            return key

        return await self._commits.write(work)

    async def change(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        def work(db: apsw.Connection) -> ApiKey:
            known = _key(db, "key", {"id": key_id})
            if known is None:
                raise NotFound("key", key_id)
            changed = change(known)
            if changed != known:
                db.execute(_SQL["replace"], key_rows.key_columns(changed))
            return changed

        return await self._commits.write(work)

    async def key(self, key_id: str) -> ApiKey | None:
        return await self._commits.read(partial(_key, statement="key", wanted={"id": key_id}))

    async def named(self, name: str) -> ApiKey | None:
        return await self._commits.read(partial(_key, statement="named", wanted={"name": name}))

    async def keys(self) -> tuple[ApiKey, ...]:
        def work(db: apsw.Connection) -> tuple[ApiKey, ...]:
            return tuple(readable(ApiKey, (row[0] for row in db.execute(_SQL["keys"]))))

        return await self._commits.read(work)

    async def release(self, execution_id: str) -> None:
        def work(db: apsw.Connection) -> None:
            db.execute(_SQL["release"], {"execution_id": execution_id})

        await self._commits.write(work)

    async def settle(self, charge: Charge, settled: Settled) -> None:
        row = key_rows.settled_columns(charge, settled)

        def work(db: apsw.Connection) -> None:
            if first_row(db, _SQL["settle"], row) is not None:
                db.execute(_SQL["spend"], row)

        await self._commits.write(work)

    async def open_charges(self) -> tuple[Charge, ...]:
        def work(db: apsw.Connection) -> tuple[Charge, ...]:
            return tuple(key_rows.charge(row) for row in db.execute(_SQL["open_charges"]))

        return await self._commits.read(work)

    async def account(self, key_id: str, now: datetime) -> Account:
        return await self._commits.read(partial(_account, key_id=key_id, now=now))

    async def expire(self, before: datetime) -> None:
        def work(db: apsw.Connection) -> None:
            for name in key_rows.EXPIRING:
                db.execute(_SQL[name], {"before": micros(before)})

        await self._commits.write(work)

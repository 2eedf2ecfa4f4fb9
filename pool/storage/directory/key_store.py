"""The store of keys, which lies in the directory: keys, what they reserved, and what they spent.

Reservations are made by ``Directory.claim``, with the claim of their execution: the transaction
reads the account, judges it by ``pool.keys.quotas.charged``, and writes the reservation. Whoever
judges or settles for a key first locks its account, so that sums are read and reservations written
as if there were one router; so budgets hold however many ask at once. Every call comes to the same
when it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pool.errors import NotFound
from pool.keys.account import Account, Charge, Reservation, Settled
from pool.keys.api_keys import ApiKey
from pool.storage.database import Bindings, Database, Db
from pool.storage.directory import key_rows
from pool.storage.directory.reservations import account_of, locked, top_up
from pool.storage.documents import micros, read_document, readable


class KeyStore:
    """The keys of a pool and their accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey) -> ApiKey:
        """Keep a new key. One with its id that is there already is the answer.

        ``Conflict`` where the name is taken, by a revoked key too, or ``MAX_KEYS`` are kept.
        """

        async def work(db: Db) -> ApiKey:
            await db.first("one_at_a_time")
            known = await _key(db, "key", {"id": key.id})
            if known is not None:
                return known
            key_rows.check_room((await db.first("count"))[0])
            if not await db.run("add", key_rows.key_columns(key)):
                raise key_rows.name_taken(key.name)
            return key

        return await self._database.write(work)

    async def change(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        """Replace a key by what ``change`` makes of it, which may be asked more than once.

        ``NotFound`` for an unknown id; what ``change`` raises comes through, and nothing is kept.
        """

        async def work(db: Db) -> ApiKey:
            known = await _key(db, "key_to_change", {"id": key_id})
            if known is None:
                raise NotFound("key", key_id)
            changed = change(known)
            if changed != known:
                await db.run("replace", key_rows.key_columns(changed))
            return changed

        return await self._database.write(work)

    async def key(self, key_id: str) -> ApiKey | None:
        return await self._database.read(lambda db: _key(db, "key", {"id": key_id}))

    async def named(self, name: str) -> ApiKey | None:
        return await self._database.read(lambda db: _key(db, "named", {"name": name}))

    async def keys(self) -> tuple[ApiKey, ...]:
        """Oldest first, revoked ones included."""
        found = await self._database.read(lambda db: db.rows("keys"))
        return tuple(readable(ApiKey, (row[0] for row in found)))

    async def top_up(self, reservation: Reservation) -> None:
        """Hold as much as a charge says for an execution that holds less; nothing is done for one
        that holds nothing.

        Raises a ``KeyLimited`` where the budgets of its key leave no room for the difference.
        """
        await self._database.write(lambda db: top_up(db, reservation))

    async def release(self, execution_id: str) -> None:
        """Let go of a reservation whose execution is nowhere. A settled one stays."""
        await self._database.write(lambda db: db.run("release", {"execution_id": execution_id}))

    async def settle(self, charge: Charge, settled: Settled) -> None:
        """Put what an execution cost in the place of its reservation, once: later settlements of it
        change nothing. A cost counts even where its reservation is not there any more.
        """
        row = key_rows.settled_columns(charge, settled)

        async def work(db: Db) -> None:
            await locked(db, charge.key_id)
            if await db.first("settle", row) is not None:
                await db.run("spend", row)

        await self._database.write(work)

    async def open_charges(self) -> tuple[Charge, ...]:
        """Reservations that were neither released nor settled, oldest first."""
        found = await self._database.read(lambda db: db.rows("open_charges"))
        return tuple(key_rows.charge(row) for row in found)

    async def account(self, key_id: str, now: datetime) -> Account:
        return await self._database.read(lambda db: account_of(db, key_id, now), snapshot=True)

    async def expire(self, before: datetime) -> None:
        """Forget what was settled and spent before, and keys that were revoked before; those only
        while another key is in use, for a pool that ever had keys never opens again by itself.
        """

        async def work(db: Db) -> None:
            for statement in key_rows.EXPIRING:
                await db.run(statement, {"before": micros(before)})

        await self._database.write(work)


async def _key(db: Db, statement: str, wanted: Bindings) -> ApiKey | None:
    row = await db.first(statement, wanted)
    return None if row is None else read_document(ApiKey, row[0])

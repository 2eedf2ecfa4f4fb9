"""The directory, which belongs to no subscription: the registry of specifications, and the index of
which subscription holds an execution or a session.

One owner may hold it, or several routers share it: unique keys, and updates on a condition, decide
between them. Every call comes to the same when it is repeated. Lists are newest first; a cursor is
opaque and stays valid while rows are added.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

from pool.errors import Conflict, NotFound, StoreError
from pool.executions.session import SessionHome, SessionMove
from pool.keys.access import FULL_ACCESS, Access
from pool.storage.database import Bindings, Database, Db, run_all
from pool.storage.directory import rows
from pool.storage.directory.claims import Claim, NewClaim, Registration
from pool.storage.directory.conversations import ConversationIndex, take
from pool.storage.directory.export import exported_directory, loading_directory
from pool.storage.directory.key_store import KeyStore
from pool.storage.directory.outbox import Outbox
from pool.storage.directory.portion import DirectoryPortion
from pool.storage.directory.reservations import reserve
from pool.storage.directory.snapshots import SnapshotStore
from pool.storage.directory.terms import TermStore
from pool.storage.documents import micros, readable
from pool.storage.paging import Page, homes_below, page

_EXPIRED_AT_ONCE = 1000
_TRIES = 5
"""A claim that stands in the way may be forgotten before it is read; hardly so often."""


class Directory:
    """The registry, and the index of executions and sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.outbox = Outbox(database)
        """The alerts of the pool, which are kept here, too."""
        self.keys = KeyStore(database)
        """The keys of callers, which are kept in the same place."""
        self.conversations = ConversationIndex(database)
        """Which session holds one."""
        self.snapshots = SnapshotStore(database)
        """What those left who sleep."""
        self.terms = TermStore(database)
        """Which of its routers is the one."""

    async def claim(self, wanted: NewClaim, subscription_id: str, epoch: int = 0) -> Claim:
        """Take an execution id with its idempotency key, reserve what it may cost, and place it at
        the subscription that is asked next, before it is asked: all of it at once, or nothing.
        ``epoch`` is the activation of it that is to be asked, where one is known.

        The answer is the claim as it stands afterwards. An id or key that was taken before is
        answered with its claim, which counts as used; where that is of another id or digest,
        nothing else is done. What was reserved, settled or placed before stays as it is; so of two
        callers at the same time one decides, and both get the same.

        Raises a ``KeyLimited`` where the limits of the key leave no room at ``charge.at``, and
        ``Conflict`` where the session does not hold the conversation that it is to go on from; then
        neither the claim nor the reservation is kept.

        The claim comes first, then the account of the key, then the session: whoever takes several
        of these rows takes them in this order, so that nobody waits in a circle.
        """
        placing = {
            "execution_id": wanted.execution_id,
            "subscription_id": subscription_id,
            "session_id": wanted.session_id,
            "tenant": wanted.tenant,
            "instead_of": None,
            "placement": None,
            "epoch": epoch,
        }

        async def work(db: Db) -> Claim:
            claim, is_new = await _claimed(db, wanted)
            if not claim.is_of(wanted):
                return claim
            if wanted.reservation is not None:
                await reserve(db, wanted.reservation)
            if wanted.conversation is not None and not claim.placement:
                await _taken(db, wanted.conversation, wanted.session_id)
            if not is_new:
                return await _placed(db, placing)
            await db.run("place", placing)  # nobody else sees it yet: so it stands as is said here
            placed = {"subscription_id": subscription_id, "placement": 1, "epoch": epoch}
            return claim.model_copy(update=placed)

        return await self._database.write(work)

    async def place(
        self,
        execution_id: str,
        subscription_id: str,
        session_id: str,
        *,
        instead_of: str | None,
        placement: int | None = None,
        epoch: int = 0,
        tenant: str | None = None,
    ) -> Claim:
        """Note that another subscription, or another activation of the same, is asked to run an
        execution, before it is asked, and that its session lives there, if it lives nowhere yet,
        and belongs to ``tenant``, if it belongs to nobody yet.

        Done only where the execution stands at ``instead_of``, and by the ``placement`` that is
        named, if one is; its next placement is this one's. The answer is the claim as it stands
        afterwards. So of two routers that disagree only one may go on, and an execution never runs
        in two places. Raises ``NotFound`` for an execution that nobody claimed.
        """
        placing = {
            "execution_id": execution_id,
            "subscription_id": subscription_id,
            "session_id": session_id,
            "tenant": tenant,
            "instead_of": instead_of,
            "placement": placement,
            "epoch": epoch,
        }
        return await self._database.write(lambda db: _placed(db, placing))

    async def locate(self, execution_id: str, key: str | None = None) -> Claim | None:
        """The claim of an idempotency key, or else of an execution id."""
        return await self._database.read(lambda db: _located(db, execution_id, key))

    async def session_home(self, session_id: str) -> SessionHome | None:
        """The subscription that holds a session, if any does."""
        return await self._database.read(lambda db: _home(db, session_id))

    async def session_homes(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        subscription_id: str | None = None,
        access: Access = FULL_ACCESS,
    ) -> Page[SessionHome]:
        """Those that ``access`` covers, used last first; of one subscription, or of all."""
        statement = "session_homes" if access.tenant is None else "session_homes_by_tenant"
        found = await self._found(statement, homes_below(limit, cursor, subscription_id, access))
        return page("sessions", limit, found, rows.listed_home)

    async def move_session(
        self, session_id: str, *, instead_of: str, subscription_id: str, with_history: bool
    ) -> SessionHome | None:
        """Give a session another home, if it lives at ``instead_of``; its home afterwards, if any.

        With its history: what was fetched last is at the old home, or still where that was to fetch
        it from, and is to be fetched from there.
        """
        moving = {
            "session_id": session_id,
            "instead_of": instead_of,
            "subscription_id": subscription_id,
            "with_history": with_history,
        }

        async def work(db: Db) -> SessionHome | None:
            await db.run("move_session", moving)
            return await _home(db, session_id)

        return await self._database.write(work)

    async def name_session(self, session_id: str, named: str, subscription_id: str) -> None:
        """Note that a session which was placed under one id was begun under another. Asked again,
        it changes nothing.
        """
        naming = {"session_id": session_id, "named": named, "subscription_id": subscription_id}
        await self._database.write(lambda db: db.run("name_session", naming))

    async def session_arrived(self, session_id: str, subscription_id: str, now: datetime) -> bool:
        """Note that the home of a session has fetched it: a move, with both its ends.

        False, and nothing noted, where it lives elsewhere or nothing was to be fetched.
        """
        where = {"session_id": session_id, "subscription_id": subscription_id}
        arrived = False

        async def work(db: Db) -> bool:
            nonlocal arrived  # done again, there is nothing left to fetch
            row = await db.first("session_to_fetch", where)
            if row is not None:
                await db.run("session_fetched", where)
                move = rows.arrival(session_id, row[0], subscription_id, now)
                await db.run("add_session_move", move)
                arrived = True
            return arrived

        return await self._database.write(work)

    async def session_moves(self, session_id: str) -> tuple[SessionMove, ...]:
        """The moves of a session, oldest first."""
        found = await self._found("session_moves", {"session_id": session_id})
        return tuple(rows.session_move(row) for row in found)

    async def forget_session(self, session_id: str) -> bool:
        """Remove a session and its moves from the index."""
        wanted = {"session_id": session_id}
        return await self._removed("forget_session", wanted, with_it="forget_session_moves")

    async def register(self, registration: Registration) -> None:
        """Add or replace a subscription."""
        row = rows.registration_columns(registration)
        await self._database.write(lambda db: db.run("register", row))

    async def unregister(self, subscription_id: str) -> bool:
        return await self._removed("unregister", {"id": subscription_id}, with_it="forget_snapshot")

    async def registrations(self) -> tuple[Registration, ...]:
        """Oldest first."""
        found = await self._found("registrations", {})
        return tuple(readable(Registration, (row[0] for row in found)))

    async def expire(self, before: datetime) -> int:
        """Forget claims and session homes not used since ``before``, in transactions of bounded
        size; the number of claims.
        """
        edge = {"before": micros(before), "limit": _EXPIRED_AT_ONCE}
        await self._expire("expire_session_homes", edge)
        await self._database.write(lambda db: db.run("expire_session_moves"))
        return await self._expire("expire_claims", edge)

    def export(self) -> AsyncIterator[DirectoryPortion]:
        """Everything in it, in portions of bounded size and always in the same order."""
        return exported_directory(self._found)

    async def load(self, portion: DirectoryPortion) -> None:
        """Keep what another directory exported, in one transaction; see ``Ledger.load``. Not to be
        repeated by itself: in doubt, what was loaded stands in the way of itself, and
        ``StoreError`` says so.
        """
        await self._database.write(lambda db: run_all(db, loading_directory(portion)))

    async def backup(self, file: Path) -> None:
        """See ``Database.backup``. In the copy nobody sleeps, and no session goes on by itself."""
        await self._database.backup(file, without="forget_what_does_not_last")

    async def close(self) -> None:
        await self._database.close()

    async def _found(self, statement: str, wanted: Bindings) -> list[Any]:
        return await self._database.read(lambda db: db.rows(statement, wanted))

    async def _removed(self, statement: str, wanted: Bindings, with_it: str | None = None) -> bool:
        was_there = False

        async def work(db: Db) -> bool:
            nonlocal was_there  # done again, it finds nothing to remove
            if with_it is not None:
                await db.run(with_it, wanted)
            was_there = await db.run(statement, wanted) > 0 or was_there
            return was_there

        return await self._database.write(work)

    async def _expire(self, statement: str, edge: Bindings) -> int:
        total = removed = await self._database.write(lambda db: db.run(statement, edge))
        while removed == edge["limit"]:
            removed = await self._database.write(lambda db: db.run(statement, edge))
            total += removed
        return total


async def _located(db: Db, execution_id: str, key: str | None = None) -> Claim | None:
    row = await db.first("locate", {"execution_id": execution_id, "key": key})
    return None if row is None else rows.claim(row)


async def _claimed(db: Db, wanted: NewClaim) -> tuple[Claim, bool]:
    """Take an id and a key; a claim that stands in the way is used instead. Whether it is new."""
    row = rows.claim_columns(wanted)
    for _ in range(_TRIES):
        if await db.run("claim", row):
            new = Claim(
                execution_id=wanted.execution_id, digest=wanted.digest, created_at=wanted.at
            )
            return new, True
        claim = await _located(db, wanted.execution_id, wanted.key)
        if claim is not None:
            await db.run("use_claim", {**row, "execution_id": claim.execution_id})
            return claim, False
    raise StoreError("directory", "a claim comes and goes: try again")


async def _taken(db: Db, conversation: str, session_id: str) -> None:
    if not await take(db, conversation, session_id):
        raise Conflict("another turn has gone on from there: send the whole conversation")


async def _placed(db: Db, placing: Bindings) -> Claim:
    """Place an execution if it stands where it is said to; its session counts as used when the
    claim was.
    """
    await db.run("place", placing)
    claim = await _located(db, placing["execution_id"])
    if claim is None:
        raise NotFound("execution", placing["execution_id"])
    return claim


async def _home(db: Db, session_id: str) -> SessionHome | None:
    row = await db.first("session_home", {"session_id": session_id})
    return None if row is None else rows.session_home(row)

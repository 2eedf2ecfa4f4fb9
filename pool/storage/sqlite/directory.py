"""The directory, which belongs to no subscription, in one SQLite file. See
``pool.storage.protocol.Directory``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from pool.errors import NotFound
from pool.executions.session import SessionHome, SessionMove
from pool.storage import rows
from pool.storage.documents import micros, readable
from pool.storage.export import exported_directory, loading_directory, registration_columns
from pool.storage.paging import Bindings, Page, homes_below, page
from pool.storage.protocol import Claim, DirectoryPortion, NewClaim, Registration
from pool.storage.sqlite.commits import Commits
from pool.storage.sqlite.connection import copy_into
from pool.storage.sqlite.keys import SqliteKeyStore, reserve
from pool.storage.sqlite.outbox import SqliteOutbox
from pool.storage.sqlite.statements import first_row, run_all, statements

_SQL = {**statements("directory"), **statements("outbox"), **statements("keys")}


def _located(db: apsw.Connection, execution_id: str, key: str | None = None) -> Claim | None:
    row = first_row(db, _SQL["locate"], {"execution_id": execution_id, "key": key})
    return None if row is None else rows.claim(row)


def _claimed(db: apsw.Connection, wanted: NewClaim) -> Claim:
    """Take an id and a key; a claim that stands in the way is used instead."""
    row = rows.claim_columns(wanted)
    db.execute(_SQL["claim"], row)
    is_new = db.changes() > 0
    claim = _known(db, wanted.execution_id, wanted.key)
    if not is_new:
        db.execute(_SQL["use_claim"], {**row, "execution_id": claim.execution_id})
    return claim


def _known(db: apsw.Connection, execution_id: str, key: str | None = None) -> Claim:
    claim = _located(db, execution_id, key)
    if claim is None:
        raise NotFound("execution", execution_id)
    return claim


def _placed(db: apsw.Connection, placing: Bindings) -> Claim:
    """Place an execution if it stands where it is said to; its session counts as used when the
    claim was.
    """
    row = first_row(db, _SQL["place_claim"], placing)
    if row is not None:
        db.execute(_SQL["place_session"], {**placing, "used_at": row[0]})
    return _known(db, placing["execution_id"])


def _home(db: apsw.Connection, session_id: str) -> SessionHome | None:
    row = first_row(db, _SQL["session_home"], {"session_id": session_id})
    return None if row is None else rows.session_home(row)


class SqliteDirectory:
    """The registry, and the index of executions and sessions."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self.outbox = SqliteOutbox(commits)
        self.keys = SqliteKeyStore(commits)

    async def claim(self, wanted: NewClaim, subscription_id: str) -> Claim:
        placing = {
            "execution_id": wanted.execution_id,
            "subscription_id": subscription_id,
            "session_id": wanted.session_id,
            "instead_of": None,
        }

        def work(db: apsw.Connection) -> Claim:
            claim = _claimed(db, wanted)
            if not claim.is_of(wanted):
                return claim
            if wanted.reservation is not None:
                reserve(db, wanted.reservation)
            return _placed(db, placing)

        return await self._commits.write(work)

    async def place(
        self, execution_id: str, subscription_id: str, session_id: str, *, instead_of: str | None
    ) -> Claim:
        placing = {
            "execution_id": execution_id,
            "subscription_id": subscription_id,
            "session_id": session_id,
            "instead_of": instead_of,
        }
        return await self._commits.write(partial(_placed, placing=placing))

    async def locate(self, execution_id: str, key: str | None = None) -> Claim | None:
        return await self._commits.read(partial(_located, execution_id=execution_id, key=key))

    async def session_home(self, session_id: str) -> SessionHome | None:
        return await self._commits.read(partial(_home, session_id=session_id))

    async def session_homes(
        self, *, limit: int, cursor: str | None = None, subscription_id: str | None = None
    ) -> Page[SessionHome]:
        wanted = homes_below(limit, cursor, subscription_id)

        def work(db: apsw.Connection) -> Page[SessionHome]:
            found: list[Any] = db.execute(_SQL["session_homes"], wanted).fetchall()
            return page("sessions", limit, found, rows.listed_home)

        return await self._commits.read(work)

    async def move_session(
        self, session_id: str, *, instead_of: str, subscription_id: str, with_history: bool
    ) -> SessionHome | None:
        moving = {
            "session_id": session_id,
            "instead_of": instead_of,
            "subscription_id": subscription_id,
            "with_history": with_history,
        }

        def work(db: apsw.Connection) -> SessionHome | None:
            db.execute(_SQL["move_session"], moving)
            return _home(db, session_id)

        return await self._commits.write(work)

    async def session_arrived(self, session_id: str, subscription_id: str, now: datetime) -> bool:
        where = {"session_id": session_id, "subscription_id": subscription_id}

        def work(db: apsw.Connection) -> bool:
            row = first_row(db, _SQL["session_to_fetch"], where)
            if row is None:
                return False
            db.execute(_SQL["session_fetched"], {"session_id": session_id})
            move = rows.arrival(session_id, row[0], subscription_id, now)
            db.execute(_SQL["add_session_move"], move)
            return True

        return await self._commits.write(work)

    async def session_moves(self, session_id: str) -> tuple[SessionMove, ...]:
        def work(db: apsw.Connection) -> tuple[SessionMove, ...]:
            found = db.execute(_SQL["session_moves"], {"session_id": session_id})
            return tuple(rows.session_move(row) for row in found)

        return await self._commits.read(work)

    async def forget_session(self, session_id: str) -> bool:
        def work(db: apsw.Connection) -> bool:
            db.execute(_SQL["forget_session_moves"], {"session_id": session_id})
            db.execute(_SQL["forget_session"], {"session_id": session_id})
            return db.changes() > 0

        return await self._commits.write(work)

    async def register(self, registration: Registration) -> None:
        row = registration_columns(registration)

        def work(db: apsw.Connection) -> None:
            db.execute(_SQL["register"], row)

        await self._commits.write(work)

    async def unregister(self, subscription_id: str) -> bool:
        def work(db: apsw.Connection) -> bool:
            db.execute(_SQL["unregister"], {"id": subscription_id})
            return db.changes() > 0

        return await self._commits.write(work)

    async def registrations(self) -> tuple[Registration, ...]:
        """Oldest first."""

        def work(db: apsw.Connection) -> tuple[Registration, ...]:
            return tuple(
                readable(Registration, (row[0] for row in db.execute(_SQL["registrations"])))
            )

        return await self._commits.read(work)

    async def expire(self, before: datetime) -> int:
        def work(db: apsw.Connection) -> int:
            edge = {"before": micros(before)}
            db.execute(_SQL["expire_session_homes"], edge)
            db.execute(_SQL["expire_session_moves"])
            db.execute(_SQL["expire_claims"], edge)
            return db.changes()

        return await self._commits.write(work)

    def export(self) -> AsyncIterator[DirectoryPortion]:
        async def found(statement: str, wanted: Bindings) -> list[Any]:
            rows: list[Any] = await self._commits.read(
                lambda db: db.execute(_SQL[statement], wanted).fetchall()
            )
            return rows

        return exported_directory(found)

    async def load(self, portion: DirectoryPortion) -> None:
        await self._commits.write(partial(run_all, _SQL, loading_directory(portion)))

    async def backup(self, file: Path) -> None:
        await self._commits.read(partial(copy_into, file=file))

    async def close(self) -> None:
        await self._commits.close()

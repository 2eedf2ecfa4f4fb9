"""The terms of routers: each that begins counts them on by one, and its pool has the directory.

Where routers share a directory, that of another pool could begin there by mistake: the two would
overtake each other for ever. So each says of which pool it is, and beats for as long as it has its
term. A beat is a number that is counted on: no clock is compared, and nothing is held in a session
of the database, so that neither its restarts nor a pooler between are felt. SQLite has its lock for
that: whoever opens the file is the only one, nobody beats, and the latest term is only looked at.
"""

from __future__ import annotations

from pool.storage.database import Database, Db
from pool.values import Value


class Rival(Value):
    """Another pool, whose router had a directory last."""

    holder: str
    beats: int
    """It lives as long as these go on."""


class TermStore:
    """The term that runs, and whose it is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, holder: str, *, silent: Rival | None = None) -> int | Rival:
        """Count the terms on by one for the pool of ``holder``; the number of the one that begins.
        Nothing is done where another pool has the directory, unless that is ``silent``: has not
        beaten since it was answered here.
        """
        wanted = {"holder": holder, "silent": None if silent is None else silent.beats}

        async def work(db: Db) -> int | Rival:
            row = await db.first("begin_term", wanted)
            if row is not None:
                return int(row[0])
            found, beats = await db.first("rival", {})
            return Rival(holder=found, beats=beats)

        return await self._database.write(work)

    async def beat(self, term: int) -> int:
        """Say that a term goes on, if it does; the number of the latest one."""
        if self._database.epoch:  # it has one owner: who was overtaken could not write there either
            return await self.latest()

        async def work(db: Db) -> int:
            row = await db.first("beat", {"term": term})
            return 0 if row is None else int(row[0])

        return await self._database.write(work)

    async def latest(self) -> int:
        """The number of the latest term."""
        return await self._database.read(_latest)


async def _latest(db: Db) -> int:
    row = await db.first("term")
    return 0 if row is None else int(row[0])

"""The term of a router: from its beginning until a later router of the same pool begins.

A router that was cut off from the others, or frozen with its node, lives on beside its successor.
What it places is fenced (``dispatching.claims``), so it runs nothing twice; but it would still put
subscriptions to sleep and raise alerts by what it knew long ago. So terms are numbered: each router
begins the next term, durably, and reads the latest term every ``LOOK_SECONDS``. A router that sees
a later term than its own ends its process at once.

A database belongs to one pool. If two pools were given the same database, the router of the second
one begins only after the router of the first has given no sign of life for ``SILENT_SECONDS``,
however it ended. So a router that is only renewed keeps its database, and a pool that was killed
can come back within seconds as another Ray cluster.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from actors.aiokit import every
from pool.errors import ConfigError, Fenced, StoreError
from pool.storage.directory.terms import Rival, TermStore

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks at the latest term, a few milliseconds each. A router that thaws looks first of
all, as its pause is over. Each look is also a beat, the router's sign of life."""
SILENT_SECONDS = 10.0
"""After this time without a beat, a pool is taken to be gone. While the database is started anew,
beats are further apart: each is tried again for two seconds, and then after two."""
WATCH_SECONDS = 0.5
"""Between two looks at whether another pool beats."""


async def _always() -> bool:
    return True


class Term:
    """The term of this router, for the pool of ``holder``. ``leave`` ends the router's process, at
    once. ``has_cluster`` says whether its Ray still has a head: a router without one ends soon, and
    gives no more beats, so that it does not keep a new cluster of the same pool out meanwhile.
    """

    def __init__(
        self,
        terms: TermStore,
        holder: str = "",
        leave: Callable[[StoreError], None] = lambda _: None,
        has_cluster: Callable[[], Awaitable[bool]] = _always,
    ) -> None:
        self._terms = terms
        self._holder = holder
        self._leave = leave
        self._has_cluster = has_cluster
        self._number = 0

    async def begin(self) -> None:
        """Begin the term: from here on an earlier router leaves. ``ConfigError`` where the database
        is that of another pool, which lives.
        """
        began = await self._terms.begin(self._holder)
        self._number = await self._after(began) if isinstance(began, Rival) else began

    async def _after(self, rival: Rival) -> int:
        """Begin once the pool that had the database last has been silent for long enough."""
        log.warning("waits for a pool that had this database", extra={"pool": rival.holder})
        clock = asyncio.get_running_loop().time
        since = clock()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            is_silent = clock() - since > SILENT_SECONDS
            began = await self._terms.begin(self._holder, silent=rival if is_silent else None)
            if not isinstance(began, Rival):
                return began
            if began != rival:
                raise _refusal(began)

    async def watch(self) -> None:
        """Look at the terms for as long as the router lives, and leave where another has begun."""
        failing = "terms of routers were not read"
        await every(LOOK_SECONDS, self.look, failing, after_failure=LOOK_SECONDS)

    async def look(self) -> None:
        """Leave where a later router has begun."""
        try:
            if await self._has_a_head():
                latest = await self._terms.beat(self._number)
            else:
                latest = await self._terms.latest()
        except Fenced as error:
            self._overtaken(error)
            return
        if latest > self._number:
            problem = f"the router of term {latest} has taken over from that of {self._number}"
            self._overtaken(StoreError("directory", problem))

    async def _has_a_head(self) -> bool:
        """True also where that cannot be found out: else another pool could have the database."""
        try:
            return await self._has_cluster()
        except Exception:
            log.exception("head not asked")
            return True

    def _overtaken(self, why: StoreError) -> None:
        log.error("router overtaken: it leaves", extra={"problem": why.problem})
        self._leave(why)


def _refusal(rival: Rival) -> ConfigError:
    problem = f"{rival.holder} has this database, and runs"
    remedy = "give each pool a database or a schema (?search_path=) of its own, or stop that one"
    return ConfigError("pool.store", f"{problem}: {remedy}; nothing was started")

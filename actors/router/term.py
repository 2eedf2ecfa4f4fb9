"""The term of a router: the time in which it is the one.

A router that was cut off, or frozen with its node, lives on beside its successor. What it places is
fenced (``dispatching.claims``), so it runs nothing twice; but it would go on to put to sleep and to
sound alarms by what it knew. So each router counts the terms on by one as it begins, durably, and
looks at them again and again: one that sees a later term than its own leaves at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from actors.aiokit import every
from pool.errors import StoreError
from pool.storage.directory.directory import Directory

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks, 0.5 ms each: one that thaws looks first of all, as its pause is over."""


class Term:
    """The term of this router. ``leave`` ends its process, as nothing in it is to be acted upon."""

    def __init__(self, directory: Directory, leave: Callable[[StoreError], None]) -> None:
        self._directory = directory
        self._leave = leave
        self._number = 0

    async def begin(self) -> None:
        """Begin it: from here on an earlier router leaves."""
        self._number = await self._directory.begin_term()

    async def watch(self) -> None:
        """Look at the terms for as long as the router lives, and leave where another has begun."""
        await every(LOOK_SECONDS, self.look, "terms of routers were not read")

    async def look(self) -> None:
        """Leave where a later router has begun."""
        latest = await self._directory.term()
        if latest > self._number:
            problem = f"the router of term {latest} has taken over from that of {self._number}"
            log.error("router overtaken: it leaves", extra={"problem": problem})
            self._leave(StoreError("directory", problem))

"""Rows of a table in batches, on their way out of one store and into another.

Engines name the statements of an export alike, so that what is moved, and in which order, is said
once. Rows go in the order of a key, a bounded number at a time, and none is read twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pool.storage.database import Bindings

Found = Callable[[str, Bindings], Awaitable[list[Any]]]
"""Runs a statement by its name; the rows."""

AT_ONCE = 200
"""Rows in a batch: one may hold a prompt of a megabyte."""


async def batches(found: Found, statement: str, first: str | int) -> AsyncIterator[list[Any]]:
    """Rows that begin with their key, which is above ``first``."""
    after, more = first, True
    while more:
        rows = await found(statement, {"after": after, "limit": AT_ONCE})
        if rows:
            yield rows
            after = rows[-1][0]
        more = len(rows) == AT_ONCE

"""A page of executions, newest first, put together from the pages of many ledgers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from actors.interfaces.messages import Listed
from pool.executions.execution import Execution
from pool.storage.paging import Page, newest_first

_BEYOND = 2
"""Executions that each source is asked for beyond its share of the page, so that one that has begun
a few more than the others lately need not be asked twice."""


@dataclass(frozen=True)
class Source:
    """Who can be asked for a page of executions: a subscription, or the router for many."""

    page: Callable[[Listed], Awaitable[Page[Execution]]]
    ledgers: int = 1
    """How many ledgers the source reads for a page."""


async def merged_page(sources: Iterable[Source], wanted: Listed) -> Page[Execution]:
    """The newest executions of all sources. Each source is asked for its share of the page; a
    source that may have still more of the page is asked once more, for the rest. So a page of a
    pool of sixty subscriptions reads a few rows of each ledger, and not sixty pages to show one.
    """
    asked = tuple(sources)
    ledgers = sum(each.ledgers for each in asked)
    parts = [_part(each, ledgers, wanted) for each in asked]
    pages = await asyncio.gather(
        *(source.page(part) for source, part in zip(asked, parts, strict=True))
    )
    found = newest_first(pages, wanted.limit)

    async def whole(source: Source, part: Listed, page: Page[Execution]) -> Page[Execution]:
        left = wanted.limit - part.limit
        if left == 0 or not _may_have_more(page, found, wanted.limit):
            return page
        more = {"limit": left, "cursor": page.next_cursor}
        rest = await source.page(wanted.model_copy(update=more))
        return rest.model_copy(update={"items": page.items + rest.items})

    wholes = await asyncio.gather(*map(whole, asked, parts, pages))
    return newest_first(wholes, wanted.limit)


def _part(source: Source, ledgers: int, wanted: Listed) -> Listed:
    share = -(-wanted.limit * source.ledgers // max(ledgers, 1))
    return wanted.model_copy(update={"limit": min(wanted.limit, share + _BEYOND)})


def _may_have_more(page: Page[Execution], found: Page[Execution], limit: int) -> bool:
    """Whether what follows a page may be newer than the last of what was found."""
    if page.next_cursor is None:
        return False
    if len(found.items) < limit or not page.items:
        return True
    last, oldest = page.items[-1], found.items[-1]
    return (last.created_at, last.id) >= (oldest.created_at, oldest.id)

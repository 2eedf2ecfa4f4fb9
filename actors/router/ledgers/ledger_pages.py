"""A page of what stands in several ledgers that nobody has open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from actors.interfaces.messages import Listed
from pool.executions.execution import Execution
from pool.storage.paging import Page, cursor_of, newest_first


async def newest_page(
    newest: Mapping[str, datetime | None],
    wanted: Listed,
    page_of: Callable[[str, Listed], Awaitable[Page[Execution]]],
) -> Page[Execution]:
    """The executions of some subscriptions, the newest first.

    ``newest``: when the newest of each was asked for, None where there never was one. By that
    ledgers are opened as far as the page needs them, and no further.
    """
    began = {id_: at for id_, at in newest.items() if at is not None}
    found = Page[Execution](items=())
    for id_ in sorted(began, key=lambda each: began[each], reverse=True):
        if len(found.items) == wanted.limit and began[id_] < found.items[-1].created_at:
            more = found.next_cursor or cursor_of(found.items[-1])
            return found.model_copy(update={"next_cursor": more})
        found = newest_first((found, await page_of(id_, wanted)), wanted.limit)
    return found

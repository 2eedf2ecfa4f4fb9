"""A page of the list of subscriptions, as the JSON that is sent, made where the reports are.

A report is some 2 kB of JSON, which takes pydantic 20 us to write; to carry it to another process
as a value, and make it JSON there, takes eighteen times as long, half of it on the router's loop.
So a list of a thousand crosses as the text that it is in the end.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence

from pool.keys.access import Access
from pool.storage.paging import Key, check_limit, cursor_at, start_of
from pool.subscriptions.report import Report

_KIND = "subscriptions"
_FIRST: Key = (0, "")
"""Below every subscription: they are listed by their ids."""


def shown_page(
    reports: Sequence[Report], access: Access, limit: int | None, cursor: str | None
) -> str:
    """A page of the reports that somebody has access to, which come by id, as JSON; all of them
    where no limit is named. Whose the last session was is its tenant's business.
    """
    if limit is not None:
        check_limit(limit)
    covered = [each for each in reports if access.covers_subscription(each.id)]
    _, after = start_of(_KIND, cursor, newest=_FIRST)
    begin = bisect_right(covered, str(after), key=lambda each: each.id)
    page = covered[begin:] if limit is None else covered[begin : begin + limit]
    has_more = begin + len(page) < len(covered)
    hidden = {} if access.tenant is None else {"session_id": None}
    items = ",".join(each.model_copy(update=hidden).model_dump_json() for each in page)
    more = cursor_at(_KIND, (0, page[-1].id)) if has_more else None
    return f'{{"items":[{items}],"next_cursor":{json.dumps(more)}}}'

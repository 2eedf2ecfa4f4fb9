"""Pages of a list, newest first, by the key of the last row shown.

A cursor holds that key, so it stays valid while rows are added or removed: the next page is what
is below the key, wherever the row itself has gone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from pool.errors import InvalidRequest
from pool.executions.execution import Execution
from pool.executions.status import ExecutionStatus
from pool.keys.access import ALL, FULL_ACCESS, Access
from pool.storage.database import Bindings
from pool.storage.documents import micros, note_unreadable
from pool.usage.records import UsageSource
from pool.values import Value

Item = TypeVar("Item")


class Page(Value, Generic[Item]):
    """Part of a list, and where the next part begins; None at the end."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


Key = tuple[int, str | int]
"""A time in microseconds, and what orders the rows of one time."""

LARGEST = 2**63 - 1
NEWEST: Key = (LARGEST, "")
"""Above every row."""
MAX_LIMIT = 500


def check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest("limit", f"is {limit}: ask for 1 to {MAX_LIMIT}")


def cursor_at(kind: str, key: Key) -> str:
    """The cursor of a list after a key."""
    text = json.dumps([kind, *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decoded(cursor: str) -> Any:
    padded = cursor + "=" * (-len(cursor) % 4)
    text = base64.b64decode(padded, altchars=b"-_", validate=True)
    decoded = json.loads(text)
    json.dumps(decoded, ensure_ascii=False).encode()  # a lone surrogate is no key either
    return decoded


def start_of(kind: str, cursor: str | None, newest: Key = NEWEST) -> Key:
    """The key below which a page begins. ``kind`` names the list; ``newest`` has the key's types.

    Raises ``InvalidRequest`` for a cursor that this list never gave.
    """
    if cursor is None:
        return newest
    try:
        match _decoded(cursor):
            case [str(named), int(at), (str() | int()) as last] if (
                named == kind
                and type(last) is type(newest[1])
                and abs(at) <= LARGEST
                and (isinstance(last, str) or abs(last) <= LARGEST)
            ):
                return at, last
    except (ValueError, RecursionError):
        pass
    raise InvalidRequest("cursor", "is none of this list: take next_cursor of the page before")


def cursor_of(execution: Execution) -> str:
    """Where a list of executions goes on below this one, in whichever ledger: so that the lists of
    several subscriptions can be shown as one.
    """
    return cursor_at("executions", (micros(execution.created_at), execution.id))


def newest_first(pages: Iterable[Page[Execution]], limit: int) -> Page[Execution]:
    """Pages of several subscriptions as one. While an execution is handed on both ends have it: the
    one where it has come furthest is shown.
    """
    furthest: dict[str, Execution] = {}
    more = False
    for part in pages:
        more |= part.next_cursor is not None
        for each in part.items:
            known = furthest.get(each.id)
            if known is None or len(known.attempts) < len(each.attempts):
                furthest[each.id] = each
    found = sorted(furthest.values(), key=lambda each: (each.created_at, each.id), reverse=True)
    items = tuple(found[:limit])
    more |= len(found) > limit
    return Page[Execution](
        items=items, next_cursor=cursor_of(items[-1]) if items and more else None
    )


def page(kind: str, limit: int, rows: Sequence[Any], read: Callable[[Any], Item]) -> Page[Item]:
    """A page of ``rows``: they begin with their key, and are more than ``limit`` if more follow.

    A row that cannot be read is passed over and logged: it must not take the list down.
    """
    shown = rows[:limit]
    more = len(rows) > limit
    return Page[Any](
        items=tuple(_readable(kind, shown, read)),
        next_cursor=cursor_at(kind, (shown[-1][0], shown[-1][1])) if more else None,
    )


def _readable(kind: str, rows: Sequence[Any], read: Callable[[Any], Item]) -> Iterator[Item]:
    for row in rows:
        try:
            item = read(row)
        except ValueError as error:
            note_unreadable(kind, error, key=str(row[1]))
        else:
            yield item


_ALSO = {ExecutionStatus.QUEUED: ExecutionStatus.MOVING.value}


def executions_below(
    limit: int,
    cursor: str | None,
    status: ExecutionStatus | None,
    session_id: str | None,
    *,
    with_moved: bool,
    access: Access = FULL_ACCESS,
) -> tuple[str, Bindings]:
    """The statement by which they are found, and its bindings."""
    check_limit(limit)
    at, last = start_of("executions", cursor)
    bindings = {
        "at": at,
        "id": last,
        "limit": limit + 1,
        "status": None if status is None else status.value,
        "also": _ALSO.get(status) if status is not None else None,
        "session_id": session_id,
        "with_moved": with_moved,
        "tenant": access.tenant,
        "models": None if access.models == ALL else json.dumps(access.read_models),
    }
    if session_id is not None:
        return "executions_by_session", bindings
    if access.tenant is not None:
        return "executions_by_tenant", bindings
    if access.models != ALL:
        return "executions_of_models", bindings
    if status is None:
        return "executions", bindings
    return "executions_by_statuses" if status in _ALSO else "executions_by_status", bindings


def homes_below(
    limit: int, cursor: str | None, subscription_id: str | None, access: Access = FULL_ACCESS
) -> Bindings:
    check_limit(limit)
    at, last = start_of("sessions", cursor)
    return {
        "at": at,
        "id": last,
        "limit": limit + 1,
        "subscription_id": subscription_id,
        "tenant": access.tenant,
        "open": None if access.subscriptions == ALL else json.dumps(access.subscriptions),
    }


def usage_below(
    limit: int,
    cursor: str | None,
    since: datetime | None,
    until: datetime | None,
    source: UsageSource | None,
    tenant: str | None = None,
) -> Bindings:
    check_limit(limit)
    start = start_of("usage", cursor)
    at, last = start if until is None else min(start, (micros(until), ""))
    oldest = -LARGEST if since is None else micros(since)
    return {
        "since": oldest,
        "at": at,
        "id": last,
        "limit": limit + 1,
        "source": None if source is None else source.value,
        "tenant": tenant,
    }


def blocks_below(limit: int, cursor: str | None) -> Bindings:
    check_limit(limit)
    at, _ = start_of("blocks", cursor)
    return {"at": at, "limit": limit + 1}


def limits_below(limit: int, cursor: str | None) -> Bindings:
    check_limit(limit)
    at, seq = start_of("limits", cursor, newest=(LARGEST, 0))
    return {"at": at, "seq": seq, "limit": limit + 1}

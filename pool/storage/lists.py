"""What a page of each list asks of its statement: the bindings, checked.

One row more than the page holds is asked for: whether it is there says whether a page follows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pool.executions.execution import ExecutionStatus
from pool.storage.documents import micros
from pool.storage.paging import LARGEST, check_limit, start_of
from pool.usage.records import UsageSource

Bindings = dict[str, Any]
_ALSO = {ExecutionStatus.QUEUED: ExecutionStatus.MOVING.value}
"""A second status of rows that callers are shown with the first one. What has ``moved`` is shown by
whoever has it now."""


def executions_below(
    limit: int,
    cursor: str | None,
    status: ExecutionStatus | None,
    session_id: str | None,
    *,
    with_moved: bool,
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
    }
    if session_id is not None:
        return "executions_by_session", bindings
    if status is None:
        return "executions", bindings
    return "executions_by_statuses" if status in _ALSO else "executions_by_status", bindings


def homes_below(limit: int, cursor: str | None, subscription_id: str | None) -> Bindings:
    check_limit(limit)
    at, last = start_of("sessions", cursor)
    return {"at": at, "id": last, "limit": limit + 1, "subscription_id": subscription_id}


def usage_below(
    limit: int,
    cursor: str | None,
    since: datetime | None,
    until: datetime | None,
    source: UsageSource | None,
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
    }


def blocks_below(limit: int, cursor: str | None) -> Bindings:
    check_limit(limit)
    at, _ = start_of("blocks", cursor)
    return {"at": at, "limit": limit + 1}


def limits_below(limit: int, cursor: str | None) -> Bindings:
    check_limit(limit)
    at, seq = start_of("limits", cursor, newest=(LARGEST, 0))
    return {"at": at, "seq": seq, "limit": limit + 1}

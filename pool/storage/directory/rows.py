"""Values of the directory as rows, and values of rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pool.executions.session import SessionHome, SessionMove
from pool.storage.database import Bindings
from pool.storage.directory.claims import Claim, NewClaim, Registration
from pool.storage.documents import document, instant, micros


def session_home(row: Sequence[Any]) -> SessionHome:
    session_id, subscription_id, used_at, fetch_from, tenant = row
    return SessionHome(
        session_id=session_id,
        subscription_id=subscription_id,
        used_at=instant(used_at),
        fetch_from=fetch_from,
        tenant=tenant,
    )


def listed_home(row: Sequence[Any]) -> SessionHome:
    """A session's home from a row of a page, which begins with its key."""
    used_at, session_id, subscription_id, fetch_from, tenant = row
    return session_home((session_id, subscription_id, used_at, fetch_from, tenant))


def session_move(row: Sequence[Any]) -> SessionMove:
    session_id, from_subscription_id, to_subscription_id, moved_at = row
    return SessionMove(
        session_id=session_id,
        from_subscription_id=from_subscription_id,
        to_subscription_id=to_subscription_id,
        moved_at=instant(moved_at),
    )


def arrival(session_id: str, fetched_from: str, subscription_id: str, now: datetime) -> Bindings:
    """The columns of a move that ends now."""
    return {
        "session_id": session_id,
        "moved_at": micros(now),
        "from_subscription_id": fetched_from,
        "to_subscription_id": subscription_id,
    }


def claim_columns(wanted: NewClaim) -> Bindings:
    return {
        "execution_id": wanted.execution_id,
        "key": wanted.key,
        "digest": wanted.digest,
        "now": micros(wanted.at),
    }


def claim(row: Sequence[Any]) -> Claim:
    """A claim from the columns of its row, in the order in which they are selected."""
    execution_id, digest, created_at, subscription_id, placement, epoch = row
    return Claim(
        execution_id=execution_id,
        digest=digest,
        created_at=instant(created_at),
        subscription_id=subscription_id,
        placement=placement,
        epoch=epoch,
    )


def registration_columns(registration: Registration) -> Bindings:
    return {
        "id": registration.spec.id,
        "created_at": micros(registration.created_at),
        "document": document(registration),
    }

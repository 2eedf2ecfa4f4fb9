"""A conversation with the CLI as it is shown: where it lives, when it was used, where it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from pool.values import Instant, Value


class SessionTotal(Value):
    """A session of the CLI on this subscription."""

    session_id: str
    total_nano_usd: int | None
    """The CLI's own running total after the last run that reported one."""
    last_used_at: Instant


class SessionHome(Value):
    """The subscription that holds a session."""

    session_id: str
    subscription_id: str
    used_at: Instant
    fetch_from: str | None = None
    """Where its transcript still is, after a move: it is fetched before the next turn."""
    tenant: str | None = None
    """Whom it belongs to; None for nobody, and where nobody noted it."""


class SessionMove(Value):
    """A session's transcript was brought from one subscription to another."""

    session_id: str
    from_subscription_id: str
    to_subscription_id: str
    moved_at: Instant


ACTIVE_FOR = timedelta(minutes=5)
IDLE_FOR = timedelta(minutes=60)


class SessionAge(StrEnum):
    ACTIVE = "active"
    """Used within five minutes."""
    IDLE = "idle"
    """Used within an hour."""
    STALE = "stale"


class Session(Value):
    """A session at one instant."""

    id: str
    subscription_id: str
    state: SessionAge
    last_used_at: Instant
    """When its last turn was requested."""
    fetch_from: str | None = None
    """It was given a new home, and its transcript is fetched from here before the next turn."""
    tenant: str | None = None
    """Whom it belongs to, as in its executions."""
    moves: tuple[SessionMove, ...] = ()
    """Where it has been, oldest first; only where one session is asked for."""


def age_of(last_used_at: datetime, now: datetime) -> SessionAge:
    """How long a session has rested."""
    rested = now - last_used_at
    if rested < ACTIVE_FOR:
        return SessionAge.ACTIVE
    return SessionAge.IDLE if rested < IDLE_FOR else SessionAge.STALE


def session_of(home: SessionHome, now: datetime, moves: Sequence[SessionMove] = ()) -> Session:
    """A session as the directory knows it."""
    return Session(
        id=home.session_id,
        subscription_id=home.subscription_id,
        state=age_of(home.used_at, now),
        last_used_at=home.used_at,
        fetch_from=home.fetch_from,
        tenant=home.tenant,
        moves=tuple(moves),
    )

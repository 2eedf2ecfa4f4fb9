"""Portions: parts of a directory on their way from one store to another."""

from __future__ import annotations

from pool.alerts.delivery import ListedAlert
from pool.alerts.thresholds import AlertState
from pool.executions.session import SessionHome, SessionMove
from pool.keys.account import Charge, HourSpent, Settled
from pool.keys.api_keys import ApiKey
from pool.storage.directory.claims import Registration
from pool.values import Instant, Value


class KeptCharge(Value):
    """A charge with everything that is kept of it; not settled while it is open."""

    charge: Charge
    settled: Settled | None


class KeyHour(Value):
    """What a key has spent in an hour."""

    key_id: str
    spent: HourSpent


class KeptClaim(Value):
    """A claim with everything that is kept of it."""

    execution_id: str
    key: str | None
    digest: str
    created_at: Instant
    used_at: Instant
    subscription_id: str | None
    placement: int = 0
    epoch: int = 0


class KeptHome(SessionHome):
    """A session's home with everything that is kept of it."""

    conversation: str | None = None
    last_execution_id: str | None = None


class DirectoryPortion(Value):
    """Part of a directory on its way to another store."""

    registrations: tuple[Registration, ...] = ()
    claims: tuple[KeptClaim, ...] = ()
    homes: tuple[KeptHome, ...] = ()
    moves: tuple[SessionMove, ...] = ()
    levels: tuple[AlertState, ...] = ()
    alerts: tuple[ListedAlert, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    charges: tuple[KeptCharge, ...] = ()
    key_hours: tuple[KeyHour, ...] = ()

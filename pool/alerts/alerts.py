"""Alerts: what an operator should hear of, once.

An alert is a value with an id that follows from what happened: its kind, whom it is about, and a
key of the happening. Two routers that see the same thing, or one that sees it again after a crash,
make the same id, and the outbox keeps one. Limits that are crossed are found by ``thresholds``;
single happenings are made here. Alerts carry ids and figures, never prompts, answers or secrets.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pool.values import Instant, Value

POOL = "pool"
"""The subject of alerts that are about no single subscription."""
ONCE_IN = timedelta(minutes=10)
"""Happenings of the same key within one such span of the clock are one alert: an outage that
hits a thousand executions alerts once."""


class AlertKind(StrEnum):
    USAGE_THRESHOLD = "usage_threshold"
    """A share of a budget or of one of Anthropic's windows is used."""
    LIMIT_REACHED = "limit_reached"
    COOLDOWN = "cooldown"
    NEEDS_LOGIN = "needs_login"
    LOGIN_EXPIRES = "login_expires"
    """A login ends within days, or has ended."""
    FAILOVER = "failover"
    SESSION_MOVED = "session_moved"
    UNCERTAIN_USAGE = "uncertain_usage"
    """Something ran whose cost nobody could know."""
    POOL_NEARLY_DRY = "pool_nearly_dry"
    USAGE_OUTSIDE_POOL = "usage_outside_pool"
    """Somebody uses the same account outside the pool."""
    USAGE_DIFFERS = "usage_differs"
    """The pool's records and Anthropic's reports disagree."""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


SEVERITIES = {
    AlertKind.USAGE_THRESHOLD: Severity.WARNING,
    AlertKind.LIMIT_REACHED: Severity.CRITICAL,
    AlertKind.COOLDOWN: Severity.WARNING,
    AlertKind.NEEDS_LOGIN: Severity.CRITICAL,
    AlertKind.LOGIN_EXPIRES: Severity.WARNING,
    AlertKind.FAILOVER: Severity.WARNING,
    AlertKind.SESSION_MOVED: Severity.INFO,
    AlertKind.UNCERTAIN_USAGE: Severity.WARNING,
    AlertKind.POOL_NEARLY_DRY: Severity.CRITICAL,
    AlertKind.USAGE_OUTSIDE_POOL: Severity.WARNING,
    AlertKind.USAGE_DIFFERS: Severity.WARNING,
}

Data = dict[str, str | int | float | bool | None]
"""The evidence, flat: times as text, amounts as numbers of US dollars."""


class AlertSettings(Value):
    """``[alerts]``: when something alerts, and for how long its delivery is tried."""

    percent: Annotated[tuple[Annotated[float, Field(gt=0, le=1000)], ...], Field(max_length=10)] = (
        80.0,
        90.0,
    )
    """Thresholds for the weekly budget and for each of Anthropic's windows."""
    hysteresis_points: Annotated[float, Field(ge=0, le=100)] = 5.0
    """How far below a threshold usage has to fall before the threshold can alert again."""
    outside_percent: Annotated[float, Field(gt=0, le=100)] = 10.0
    """How much of a window may be used outside the pool before it alerts."""
    quiet_minutes: Annotated[float, Field(ge=0, le=24 * 60)] = 10.0
    """How long a condition (a cooldown, a missing login) has to be over before it can alert
    again."""
    login_expires_days: Annotated[float, Field(ge=0, le=90)] = 7.0
    """How long before the end of a login it alerts; the login may be over up to three days before
    the end that the CLI keeps."""
    pool_dry_hours: Annotated[float, Field(gt=0, le=168)] = 12.0
    """The pool is nearly dry when its headroom lasts no longer than this at the present rate."""
    give_up_hours: Annotated[float, Field(gt=0, le=168)] = 24.0
    """How old an alert may grow before a webhook that does not take it is given up on."""


class Alert(Value):
    """One thing that operators have to know."""

    id: str
    kind: AlertKind
    severity: Severity
    subject: str
    """The subscription it is about, or ``pool``."""
    message: str
    data: Data = Field(default_factory=dict)
    raised_at: Instant


def alert_id(kind: AlertKind, subject: str, key: str) -> str:
    """The id of what happened: the same for whoever sees it."""
    digest = hashlib.sha256(f"{kind}\n{subject}\n{key}".encode()).hexdigest()
    return f"alert_{digest[:32]}"


def happened(
    kind: AlertKind,
    subject: str,
    message: str,
    *,
    key: str,
    now: datetime,
    data: Data | None = None,
) -> Alert:
    """An alert about a single happening; ``key`` tells it from others of its kind and subject."""
    return Alert(
        id=alert_id(kind, subject, key),
        kind=kind,
        severity=SEVERITIES[kind],
        subject=subject,
        message=message,
        data=data or {},
        raised_at=now,
    )


def failover(subscription_id: str, cause: str, execution_id: str, now: datetime) -> Alert:
    """An execution that a subscription could not run was given to the next one."""
    span = int(now.timestamp() // ONCE_IN.total_seconds())
    return happened(
        AlertKind.FAILOVER,
        subscription_id,
        f"{subscription_id} failed ({cause}); its work is tried on other subscriptions",
        key=f"{cause} {span}",
        now=now,
        data={"cause": cause, "first_execution_id": execution_id},
    )


def session_moved(session_id: str, source: str, target: str, now: datetime) -> Alert:
    """A session was moved to another subscription, which holds it from ``now``."""
    return happened(
        AlertKind.SESSION_MOVED,
        target,
        f"a session moved from {source} to {target}",
        key=f"{session_id} {now.isoformat()}",
        now=now,
        data={"session_id": session_id, "from": source, "to": target},
    )

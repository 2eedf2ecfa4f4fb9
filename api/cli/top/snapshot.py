"""What is known of a pool at one instant, and how large the terminal is that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pool.alerts.delivery import ListedAlert
from pool.executions.execution import Execution
from pool.subscriptions.overview.pool_overview import Overview
from pool.subscriptions.overview.verdict import serves
from pool.subscriptions.report import Report, SubscriptionState

_URGENT = frozenset(
    {SubscriptionState.NEEDS_LOGIN, SubscriptionState.LIMITED, SubscriptionState.COOLDOWN}
)


@dataclass(frozen=True)
class Silence:
    """The service does not answer, or answers something else."""

    since: datetime
    title: str
    detail: str


@dataclass(frozen=True)
class Snapshot:
    """The pool as it was last read."""

    overview: Overview
    reports: tuple[Report, ...]
    """The most urgent first."""
    executions: tuple[Execution, ...] = ()
    """The live ones first, then those that were asked for last."""
    alerts: tuple[ListedAlert, ...] = ()
    today_usd: Decimal | None = None
    """Since midnight in UTC; None where it is not known."""
    silence: Silence | None = None
    back_since: datetime | None = None
    """When the service answered again."""


@dataclass(frozen=True)
class Frame:
    """What it is drawn for. Without a height everything is shown, one below the other."""

    now: datetime
    width: int = 80
    height: int | None = None
    has_keys: bool = False


def by_urgency(reports: list[Report]) -> tuple[Report, ...]:
    """In need first, then those that run dry soonest, then the fullest."""
    return tuple(sorted(reports, key=_urgency))


def _urgency(report: Report) -> tuple[int, float, float, str]:
    rank = 0 if report.state in _URGENT else 1 if serves(report) else 2
    ends = report.forecast.exhausted_at
    dry = ends.timestamp() if ends is not None else float("inf")
    return rank, dry, -report.weekly_percent, report.id


def live_first(executions: list[Execution]) -> tuple[Execution, ...]:
    return tuple(sorted(executions, key=lambda each: each.status.is_final))

"""The verdict on a pool: safe, tight or dry, and the facts that a reader needs first.

*Dry*: nobody takes work, or the last one who does has used up a limit within a day, before any
relief. *Tight*: relief comes in time; or subscriptions with a quarter of the serving weight run dry
within five hours; or less than half of the weight takes work; or work waits and no slot is free.
Everything else is *safe*: one of many that runs dry is no alarm, since the others take its work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from pool.money import Usd
from pool.subscriptions.report import Report, SubscriptionState
from pool.values import Instant, Value

SERVING = frozenset({SubscriptionState.AVAILABLE, SubscriptionState.APPROACHING})
"""The states in which a subscription takes work."""
FULL = 0.8
"""The share of a window from which its reset counts as relief."""
_AHEAD = timedelta(hours=24)
_SOON = timedelta(hours=5)
_LEAST_BURN = 0.005


class Level(StrEnum):
    EMPTY = "empty"
    """There is no subscription to judge."""
    SAFE = "safe"
    TIGHT = "tight"
    DRY = "dry"


class Due(Value):
    """Something that comes to a subscription at an instant, and by which limit or state."""

    subscription_id: str
    at: Instant
    by: str


class Burner(Value):
    """The subscription that spends most, with its share of what all of them spend, 0 to 1."""

    subscription_id: str
    usd_per_hour: Usd
    share: float


class Verdict(Value):
    """Whether the pool lasts."""

    level: Level
    serving: int
    """How many subscriptions take work."""
    first_dry: Due | None
    """Who runs dry first."""
    relief: Due | None
    """When the next one that does not serve, or is nearly full, has room again."""
    burner: Burner | None


def serves(report: Report) -> bool:
    return report.state in SERVING


def verdict(reports: Sequence[Report], now: datetime) -> Verdict:
    """Judge a pool by the reports of its subscriptions."""
    serving = [each for each in reports if serves(each)]
    relief = _relief(reports, now)
    return Verdict(
        level=_level(reports, serving, relief, now),
        serving=len(serving),
        first_dry=_first_dry(serving),
        relief=relief,
        burner=_burner(reports),
    )


def pool_dry_at(reports: Sequence[Report], now: datetime) -> datetime | None:
    """When the last subscription that takes work has used up a limit, each at its own rate; now
    where none takes work, None where one of them lasts.
    """
    if not reports:
        return None
    ends = [each.forecast.exhausted_at for each in reports if serves(each)]
    known = [at for at in ends if at is not None]
    return max(known, default=now) if len(known) == len(ends) else None


def _level(
    reports: Sequence[Report],
    serving: Sequence[Report],
    relief: Due | None,
    now: datetime,
) -> Level:
    if not reports:
        return Level.EMPTY
    if not serving:
        return Level.DRY
    dry_at = pool_dry_at(reports, now)
    if dry_at is not None and dry_at - now < _AHEAD:
        return Level.TIGHT if relief is not None and relief.at <= dry_at else Level.DRY
    soon = [each for each in serving if _lasts(each, now) < _SOON]
    size = _weight(serving)
    no_slot = all(each.running >= each.capacity for each in serving)
    waits = any(each.queued for each in reports)
    is_tight = _weight(soon) >= size / 4 or size * 2 < _weight(reports) or (no_slot and waits)
    return Level.TIGHT if is_tight else Level.SAFE


def _weight(reports: Iterable[Report]) -> float:
    return sum(each.weight for each in reports)


def _lasts(report: Report, now: datetime) -> timedelta:
    ends = report.forecast.exhausted_at
    return timedelta.max if ends is None else ends - now


def _first_dry(serving: Iterable[Report]) -> Due | None:
    ends = (
        Due(subscription_id=each.id, at=at, by=each.forecast.exhausted_by or "weekly_budget")
        for each in serving
        if (at := each.forecast.exhausted_at) is not None
    )
    return min(ends, key=lambda each: each.at, default=None)


def _relief(reports: Iterable[Report], now: datetime) -> Due | None:
    found = (due for each in reports for due in _reliefs(each) if due.at > now)
    return min(found, key=lambda each: each.at, default=None)


def _reliefs(report: Report) -> Iterable[Due]:
    # That somebody looks again for a login brings nothing back by itself.
    if not serves(report) and report.state is not SubscriptionState.NEEDS_LOGIN:
        if report.state_until is not None:
            yield Due(subscription_id=report.id, at=report.state_until, by="state")
        return
    for name, window in report.windows.items() if serves(report) else ():
        is_full = window.status == "rejected" or (window.utilization or 0) >= FULL
        if window.fresh and is_full and window.models is None and window.resets_at is not None:
            yield Due(subscription_id=report.id, at=window.resets_at, by=name)


def _burner(reports: Sequence[Report]) -> Burner | None:
    total = sum(each.burn_rate_usd_per_hour for each in reports)
    if total < _LEAST_BURN:
        return None
    most = max(reports, key=lambda each: each.burn_rate_usd_per_hour)
    rate = most.burn_rate_usd_per_hour
    return Burner(subscription_id=most.id, usd_per_hour=rate, share=float(rate / total))

"""A subscription as a candidate for one request: its place among the others, and why it refuses.

Everything here follows from one report, from how many requests were sent there since, and from the
clock. ``ranking`` puts candidates in order; ``live_ranking`` keeps that order up to date, for which
a place is cheap, and says from when on it may be another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pool.limits.windows import FIVE_HOUR
from pool.routing.policy import RoutingPolicy, Strategy
from pool.subscriptions.admission import Ask, Refusal, RefusalCause, refusal
from pool.subscriptions.report import Report

WASTES_WITHIN = timedelta(hours=1)
"""A window that resets later than this may still be used up in the ordinary way."""
HEALTHY_ENOUGH = 30.0
_INSTANT = timedelta(microseconds=1)


class Place(NamedTuple):
    """What orders the candidates that can take a request, and those that cannot; the least first.

    An earlier tier goes before a later one, whose subscriptions serve only what the earlier cannot
    take. In a tier a free slot goes before a queue; then what the strategy prefers; then the
    healthier, to the point; then the less loaded for its plan's weight; then the one that has
    rested longest.
    """

    tier: int
    is_full: bool
    preference: float
    health: int
    load: float
    last_request: float
    subscription_id: str


@dataclass(frozen=True)
class RankedCandidate:
    """A subscription's place in the ranking of one request."""

    report: Report
    place: Place
    score: float
    """Health, less what was sent there since the report."""
    refusal: Refusal | None
    age_seconds: float
    occupied: int
    """Running, waiting and just sent work."""

    @property
    def free_slots(self) -> int:
        return max(0, self.report.capacity - self.occupied)

    @property
    def order(self) -> tuple[bool, Place]:
        """What candidates are sorted by: those that must refuse come last."""
        return self.refusal is not None, self.place


def candidate(
    report: Report, sent: int, ask: Ask, policy: RoutingPolicy, now: datetime
) -> RankedCandidate:
    """A subscription for a request. ``sent`` counts requests that went there and are not in its
    report yet.
    """
    refused = refusal(report, ask, policy.limits)
    return RankedCandidate(
        report=report,
        place=place_of(report, sent, policy, now),
        score=max(0.0, report.health.score - policy.weights.per_running * sent),
        refusal=standing_refusal(refused, report, sent, policy, now),
        age_seconds=max(0.0, (now - report.observed_at).total_seconds()),
        occupied=_occupied(report, sent),
    )


def place_of(report: Report, sent: int, policy: RoutingPolicy, now: datetime) -> Place:
    """Where a subscription stands among others, whatever is asked for."""
    occupied, last = _occupied(report, sent), report.last_request_at
    rank = report.health.unclamped - policy.weights.per_running * sent
    return Place(
        tier=report.tier,
        is_full=occupied >= report.capacity,
        preference=-_preference(report, policy, now),
        health=-round(rank),  # without bounds: two scores of 100 need not be alike
        load=occupied / report.weight,
        last_request=last.timestamp() if last else 0.0,
        subscription_id=report.id,
    )


def standing_refusal(
    refused: Refusal | None, report: Report, sent: int, policy: RoutingPolicy, now: datetime
) -> Refusal | None:
    """What is left at ``now`` of a refusal by a report, or what stands in its place."""
    longest = timedelta(seconds=policy.settings.max_report_age_seconds)
    age = now - report.observed_at
    if age > longest:
        return Refusal(
            cause=RefusalCause.STALE_REPORT,
            detail=f"its last report is {age.total_seconds():.0f} s old",
            until=now + longest,
        )
    if refused is not None and not has_lifted(refused.until, now):
        return refused
    occupied = _occupied(report, sent)
    if occupied < report.capacity + report.max_queued:
        return None
    return Refusal(cause=RefusalCause.QUEUE_FULL, detail=f"{occupied} attempts fill every place")


def has_lifted(until: datetime | None, now: datetime) -> bool:
    """Whether a refusal's time is over since the report was made: then the subscription itself
    decides.
    """
    return until is not None and until <= now


def turns(
    refused: Refusal | None, report: Report, policy: RoutingPolicy, now: datetime
) -> datetime | None:
    """When a place, or what is left of a refusal, may be another one by the clock alone."""
    return min((at for at in _moments(refused, report, policy) if now < at), default=None)


def _moments(refused: Refusal | None, report: Report, policy: RoutingPolicy) -> Iterator[datetime]:
    longest = timedelta(seconds=policy.settings.max_report_age_seconds)
    yield report.observed_at + longest + _INSTANT
    if refused is not None and refused.until is not None:
        yield refused.until
    window = report.windows.get(FIVE_HOUR)
    if policy.settings.strategy is not Strategy.HEALTHIEST and window and window.resets_at:
        yield window.resets_at - WASTES_WITHIN
        yield window.resets_at


def _occupied(report: Report, sent: int) -> int:
    return report.running + report.queued + sent


def _preference(report: Report, policy: RoutingPolicy, now: datetime) -> float:
    """What goes before health: the share of a window that its reset is about to waste, or 0."""
    window = report.windows.get(FIVE_HOUR)
    if policy.settings.strategy is Strategy.HEALTHIEST or window is None or not window.fresh:
        return 0.0
    if window.resets_at is None or not now < window.resets_at <= now + WASTES_WITHIN:
        return 0.0
    if window.utilization is None or report.health.score < HEALTHY_ENOUGH:
        return 0.0
    return round(max(0.0, 1.0 - window.utilization), 2)

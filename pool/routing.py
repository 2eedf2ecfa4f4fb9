"""Which subscription to ask first, and why.

Ranking reads what the router remembers: one report a subscription and how many requests it has
sent there since. It calls nobody, so that a decision costs the same whoever is slow. What was just
sent counts at once, so that a burst spreads instead of falling on the one that looked best (the
herd). The owner's admission is what counts in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from pool.admission import AdmissionLimits, Ask, Refusal, RefusalCause, refusal
from pool.execution import Candidate, Routing
from pool.health import HealthWeights
from pool.report import Report
from pool.value import Value


class RankedCandidate(Value):
    """A subscription's place in the ranking of one request."""

    report: Report
    score: float
    """Health, less what was sent there since the report."""
    refusal: Refusal | None
    age_seconds: float
    load: float
    """Running, waiting and just sent work for each unit of plan weight."""
    has_free_slot: bool


class Ranking(Value):
    """Every subscription, the best first; those that must refuse come last."""

    candidates: tuple[RankedCandidate, ...]

    @property
    def usable(self) -> tuple[RankedCandidate, ...]:
        return tuple(each for each in self.candidates if each.refusal is None)

    def refused(self, refusals: Mapping[str, Refusal]) -> Ranking:
        """The ranking once some have refused for themselves, which outweighs any report."""
        known = (
            each.model_copy(update={"refusal": refusals.get(each.report.id, each.refusal)})
            for each in self.candidates
        )
        return Ranking(candidates=tuple(sorted(known, key=_order)))

    @property
    def retry_at(self) -> datetime | None:
        """The earliest instant at which one of the refusals lifts by the clock."""
        expiries = (each.refusal.until for each in self.candidates if each.refusal is not None)
        return min((until for until in expiries if until is not None), default=None)

    @property
    def is_exhausted(self) -> bool:
        """Whether waiting helps: some seat refuses for want of headroom alone."""
        return any(
            each.refusal is not None and each.refusal.cause.is_exhaustion
            for each in self.candidates
        )

    @property
    def reasons(self) -> str:
        """Every refusal as one line."""
        return "; ".join(
            f"{each.report.id}: {each.refusal.detail}"
            for each in self.candidates
            if each.refusal is not None
        )


class RoutingPolicy(Value):
    """What ranking takes from configuration."""

    limits: AdmissionLimits = AdmissionLimits()
    weights: HealthWeights = HealthWeights()
    max_report_age_seconds: float = 60.0
    """An owner that was not heard from for longer is not asked."""


def _candidate(
    report: Report, sent: int, ask: Ask, policy: RoutingPolicy, now: datetime
) -> RankedCandidate:
    age = max(0.0, (now - report.observed_at).total_seconds())
    refused = refusal(report, ask, policy.limits)
    if age > policy.max_report_age_seconds:
        refused = Refusal(
            cause=RefusalCause.STALE_REPORT,
            detail=f"it was last heard from {age:.0f} s ago",
            until=now + timedelta(seconds=policy.max_report_age_seconds),
        )
    occupied = report.running + report.queued + sent
    if refused is None and occupied >= report.max_concurrent + report.max_queued:
        refused = Refusal(
            cause=RefusalCause.QUEUE_FULL, detail=f"{occupied} attempts fill every place"
        )
    return RankedCandidate(
        report=report,
        score=max(0.0, report.health.score - policy.weights.per_running * sent),
        refusal=refused,
        age_seconds=age,
        load=occupied / report.weight,
        has_free_slot=occupied < report.max_concurrent,
    )


def _order(candidate: RankedCandidate) -> tuple[bool, bool, float, float, float, str]:
    last = candidate.report.last_request_at
    return (
        candidate.refusal is not None,
        not candidate.has_free_slot,
        -round(candidate.score),
        candidate.load,
        last.timestamp() if last else 0.0,
        candidate.report.id,
    )


def rank(
    reports: Iterable[Report],
    ask: Ask,
    policy: RoutingPolicy,
    now: datetime,
    sent: Mapping[str, int] | None = None,
) -> Ranking:
    """Rank subscriptions for one request.

    A free slot goes before a queue; then the healthier, to the point; then the less loaded for its
    plan's weight; then the one that has rested longest. ``sent`` counts requests that went to a
    subscription and are not in its report yet.
    """
    counts = sent or {}
    candidates = [
        _candidate(report, counts.get(report.id, 0), ask, policy, now) for report in reports
    ]
    return Ranking(candidates=tuple(sorted(candidates, key=_order)))


def explained(ranking: Ranking, chosen: str, reason: str) -> Routing:
    """The ranking as an execution keeps it: why it went to ``chosen``."""
    scores = {each.report.id: each.score for each in ranking.candidates}
    return Routing(
        score=scores.get(chosen, 0.0),
        reason=reason,
        candidates=tuple(
            Candidate(
                subscription_id=each.report.id,
                score=each.score,
                refusal=each.refusal.detail if each.refusal else None,
                report_age_seconds=round(each.age_seconds, 3),
            )
            for each in ranking.candidates
        ),
    )

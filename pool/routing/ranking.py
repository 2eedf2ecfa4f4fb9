"""The ranking of subscriptions for a request, and the reason for it.

Ranking reads what the router remembers: one report a subscription and how many requests it has
sent there since. It calls nobody, so that a decision costs the same whoever is slow. What was just
sent counts at once, so that a burst spreads instead of falling on the one that looked best (the
herd). The owner's admission is what counts in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pool.executions.routing_record import Candidate, Routing
from pool.limits.windows import FIVE_HOUR
from pool.subscriptions.admission import AdmissionLimits, Ask, Refusal, RefusalCause, refusal
from pool.subscriptions.health import HealthWeights
from pool.subscriptions.report import Report
from pool.values import Value


class RankedCandidate(Value):
    """A subscription's place in the ranking of one request."""

    report: Report
    score: float
    """Health, less what was sent there since the report."""
    rank: float
    """The same without bounds: two scores of 100 need not be alike."""
    refusal: Refusal | None
    age_seconds: float
    load: float
    """Running, waiting and just sent work for each unit of plan weight."""
    has_free_slot: bool
    preference: float = 0.0
    """What goes before health, by the strategy; 0 as a rule."""


class Ranking(Value):
    """Every subscription, the best first; those that must refuse come last."""

    candidates: tuple[RankedCandidate, ...]

    @property
    def usable(self) -> tuple[RankedCandidate, ...]:
        return tuple(each for each in self.candidates if each.refusal is None)

    def of(self, subscription_id: str) -> RankedCandidate | None:
        found = (each for each in self.candidates if each.report.id == subscription_id)
        return next(found, None)

    def has_free_slot(self, subscription_id: str) -> bool:
        candidate = self.of(subscription_id)
        return candidate is not None and candidate.has_free_slot

    def barred(self, refusals: Mapping[str, Refusal]) -> Ranking:
        """The ranking without some; one that refuses anyway keeps its own reason."""
        return self.refused(
            {
                id_: candidate.refusal if candidate and candidate.refusal else refusal
                for id_, refusal in refusals.items()
                for candidate in (self.of(id_),)
            }
        )

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
        """Whether waiting helps: some subscription refuses for want of headroom alone."""
        return any(
            each.refusal is not None and each.refusal.cause.is_exhaustion
            for each in self.candidates
        )

    @property
    def is_without_the_model(self) -> bool:
        """Whether every subscription that is open to the request was refused its model."""
        causes = {each.refusal.cause for each in self.candidates if each.refusal is not None}
        return RefusalCause.MODEL in causes <= {RefusalCause.MODEL, RefusalCause.OTHER_WANTED}

    @property
    def reasons(self) -> str:
        """Every refusal as one line."""
        return "; ".join(
            f"{each.report.id}: {each.refusal.detail}"
            for each in self.candidates
            if each.refusal is not None
        )


class Strategy(StrEnum):
    """What is best among the subscriptions of a tier that have a free slot."""

    HEALTHIEST = "healthiest"
    USE_BEFORE_RESET = "use_before_reset"
    """The subscription whose window resets next and would waste most of its headroom, while it
    is healthy enough; else the healthiest."""


class RoutingSettings(Value):
    """``[routing]`` of the configuration."""

    strategy: Strategy = Strategy.HEALTHIEST
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    """Runs of one execution, each on another subscription, as long as none gave output."""
    queue_timeout_seconds: Annotated[float, Field(gt=0, le=86400)] = 600
    """How long a request may wait for a slot, unless it says so itself."""
    max_report_age_seconds: Annotated[float, Field(gt=0, le=3600)] = 60
    """An owner that was not heard from for longer is not asked."""


class RoutingPolicy(Value):
    """What ranking takes from configuration."""

    limits: AdmissionLimits = AdmissionLimits()
    weights: HealthWeights = HealthWeights()
    settings: RoutingSettings = RoutingSettings()


def _candidate(
    report: Report, sent: int, ask: Ask, policy: RoutingPolicy, now: datetime
) -> RankedCandidate:
    age = max(0.0, (now - report.observed_at).total_seconds())
    refused = refusal(report, ask, policy.limits)
    if refused is not None and refused.until is not None and refused.until <= now:
        refused = None  # it has lifted since the report was made: its owner is asked
    patience = policy.settings.max_report_age_seconds
    if age > patience:
        refused = Refusal(
            cause=RefusalCause.STALE_REPORT,
            detail=f"it was last heard from {age:.0f} s ago",
            until=now + timedelta(seconds=patience),
        )
    occupied = report.running + report.queued + sent
    if refused is None and occupied >= report.capacity + report.max_queued:
        refused = Refusal(
            cause=RefusalCause.QUEUE_FULL, detail=f"{occupied} attempts fill every place"
        )
    return RankedCandidate(
        report=report,
        score=max(0.0, report.health.score - policy.weights.per_running * sent),
        rank=report.health.unclamped - policy.weights.per_running * sent,
        refusal=refused,
        age_seconds=age,
        load=occupied / report.weight,
        has_free_slot=occupied < report.capacity,
        preference=_preference(report, policy, now),
    )


WASTES_WITHIN = timedelta(hours=1)
"""A window that resets later than this may still be used up in the ordinary way."""
HEALTHY_ENOUGH = 30.0


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


def _order(candidate: RankedCandidate) -> tuple[bool, int, bool, float, float, float, float, str]:
    last = candidate.report.last_request_at
    return (
        candidate.refusal is not None,
        candidate.report.tier,
        not candidate.has_free_slot,
        -candidate.preference,
        -round(candidate.rank),
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
    home: str | None = None,
) -> Ranking:
    """Rank subscriptions for one request.

    An earlier tier goes before a later one, whose subscriptions serve only what the earlier cannot
    take. In a tier a free slot goes before a queue; then what the strategy prefers; then the
    healthier, to the point; then the less loaded for its plan's weight; then the one that has
    rested longest. ``sent`` counts requests that went to a subscription and are not in its report
    yet. At ``home`` it is the work of a running session, for which the limits are higher.
    """
    counts = sent or {}
    candidates = [
        _candidate(
            report,
            counts.get(report.id, 0),
            ask.model_copy(update={"goes_on": True}) if report.id == home else ask,
            policy,
            now,
        )
        for report in reports
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
                components=each.report.health.components,
                tier=each.report.tier,
                refusal=each.refusal.detail if each.refusal else None,
                refusal_cause=each.refusal.cause.value if each.refusal else None,
                refused_until=each.refusal.until if each.refusal else None,
                report_age_seconds=round(each.age_seconds, 3),
            )
            for each in ranking.candidates
        ),
    )

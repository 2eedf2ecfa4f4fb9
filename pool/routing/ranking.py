"""The ranking of subscriptions for a request, and the reason for it.

Ranking reads what the router remembers: one report a subscription and how many requests it has
sent there since. It calls nobody, so that a decision costs the same whoever is slow. What was just
sent counts at once, so that a burst spreads instead of falling on the one that looked best (the
herd). The subscription's own admission is what counts in the end.

This is the rule, over all subscriptions. A decision takes it from ``live_ranking``, which comes to
the same without looking at everybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pool.executions.routing_record import Candidate, Routing
from pool.keys.access import ALL
from pool.routing.candidates import RankedCandidate, candidate
from pool.routing.policy import RoutingPolicy
from pool.subscriptions.admission import Ask, Refusal, RefusalCause
from pool.subscriptions.report import Report


@dataclass(frozen=True)
class Question:
    """What a ranking is asked for: a request, and what is known of it besides."""

    ask: Ask
    open_to: tuple[str, ...] = ALL
    """Patterns of the subscriptions that its caller may know of."""
    home: str | None = None
    """There it is the work of a running session, for which the limits are higher."""
    only: str | None = None
    """The one that its caller asks for."""
    asked: str | None = None
    """The subscription that got the execution before."""
    barred: Mapping[str, Refusal] = field(default_factory=dict)
    """Those that do not run it; one that refuses anyway keeps its own reason."""
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    """Those that have refused it for themselves, which outweighs any report."""

    @property
    def named(self) -> frozenset[str]:
        """Those that are of interest whatever their place."""
        single = {self.home, self.only, self.asked} - {None}
        return frozenset((*filter(None, single), *self.barred, *self.refused))

    @property
    def not_wanted(self) -> Refusal:
        """The refusal of whoever could take it, where its caller asks for another one."""
        detail = f"the caller asked for {self.only}"
        return Refusal(cause=RefusalCause.OTHER_WANTED, detail=detail)


@dataclass(frozen=True)
class Rest:
    """Subscriptions of a ranking that it counts instead of listing."""

    usable: int = 0
    refused: Mapping[RefusalCause, int] = field(default_factory=dict)
    retry_at: datetime | None = None
    """When the first of their refusals lifts by the clock."""

    def unwanted(self) -> Rest:
        """The same, where their caller asks for another one."""
        refused = Counter(self.refused) + Counter({RefusalCause.OTHER_WANTED: self.usable})
        return Rest(refused=refused, retry_at=self.retry_at)

    def __str__(self) -> str:
        refused = sorted(self.refused.items(), key=lambda each: (-each[1], each[0]))
        counts = (f"{count} {cause.value.replace('_', ' ')}" for cause, count in refused)
        return f"of {self.usable + sum(self.refused.values())} others " + ", ".join(counts)


@dataclass(frozen=True)
class Ranking:
    """Subscriptions for one request, the best first; those that must refuse come last."""

    candidates: tuple[RankedCandidate, ...]
    rest: Rest = Rest()
    """The others: where there are many, no decision needs them one by one."""

    @property
    def usable(self) -> tuple[RankedCandidate, ...]:
        """Those that can take it. The first is the best of all."""
        return tuple(each for each in self.candidates if each.refusal is None)

    @property
    def usable_count(self) -> int:
        return len(self.usable) + self.rest.usable

    def of(self, subscription_id: str) -> RankedCandidate | None:
        found = (each for each in self.candidates if each.report.id == subscription_id)
        return next(found, None)

    def has_free_slot(self, subscription_id: str) -> bool:
        candidate = self.of(subscription_id)
        return candidate is not None and not candidate.place.is_full

    def barred(self, refusals: Mapping[str, Refusal]) -> Ranking:
        """The ranking without some; one that refuses anyway keeps its own reason."""
        own = {each.report.id: each.refusal for each in self.candidates if each.refusal}
        return self.refused({**refusals, **own})

    def refused(self, refusals: Mapping[str, Refusal]) -> Ranking:
        """The ranking once some have refused for themselves, which outweighs any report."""
        known = (
            replace(each, refusal=refusals.get(each.report.id, each.refusal))
            for each in self.candidates
        )
        return replace(self, candidates=in_order(known))

    @property
    def retry_at(self) -> datetime | None:
        """The earliest instant at which one of the refusals lifts by the clock."""
        expiries = (each.until for each in self._refusals)
        return min((at for at in (*expiries, self.rest.retry_at) if at is not None), default=None)

    @property
    def causes(self) -> Counter[RefusalCause]:
        """How many refuse, by cause."""
        return Counter(each.cause for each in self._refusals) + Counter(self.rest.refused)

    @property
    def is_exhausted(self) -> bool:
        """Whether waiting helps: some subscription refuses for want of headroom alone."""
        return any(cause.is_exhaustion for cause in self.causes)

    @property
    def is_without_the_model(self) -> bool:
        """Whether every subscription that is open to the request was refused its model."""
        causes = set(self.causes)
        return RefusalCause.MODEL in causes <= {RefusalCause.MODEL, RefusalCause.OTHER_WANTED}

    @property
    def reasons(self) -> str:
        """The refusals as one line."""
        refusals = [
            f"{each.report.id}: {each.refusal.detail}"
            for each in self.candidates
            if each.refusal is not None
        ]
        return "; ".join([*refusals, *([str(self.rest)] if self.rest.refused else [])])

    @property
    def _refusals(self) -> Iterator[Refusal]:
        return (each.refusal for each in self.candidates if each.refusal is not None)


def in_order(candidates: Iterable[RankedCandidate]) -> tuple[RankedCandidate, ...]:
    return tuple(sorted(candidates, key=lambda each: each.order))


def rank(
    reports: Iterable[Report],
    ask: Ask,
    policy: RoutingPolicy,
    now: datetime,
    sent: Mapping[str, int] | None = None,
    home: str | None = None,
) -> Ranking:
    """Rank subscriptions for one request, as ``Place`` says.

    ``sent`` counts requests that went to a subscription and are not in its report yet. At ``home``
    it is the work of a running session, for which the limits are higher.
    """
    counts = sent or {}
    at_home = ask.model_copy(update={"goes_on": True})
    return Ranking(
        in_order(
            candidate(
                report, counts.get(report.id, 0), at_home if report.id == home else ask, policy, now
            )
            for report in reports
        )
    )


def ranked(
    reports: Iterable[Report],
    question: Question,
    policy: RoutingPolicy,
    now: datetime,
    sent: Mapping[str, int],
) -> Ranking:
    """Rank subscriptions for a request, with all that is known of it."""
    ranking = rank(reports, question.ask, policy, now, sent, home=question.home)
    ids = {each.report.id for each in ranking.candidates} if question.only else set()
    others = dict.fromkeys(ids - {question.only}, question.not_wanted)
    return ranking.barred({**others, **question.barred}).refused(question.refused)


def explained(ranking: Ranking, chosen: str, reason: str) -> Routing:
    """The ranking as an execution keeps it: why it went to ``chosen``."""
    at_chosen, refused = ranking.of(chosen), ranking.causes
    return Routing(
        score=at_chosen.score if at_chosen else 0.0,
        reason=reason,
        considered=ranking.usable_count + refused.total(),
        usable=ranking.usable_count,
        refused={cause.value: count for cause, count in sorted(refused.items())},
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

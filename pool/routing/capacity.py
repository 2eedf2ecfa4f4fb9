"""The capacity of the pool for further requests of a model: how many start at once, and, where that
is too few, when there are more and why not before.

A launcher or a CI asks this before it begins many runs. It is judged by the same ranking that
routes requests, so that it sees what a request would see; nothing is reserved by asking, and what
others send meanwhile counts for whoever comes first.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from pool.routing.candidates import RankedCandidate
from pool.routing.ranking import Ranking
from pool.subscriptions.admission import RefusalCause, room
from pool.values import Instant, Value

MOST_ASKED = 10_000


class SubscriptionCapacity(Value):
    """What one subscription can take."""

    subscription_id: str
    start_now: int
    refusal: str | None = None
    """Why it takes nothing at all; null where it does, or where only its slots are taken."""
    refused_until: Instant | None = None


class Capacity(Value):
    """What the pool can take at one instant."""

    model: str
    wanted: int = Field(ge=1, le=MOST_ASKED)
    start_now: int
    """How many of them would start at once: free slots for which the weekly budgets have room."""
    may_wait: int
    """How many more would be taken and wait for a slot."""
    retry_at: Instant | None = None
    """When the next subscription takes work again by the clock, where too few start now and that
    is known: runs that end free their slots before, at a time that nobody knows."""
    reason: str
    subscriptions: tuple[SubscriptionCapacity, ...] = ()
    """The best first."""
    observed_at: Instant


def capacity(ranking: Ranking, model: str, wanted: int, now: datetime) -> Capacity:
    """What becomes of ``wanted`` further requests, by a ranking made for one of them."""
    open_ones = (one for one in ranking.candidates if not _is_closed(one))
    each = tuple(_of_one(candidate) for candidate in open_ones)
    start_now = min(wanted, sum(one.start_now for one in each))
    free = {one.subscription_id: one.start_now for one in each}
    places = sum(
        max(0, _places(candidate) - free[candidate.report.id]) for candidate in ranking.usable
    )
    missing = wanted - start_now
    return Capacity(
        model=model,
        wanted=wanted,
        start_now=start_now,
        may_wait=min(missing, places),
        retry_at=ranking.retry_at if missing else None,
        reason=_reason(ranking, start_now, missing),
        subscriptions=each,
        observed_at=now,
    )


def _is_closed(candidate: RankedCandidate) -> bool:
    """Whether the caller's key may not use it."""
    refused = candidate.refusal
    return refused is not None and refused.cause is RefusalCause.OTHER_WANTED


def _of_one(candidate: RankedCandidate) -> SubscriptionCapacity:
    refused = candidate.refusal
    return SubscriptionCapacity(
        subscription_id=candidate.report.id,
        start_now=0 if refused else min(candidate.free_slots, _affordable(candidate)),
        refusal=refused.detail if refused else None,
        refused_until=refused.until if refused else None,
    )


def _affordable(candidate: RankedCandidate) -> int:
    """How many runs of typical cost the weekly budget has room for, over what is reserved."""
    report = candidate.report
    if report.typical_cost_usd <= 0:
        return candidate.free_slots
    return max(0, int(room(report) / report.typical_cost_usd))


def _places(candidate: RankedCandidate) -> int:
    """Slots and places in the queue that nobody has."""
    report = candidate.report
    return max(0, report.capacity + report.max_queued - candidate.occupied)


def _reason(ranking: Ranking, start_now: int, missing: int) -> str:
    if not missing:
        return "there is room for all of them"
    if not ranking.usable:
        return ranking.reasons or "no subscription is known, or none has come up yet"
    taken = f"{start_now} fit the free slots and the budgets of those that take work"
    return f"{taken}; {ranking.reasons}" if ranking.reasons else taken

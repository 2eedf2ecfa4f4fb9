"""Live rankings: the order of the subscriptions, kept up to date instead of made for each decision.

There is one for each kind of request (its model, and what its caller's key opens). A subscription
is judged anew when its report comes, when something is sent there, and at the moments that
``turns`` names; so a decision looks at the few that come first, at those that its request has to do
with, and at counts of all others, however many there are. What it comes to is what ``ranked``
comes to over all of them: the same rules judge each subscription here and there.

What a request reserves is the one thing that differs from request to request of a kind. So the room
in each budget is kept in order too, and those that have too little for a request are left out.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from pool.keys.access import Access
from pool.routing.candidates import Place, has_lifted, place_of, standing_refusal, turns
from pool.routing.policy import RoutingPolicy
from pool.routing.ranking import Question, Ranking, Rest, in_order, ranked
from pool.subscriptions.admission import Ask, Refusal, RefusalCause, refusal, room
from pool.subscriptions.report import Report

MOST_TOLD = 8
"""How many a ranking lists one by one: the best of them, or all where there are no more."""
MOST_KINDS = 32
"""Kinds of requests whose order is kept: those that came last. Another one costs one whole
ranking."""


class _Kind(NamedTuple):
    """What requests have in common that are ranked alike."""

    open_to: tuple[str, ...]
    model: str | None
    asked_for: str | None
    prompt_bytes: int


class _Standing(NamedTuple):
    """What is known of a subscription for a kind of request."""

    report: Report
    place: Place
    said: Refusal | None
    """Why it refuses, by its report alone."""
    cause: RefusalCause | None
    """Why it refuses now; None where it can take such a request."""
    until: datetime | None
    """When that lifts. For a report that is too old that moves with the clock: None."""
    room: Decimal | None
    """What its budget has room for, where nothing else stands in the way."""
    turns: datetime | None
    """When it has to be judged anew, by the clock alone."""


class LiveRankings:
    """The orders of the subscriptions, by reports as they come."""

    def __init__(self, policy: RoutingPolicy) -> None:
        self._policy = policy
        self._reports: dict[str, Report] = {}
        self._sent: Counter[str] = Counter()
        self._kinds: OrderedDict[_Kind, _LiveRanking] = OrderedDict()
        self._lengths: Counter[int] = Counter()
        """Of prompts from which on models were refused."""

    def heard(self, report: Report, now: datetime) -> None:
        """Go by another report of a subscription."""
        self._count_lengths(report.id, -1)
        self._reports[report.id] = report
        self._count_lengths(report.id, 1)
        self._judge(report.id, now)

    def left(self, subscription_id: str, now: datetime) -> None:
        """A subscription is not there any more."""
        self._count_lengths(subscription_id, -1)
        self._reports.pop(subscription_id, None)
        self._judge(subscription_id, now)

    def sent(self, subscription_id: str, change: int, now: datetime) -> None:
        """So many more requests are on their way to a subscription, or fewer."""
        self._sent[subscription_id] += change
        self._judge(subscription_id, now)

    def ranking(self, question: Question, now: datetime, most: int = MOST_TOLD) -> Ranking:
        """The best ``most`` of all that are open to a request, those that it names, and counts of
        the others; all of them one by one where there are no more than that. Where nobody can take
        it, those are listed whose refusals lift first.
        """
        live = self._live(question, now)
        if len(live.ids) <= most:
            return self._ranked(live.ids, question, now)
        poor = live.without_room(question.ask.reserve_usd, now)
        named = self._ranked(question.named & live.ids, question, now)
        others: Iterable[str] = ()
        if question.only is None:
            others = tuple(islice(live.best(question.named | poor), most))
            if not others and not named.usable:
                others = tuple(islice(live.lifting(question.named), most))
        listed = (*named.candidates, *self._ranked(others, question, now).candidates)
        rest = live.rest(question.named.union(others), poor, now)
        return Ranking(in_order(listed), rest if question.only is None else rest.unwanted())

    def whole(self, question: Question, now: datetime) -> Ranking:
        """All that are open to a request, one by one."""
        return self._ranked(self._live(question, now).ids, question, now)

    def _ranked(self, ids: Iterable[str], question: Question, now: datetime) -> Ranking:
        reports = (self._reports[id_] for id_ in ids)
        return ranked(reports, question, self._policy, now, self._sent)

    def _judge(self, subscription_id: str, now: datetime) -> None:
        for live in self._kinds.values():
            live.judge(subscription_id, now)

    def _live(self, question: Question, now: datetime) -> _LiveRanking:
        """The order for a request's kind, as it is at ``now``."""
        kind = self._kind(question)
        live = self._kinds.get(kind)
        if live is None:
            live = _LiveRanking(kind, self._policy, self._reports, self._sent)
            self._kinds[kind] = live
            while len(self._kinds) > MOST_KINDS:
                self._kinds.popitem(last=False)
        self._kinds.move_to_end(kind)
        live.bring_to(now)
        return live

    def _kind(self, question: Question) -> _Kind:
        """Of prompts that are alike for every subscription, the shortest stands for all."""
        ask = question.ask
        told_apart = (each for each in self._lengths if each <= ask.prompt_bytes)
        return _Kind(question.open_to, ask.model, ask.asked_for, max(told_apart, default=0))

    def _count_lengths(self, subscription_id: str, by: int) -> None:
        report = self._reports.get(subscription_id)
        for refused in report.refused_models if report else ():
            self._lengths[refused.at_least_bytes] += by
            if not self._lengths[refused.at_least_bytes]:
                del self._lengths[refused.at_least_bytes]


class _LiveRanking:
    """The order for requests of one kind that reserve nothing."""

    def __init__(
        self,
        kind: _Kind,
        policy: RoutingPolicy,
        reports: Mapping[str, Report],
        sent: Mapping[str, int],
    ) -> None:
        self._ask = Ask(
            goes_on=False,
            reserve_usd=Decimal(0),
            model=kind.model,
            asked_for=kind.asked_for,
            prompt_bytes=kind.prompt_bytes,
        )
        self._policy = policy
        self._reports = reports
        self._sent = sent
        self._covers = Access(subscriptions=kind.open_to).covers_subscription
        self._standings: dict[str, _Standing] = {}
        self._causes: Counter[RefusalCause | None] = Counter()
        self._usable: list[Place] = []
        self._rooms: list[tuple[Decimal, str]] = []
        self._ends: list[tuple[datetime, str]] = []
        """When refusals lift, where they say it."""
        self._turns: list[tuple[datetime, str]] = []
        self._latest = datetime.max.replace(tzinfo=UTC)
        """The latest moment by which any was judged: not all are in their place before that."""

    @property
    def ids(self) -> AbstractSet[str]:
        return self._standings.keys()

    def bring_to(self, now: datetime) -> None:
        """Judge anew those whose moment has come; all, where the clock was set back."""
        if now < self._latest:
            self._latest = now
            for subscription_id in self._reports:
                self.judge(subscription_id, now)
        while self._turns and self._turns[0][0] <= now:
            self.judge(self._turns[0][1], now)
        self._latest = now

    def judge(self, subscription_id: str, now: datetime) -> None:
        """Put a subscription in its place, as its report and what was sent there say."""
        self._latest = max(self._latest, now)
        before = self._standings.pop(subscription_id, None)
        if before is not None:
            self._take_out(before)
        report = self._reports.get(subscription_id)
        if report is not None and (before is not None or self._covers(subscription_id)):
            standing = self._judged(report, before, now)
            self._standings[subscription_id] = standing
            self._put_in(standing)

    def best(self, apart: Container[str]) -> Iterator[str]:
        """Those that can take a request, the best first, without some."""
        ids = (place.subscription_id for place in self._usable)
        return (id_ for id_ in ids if id_ not in apart)

    def lifting(self, apart: Container[str]) -> Iterator[str]:
        """Those whose refusals lift by the clock, the first first, without some."""
        return (id_ for _, id_ in self._ends if id_ not in apart)

    def without_room(self, reserve: Decimal, now: datetime) -> frozenset[str]:
        """Those whose budget alone has no room for what a request reserves."""
        least = bisect_left(self._rooms, (reserve, ""))
        ids = (id_ for _, id_ in self._rooms[:least])
        return frozenset(id_ for id_ in ids if not has_lifted(self._relief(id_), now))

    def rest(self, apart: AbstractSet[str], without_room: AbstractSet[str], now: datetime) -> Rest:
        """All but some, counted."""
        causes = Counter(self._causes)
        for id_ in apart & self.ids:
            causes[self._standings[id_].cause] -= 1
        poor = without_room - apart
        for id_ in poor:
            causes[self._standings[id_].cause] -= 1
        causes[RefusalCause.BUDGET] += len(poor)
        ends = [self._relief(id_) for id_ in poor]
        ends += [at for at, id_ in islice(self._ends, len(apart) + 1) if id_ not in apart][:1]
        if causes[RefusalCause.STALE_REPORT]:
            ends.append(now + timedelta(seconds=self._policy.settings.max_report_age_seconds))
        return Rest(
            usable=causes.pop(None, 0),
            refused={cause: count for cause, count in causes.items() if cause and count},
            retry_at=min((at for at in ends if at is not None), default=None),
        )

    def _relief(self, subscription_id: str) -> datetime | None:
        return self._standings[subscription_id].report.state_until

    def _judged(self, report: Report, before: _Standing | None, now: datetime) -> _Standing:
        policy, sent = self._policy, self._sent.get(report.id, 0)
        if before is not None and before.report is report:
            said = before.said
        else:
            said = refusal(report, self._ask, policy.limits)
        left = standing_refusal(said, report, sent, policy, now)
        is_stale = left is not None and left.cause is RefusalCause.STALE_REPORT
        return _Standing(
            report=report,
            place=place_of(report, sent, policy, now),
            said=said,
            cause=None if left is None else left.cause,
            until=None if left is None or is_stale else left.until,
            room=room(report) if said is None and not is_stale else None,
            turns=turns(said, report, policy, now),
        )

    def _put_in(self, standing: _Standing) -> None:
        self._causes[standing.cause] += 1
        for ordered, item in self._items(standing):
            insort(ordered, item)

    def _take_out(self, standing: _Standing) -> None:
        self._causes[standing.cause] -= 1
        for ordered, item in self._items(standing):
            del ordered[bisect_left(ordered, item)]

    def _items(self, standing: _Standing) -> Iterator[tuple[list[Any], Any]]:
        """What stands in order of a subscription."""
        id_ = standing.place.subscription_id
        if standing.cause is None:
            yield self._usable, standing.place
        if standing.room is not None:
            yield self._rooms, (standing.room, id_)
        if standing.until is not None:
            yield self._ends, (standing.until, id_)
        if standing.turns is not None:
            yield self._turns, (standing.turns, id_)

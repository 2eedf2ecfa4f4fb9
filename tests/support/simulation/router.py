"""The router of a simulated pool: what the dispatcher and the cache of reports in ``actors.router``
do, by the same rules.

It remembers reports as it hears them, a moment late, and never calls an owner to rank. A request
and its answer take time on their way, so that many are under way at once, as in a burst.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import NAMESPACE_OID, uuid5

from pool.executions.attempt import Attempt
from pool.executions.intent import Intent
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.row import ExecutionRow
from pool.routing.ranking import Ranking, rank
from pool.subscriptions.admission import Ask, Refusal, RefusalCause
from pool.subscriptions.report import Report
from tests.support.simulation.book import Book
from tests.support.simulation.clock import Clock, Steps
from tests.support.simulation.orders import SubscriptionOrder
from tests.support.simulation.owner import Owner
from tests.support.simulation.traffic import Request

HOP_SECONDS = 0.004
"""A call to an owner, one way."""
HEARD_AFTER_SECONDS = 0.025
"""A report that was not asked for: polls are spaced."""
HEARTBEAT = timedelta(seconds=5)
MOST_SURPRISES = 10
SESSION_STAYS = {
    RefusalCause.QUEUE_FULL,
    RefusalCause.BUSY,
    RefusalCause.SESSION_BUSY,
    RefusalCause.STALE_REPORT,
}
_ASKED = ExecutionRequest(prompt="simulated")
_ROUTING = Routing(score=0.0, reason="simulated")


@dataclass(frozen=True)
class Placement:
    """What is to be placed, and what is known about where."""

    execution_id: str
    request: Request
    session_id: str
    created_at: datetime
    home: str | None = None
    """Where the session lives that it goes on with."""
    barred: Mapping[str, Refusal] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    owners: tuple[str, ...] = ()
    may_wait: bool = True


class Router:
    """Ranks by what it has heard, and asks one owner after the other."""

    def __init__(self, owners: Mapping[str, Owner], order: SubscriptionOrder, clock: Clock) -> None:
        self.book = Book()
        self.homes: dict[str, str] = {}
        self._owners, self._order, self._clock = owners, order, clock
        self._policy = order.policy
        self._sent: Counter[str] = Counter()
        self._held: set[str] = set()
        self._is_told: set[str] = set()
        self._reports: dict[str, Report] = {}
        for id_, owner in owners.items():
            owner.router = self
            self._reports[id_] = owner.report()

    # -- what it hears ---------------------------------------------------------------------------

    def will_hear_of(self, owner: Owner) -> None:
        """Something has changed there."""
        if owner.subscription.id not in self._is_told:
            self._is_told.add(owner.subscription.id)
            self._clock.after(HEARD_AFTER_SECONDS, lambda: self._hear(owner))

    def _hear(self, owner: Owner) -> None:
        self._is_told.discard(owner.subscription.id)
        if self._reports[owner.subscription.id].version != owner.state.version:
            self._remember(owner.report())

    def _remember(self, report: Report) -> None:
        known = self._reports[report.id]
        if (known.version, known.observed_at) <= (report.version, report.observed_at):
            self._reports[report.id] = report

    def _heard(self) -> list[Report]:
        """What is known of everybody: of who has not changed, by its last heartbeat."""
        for id_, known in self._reports.items():
            beats = (self._clock.now - known.observed_at) // HEARTBEAT
            owner, at = self._owners[id_], known.observed_at + beats * HEARTBEAT
            if beats and known.version == owner.state.version:
                self._reports[id_] = owner.report_at(at)
            elif beats:  # it has just changed, which is not heard yet: the last beat was before
                self._reports[id_] = known.model_copy(update={"observed_at": at})
        return list(self._reports.values())

    # -- dispatching -----------------------------------------------------------------------------

    def dispatch(self, id_: str, request: Request, session_id: str | None) -> Steps:
        """Bring a request to a subscription, or refuse it."""
        session = session_id or str(uuid5(NAMESPACE_OID, id_))
        self.book.asked(id_, request, self._clock.now)
        order = Placement(id_, request, session, self._clock.now)
        yield from self._alone(session)
        order = replace(order, home=self.homes.get(session))
        there = yield from self._place(order)
        self._held.discard(session)
        if there is None:
            self._refused(order)

    def hand_off(
        self,
        owner: Owner,
        intent: Intent,
        request: Request,
        tried: tuple[Attempt, ...],
        why: Refusal,
    ) -> Generator[float, None, str | None]:
        """Find another subscription for what its owner cannot serve; None where nobody takes it."""
        yield HOP_SECONDS
        owners = (*intent.earlier_owners, owner.subscription.id)
        was_there = Refusal(cause=RefusalCause.ATTEMPTED, detail="it handed the execution on")
        order = Placement(
            intent.execution_id,
            request,
            intent.session_id,
            intent.created_at,
            barred={**dict.fromkeys(owners, was_there), owner.subscription.id: why},
            attempts=tried,
            owners=owners,
            may_wait=why.cause is not RefusalCause.BUSY,
        )
        yield from self._alone(intent.session_id)
        home = self.homes.get(intent.session_id) if intent.resumes else None
        order = replace(order, home=home)
        there = yield from self._place(order)
        self._held.discard(intent.session_id)
        if there is None:
            self.homes[intent.session_id] = owner.subscription.id
            if why.cause is not RefusalCause.BUSY and tried:
                self._judge_refusal(order, needs_slot=False)
        yield HOP_SECONDS
        return there

    def _alone(self, session_id: str) -> Steps:
        """One dispatch of a session at a time."""
        while session_id in self._held:
            yield HOP_SECONDS
        self._held.add(session_id)

    def _place(self, order: Placement) -> Generator[float, None, str | None]:
        refusals = dict(order.barred)
        surprises, asked = 0, order.owners[-1] if order.owners else None
        while True:
            ranking = self._rank(order, refusals)
            target = _target(order, ranking, asked, refusals)
            if target is None:
                return None
            may_wait = surprises >= MOST_SURPRISES or not ranking.has_free_slot(target)
            if may_wait and not order.may_wait:
                return None
            asked = target
            self._order.chosen(target)
            came_from = order.home if order.home != target else None
            self._sent[target] += 1
            yield HOP_SECONDS
            owner, intent = self._owners[target], _intent(order, came_from)
            answer = owner.start(intent, order.request, may_wait=may_wait)
            if answer.refusal is None:
                self._lives(order, target)
            yield HOP_SECONDS
            self._sent[target] -= 1
            self._remember(answer.report)
            if answer.refusal is None:
                return target
            if answer.refusal.cause is RefusalCause.BUSY:
                surprises += 1
                self.book.surprises += 1
            else:
                refusals[target] = answer.refusal

    def _lives(self, order: Placement, target: str) -> None:
        if order.home is not None and order.home != target:
            self.book.moves += 1
        self.homes[order.session_id] = target

    def _rank(self, order: Placement, refusals: Mapping[str, Refusal]) -> Ranking:
        ask = Ask(goes_on=False, reserve_usd=Decimal(0), model=order.request.model)
        now = self._clock.now
        ranking = rank(self._heard(), ask, self._policy, now, self._sent, home=order.home)
        own = {id_: each for id_, each in refusals.items() if id_ not in order.barred}
        return self._order.of(ranking.barred(order.barred).refused(own))

    # -- ends ------------------------------------------------------------------------------------

    def ended(self, row: ExecutionRow, request: Request, owner: Owner) -> None:
        """An execution has ended at its owner."""
        outcome = row.outcome
        if isinstance(outcome, Failed) and outcome.kind is FailureKind.QUEUE_TIMEOUT:
            barred = dict.fromkeys(row.intent.earlier_owners, _GONE)
            order = Placement(
                row.intent.execution_id,
                request,
                row.intent.session_id,
                row.intent.created_at,
                home=owner.subscription.id if row.intent.resumes else None,
                barred=barred,
            )
            self._judge_refusal(order, needs_slot=True)
        self.book.ended(row, request, owner, self._clock.now)

    def _refused(self, order: Placement) -> None:
        self._judge_refusal(order, needs_slot=False)
        self.book.refused(order.execution_id, order.request)

    def _judge_refusal(self, order: Placement, *, needs_slot: bool) -> None:
        """Note who could have taken it: by what the pool was told, and in truth."""
        now, request = self._clock.now, order.request
        for id_, owner in self._owners.items():
            if id_ in order.barred:
                continue
            if owner.could_take(request, goes_on=id_ == order.home, needs_slot=needs_slot):
                self.book.wrongly_refused.append(
                    f"{now:%a %H:%M:%S} {order.execution_id} {request.model}: {id_} had headroom"
                )
            elif owner.could_truly_take(request):
                self.book.cautious[owner.why_not(request)] += 1
                return


_GONE = Refusal(cause=RefusalCause.ATTEMPTED, detail="it handed the execution on")


def _target(
    order: Placement, ranking: Ranking, asked: str | None, refusals: Mapping[str, Refusal]
) -> str | None:
    """As in ``actors.router.dispatching``: who was asked before, until it refuses; then the home of
    the session; then the best.
    """
    if asked is not None and asked not in refusals:
        return asked
    at_home = ranking.of(order.home) if order.home else None
    if at_home is not None:
        if at_home.refusal is None:
            return at_home.report.id
        if at_home.refusal.cause in SESSION_STAYS:
            return None
    return ranking.usable[0].report.id if ranking.usable else None


def _intent(order: Placement, came_from: str | None) -> Intent:
    return Intent(
        execution_id=order.execution_id,
        request=_ASKED,
        session_id=order.session_id,
        resumes=order.home is not None,
        model=order.request.model,
        timeout_seconds=7200,
        reserved_nano_usd=0,
        routing=_ROUTING,
        created_at=order.created_at,
        caller=order.request.caller,
        earlier_attempts=order.attempts,
        earlier_owners=order.owners,
        session_from=came_from,
    )

"""A simulated week from its first request to its last answer, and the figures that come of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from statistics import fmean, pstdev

from pool.executions.outcome import Completed
from pool.executions.row import ExecutionRow
from pool.subscriptions.reporting import SubscriptionPolicy
from tests.support.simulation.account import WEEK
from tests.support.simulation.book import Book
from tests.support.simulation.clock import Clock
from tests.support.simulation.orders import OrderName, SubscriptionOrder
from tests.support.simulation.owner import Owner
from tests.support.simulation.router import Router
from tests.support.simulation.traffic import MONDAY, Request, Week

DRAINED = MONDAY + WEEK + timedelta(days=2)
"""By then the last turn of the last session has ended."""
LOOKS_EVERY = timedelta(hours=1)


@dataclass(frozen=True)
class Spread:
    """How differently the subscriptions' weeks are used, in percent of each one's plan."""

    deviation: float
    range: float


class World:
    """Subscriptions, their owners, a router, and what was observed of them."""

    def __init__(self, week: Week, order: OrderName = OrderName.HEALTHIEST) -> None:
        self.week = week
        self.clock = Clock(MONDAY)
        subscriptions = SubscriptionOrder(order)
        policy = SubscriptionPolicy(limits=subscriptions.limits)
        self.owners = {each.id: Owner(each, policy, self.clock) for each in week.subscriptions}
        self.router = Router(self.owners, subscriptions, self.clock)
        self.router.book.goes_on = self._next_turn
        self.spreads: list[Spread] = []
        self._numbers = count()

    @property
    def book(self) -> Book:
        return self.router.book

    @property
    def wrongs(self) -> list[str]:
        """Every over-admission."""
        return [wrong for owner in self.owners.values() for wrong in owner.witness.wrongs]

    def run(self) -> World:
        """Let the week pass. Afterwards everything that was asked has ended."""
        for request in self.week.requests:
            self._ask_at(request.at, request, None)
        self._look()
        self.clock.run(MONDAY + WEEK)
        self.clock.run(DRAINED)
        return self

    def _ask_at(self, at: datetime, request: Request, session_id: str | None) -> None:
        id_ = f"exec{next(self._numbers):06}"
        self.clock.at(at, lambda: self.clock.begin(self.router.dispatch(id_, request, session_id)))

    def _next_turn(self, _: str, request: Request, row: ExecutionRow | None) -> None:
        if not request.turns:
            return
        following = request.turns[0]
        turn = replace(following, turns=request.turns[1:], at=self.clock.now)
        session = None
        if row is not None and isinstance(row.outcome, Completed):
            session = row.intent.session_id
        at = self.clock.now + timedelta(seconds=turn.thinks_seconds)
        self._ask_at(at, turn, session)

    def _look(self) -> None:
        shares = []
        for owner in self.owners.values():
            owner.account.catch_up(self.clock.now)
            if owner.subscription.tier == 1:
                shares.append(100 * owner.account.share_used())
        self.spreads.append(Spread(pstdev(shares), max(shares) - min(shares)))
        if self.clock.now < MONDAY + WEEK:
            self.clock.after(LOOKS_EVERY.total_seconds(), self._look)


@dataclass(frozen=True)
class Figures:
    """One week under one order, as numbers."""

    requests: int
    answered: float
    """Share of the requests."""
    refused: int
    failed: int
    """Ended with a failure after as many attempts as are allowed, or where nobody else was left."""
    refused_with_headroom: int
    over_admissions: int
    cautious: dict[str, int]
    end: Spread
    mean: Spread
    """Over the hours of the week."""
    mean_wait_seconds: float
    attempts: float
    """Of those that were run."""
    moves: int


def figures(world: World) -> Figures:
    book = world.book
    entries = book.entries.values()
    answered = book.count("answered")
    run = [entry for entry in entries if entry.subscriptions]
    return Figures(
        requests=len(entries),
        answered=answered / len(entries),
        refused=book.count("refused") + book.count("queue_timeout"),
        failed=book.failed,
        refused_with_headroom=len(book.wrongly_refused),
        over_admissions=len(world.wrongs),
        cautious=dict(book.cautious),
        end=world.spreads[-1],
        mean=Spread(
            fmean(each.deviation for each in world.spreads),
            fmean(each.range for each in world.spreads),
        ),
        mean_wait_seconds=fmean(entry.waited_seconds for entry in run),
        attempts=fmean(len(entry.subscriptions) for entry in run),
        moves=book.moves,
    )

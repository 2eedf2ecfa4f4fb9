"""A week of requests in several shapes, and the subscriptions they meet. Everything follows
from a seed."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from pool.money import nano_usd
from tests.support.simulation.account import MAX5, MAX20, PRO, WEEK, Account, Plan, Span

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
SONNET, OPUS = "claude-sonnet-4-5", "claude-opus-4-1"
MIX = (PRO, MAX5, MAX20, PRO, MAX5, PRO, MAX5, MAX20, PRO, MAX5)


@dataclass(frozen=True)
class Request:
    """What a caller wants: its cost and duration are known to the simulation alone."""

    at: datetime
    caller: str
    cost_nano_usd: int
    seconds: float
    model: str = SONNET
    turns: tuple[Request, ...] = ()
    """Further turns of its session; each comes some time after the answer before it."""
    thinks_seconds: float = 0.0


@dataclass
class SimulatedSubscription:
    """A subscription as it is configured, and the truth behind it."""

    id: str
    account: Account
    tier: int = 1


@dataclass(frozen=True)
class Week:
    """Subscriptions and the requests of a week."""

    subscriptions: tuple[SimulatedSubscription, ...]
    requests: tuple[Request, ...] = field(repr=False)


@dataclass(frozen=True)
class Shape:
    """How a week looks. ``demand``: what is asked for, as a share of all plans' weeks."""

    name: str
    instants: Callable[[Random, int], Iterator[datetime]]
    """So many arrivals."""
    demand: float = 0.5
    mean_usd: float = 1.2
    mean_seconds: float = 90.0
    turns: tuple[int, int] = (1, 3)
    """The fewest and the most turns of a session."""
    has_greedy: bool = False
    """Whether one caller sends everything that comes at once."""
    trouble: Callable[[Random, list[SimulatedSubscription]], None] | None = None
    """What is changed about the subscriptions."""


def week_of(shape: Shape, subscriptions: int, seed: int, share: float = 1) -> Week:
    """The week of a shape over so many subscriptions: the same for the same seed. With a ``share``
    of its requests, where their number is not what matters.
    """
    rng = Random(f"{shape.name}/{seed}")
    chosen = [_subscription(rng, number) for number in range(subscriptions)]
    if shape.trouble is not None:
        shape.trouble(rng, chosen)
    plans = sum(each.account.plan.week_usd for each in chosen if each.tier == 1)
    mean_turns = sum(shape.turns) / 2
    count = round(plans * shape.demand * share / shape.mean_usd / mean_turns)
    arrivals = list(shape.instants(rng, count))
    at_a_time = Counter(arrivals)
    requests = (
        _request(rng, shape, at, is_greedy=shape.has_greedy and at_a_time[at] > 1)
        for at in arrivals
    )
    return Week(tuple(chosen), tuple(requests))


def _subscription(rng: Random, number: int) -> SimulatedSubscription:
    plan = MIX[number % len(MIX)]
    resets_at = MONDAY + timedelta(hours=rng.uniform(1, 168))
    account = Account(plan, resets_at, week_used=_earlier(rng, plan, resets_at))
    if number % 5 == 3:
        account.outside = deque(_outside(rng, plan))
    return SimulatedSubscription(f"sub{number:03}", account)


def _earlier(rng: Random, plan: Plan, resets_at: datetime) -> int:
    """What was used in the weekly window before the simulated week began."""
    gone = 1 - (resets_at - MONDAY) / WEEK
    return nano_usd(round(plan.week_usd * gone * rng.uniform(0, 0.4), 6))


def _outside(rng: Random, plan: Plan) -> Iterator[tuple[datetime, int]]:
    """A person at work in the evenings: about an eighth of the plan's week."""
    for day in range(7):
        for _ in range(5):
            at = MONDAY + timedelta(days=day, hours=rng.uniform(17, 22))
            yield at, nano_usd(round(plan.week_usd / 280 * rng.uniform(0.5, 1.5), 6))


def _request(rng: Random, shape: Shape, at: datetime, *, is_greedy: bool) -> Request:
    caller = "greedy" if is_greedy else f"caller{rng.randrange(6)}"
    model = OPUS if rng.random() < 0.2 else SONNET
    turns = [
        Request(
            at=at,
            caller=caller,
            cost_nano_usd=nano_usd(round(shape.mean_usd * _spread(rng, 0.6), 6)),
            seconds=max(1.0, shape.mean_seconds * _spread(rng, 0.5)),
            model=model,
            thinks_seconds=rng.expovariate(1 / 300),
        )
        for _ in range(rng.randint(*shape.turns))
    ]
    return replace(turns[0], turns=tuple(turns[1:]))


def _spread(rng: Random, sigma: float) -> float:
    """A factor around 1, as costs and durations are spread: many small ones, a few large."""
    return min(4.0, rng.lognormvariate(-sigma * sigma / 2, sigma))


# -- when requests come ------------------------------------------------------------------------


def steady(rng: Random, count: int) -> Iterator[datetime]:
    return iter(sorted(MONDAY + WEEK * rng.random() for _ in range(count)))


def office_hours(rng: Random, count: int) -> Iterator[datetime]:
    def instant() -> datetime:
        return MONDAY + timedelta(days=rng.randrange(5), hours=rng.triangular(8, 18, 11))

    return iter(sorted(instant() for _ in range(count)))


def at_once(size: int) -> Callable[[Random, int], Iterator[datetime]]:
    def instants(rng: Random, count: int) -> Iterator[datetime]:
        times = sorted(MONDAY + WEEK * 0.98 * rng.random() for _ in range(max(1, count // size)))
        return (at for at in times for _ in range(size))

    return instants


def dumped(size: int) -> Callable[[Random, int], Iterator[datetime]]:
    """Three quarters come at once, so many a time; the others in the minutes after that."""

    def instants(rng: Random, count: int) -> Iterator[datetime]:
        others = size // 3
        for _ in range(max(1, count // (size + others))):
            at = MONDAY + WEEK * 0.98 * rng.random()
            yield from [at] * size
            yield from (at + timedelta(seconds=rng.uniform(1, 240)) for _ in range(others))

    return instants


# -- what goes wrong ---------------------------------------------------------------------------


def _outages(rng: Random, subscriptions: list[SimulatedSubscription]) -> None:
    """Every eight hours another third of the subscriptions answers 529 for ten minutes."""
    for third in range(21):
        since = MONDAY + timedelta(hours=8 * third + 2 + rng.random())
        for subscription in rng.sample(subscriptions, max(1, len(subscriptions) // 3)):
            span = Span(since, since + timedelta(minutes=10))
            subscription.account.outages = (*subscription.account.outages, span)


def _signed_out(rng: Random, subscriptions: list[SimulatedSubscription]) -> None:
    for number, subscription in enumerate(
        rng.sample(subscriptions, max(1, len(subscriptions) // 8))
    ):
        since = MONDAY + timedelta(days=1 + number % 4, hours=9)
        subscription.account.signed_out = (Span(since, since + timedelta(days=1)),)


def _clustered(rng: Random, subscriptions: list[SimulatedSubscription]) -> None:
    """All weeks end within an hour of Thursday noon, and much of them is used by then."""
    for subscription in subscriptions:
        plan, resets_at = (
            subscription.account.plan,
            MONDAY + timedelta(days=3, hours=12 + rng.random()),
        )
        subscription.account.resets_at = resets_at
        subscription.account.week_used = nano_usd(round(plan.week_usd * rng.uniform(0.3, 0.7), 6))


def _overflow(_: Random, subscriptions: list[SimulatedSubscription]) -> None:
    """The last tenth are API keys, for what the others cannot take."""
    for subscription in subscriptions[-max(1, len(subscriptions) // 10) :]:
        subscription.tier, subscription.account.has_windows = 2, False


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("steady", steady),
        Shape("office hours", office_hours, demand=0.4),
        Shape("bursts of 200", at_once(200), mean_usd=1.0, mean_seconds=45, turns=(1, 1)),
        Shape("greedy caller", dumped(150), has_greedy=True, mean_seconds=45, turns=(1, 1)),
        Shape("long agents", steady, mean_usd=4.0, mean_seconds=2400, turns=(1, 1)),
        Shape("long sessions", steady, mean_usd=0.8, mean_seconds=60, turns=(5, 15)),
        Shape("outages", steady, trouble=_outages),
        Shape("signed out", steady, trouble=_signed_out),
        Shape("clustered resets", steady, demand=0.55, trouble=_clustered),
        Shape("too much", steady, demand=1.3),
        Shape("overflow", steady, demand=1.1, trouble=_overflow),
    )
}

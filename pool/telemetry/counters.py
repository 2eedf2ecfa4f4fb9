"""Counters of a part of the pool since it was activated: for metrics, and for nothing else.

Each is declared here once, in the words in which it is shown; whoever counts, carries or shows goes
by the declaration. A tally is in memory only, and begins anew with every activation; who reads it
over time expects that of counters. What must not be forgotten (money, tokens, executions) stands in
the ledger and is read from reports instead (``gauges``). Words are the pool's own, so their number
is bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pydantic import Field

from pool.executions.status import ExecutionStatus
from pool.subscriptions.report import Report
from pool.values import Instant, Value

BOUNDS_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0),
)
"""Upper ends of the buckets: from one hop between actors to the hours of an agent's run."""


class Counter(NamedTuple):
    """Something that is counted."""

    name: str
    help: str
    label: str | None = None
    """What the words are by which it is counted; None where there is one count."""
    always: tuple[str, ...] = ()
    """Words that are shown before anything was counted under them."""


class Timer(NamedTuple):
    """Something that takes its time."""

    name: str
    help: str


_ENDS = tuple(
    each.value for each in ExecutionStatus if each.is_final and each is not ExecutionStatus.MOVED
)
RUNS = Counter("runs", "Runs of the CLI by how they ended.", "outcome")
REFUSALS = Counter("refusals", "What was not admitted, by cause.", "cause")
COOLDOWNS = Counter("cooldowns", "Cooldowns that began, by cause.", "cause")
EXECUTIONS = Counter("executions", "Executions that ended, by status.", "status", _ENDS)
"""Of one that moved, where it ends."""
MOVED = Counter("executions_moved", "Executions that went on at another subscription.")
STORE_FAILURES = Counter("store_failures", "Writes that the store refused.")
LEDGERS_LOST = Counter(
    "ledgers_lost", "Activations that had to end: a write of theirs was fenced off, or in doubt."
)
QUEUE_WAIT = Timer("queue_wait_seconds", "From a request to the start of its run.")
RUN = Timer("run_seconds", "How long runs of the CLI took.")
OF_SUBSCRIPTIONS = (
    *(RUNS, REFUSALS, COOLDOWNS, EXECUTIONS, MOVED, STORE_FAILURES, LEDGERS_LOST),
    *(QUEUE_WAIT, RUN),
)

DISPATCHES = Counter(
    "dispatches",
    "Requests by what came of them: admitted, or the name of the error.",
    "result",
    ("admitted",),
)
DISPATCH = Timer("dispatch_seconds", "From a request to its admission by a subscription.")
FAILOVERS = Counter(
    "failovers", "Executions given to another subscription after a failed run, by cause.", "cause"
)
SESSION_MOVES = Counter("session_moves", "Sessions that arrived at another subscription.")
ALERTS = Counter("alerts", "Alerts that were raised, by kind.", "kind")
EVENTS = Counter("events", "Events that were shown at /v1/events.")
OF_ROUTERS = (DISPATCHES, DISPATCH, FAILOVERS, SESSION_MOVES, ALERTS, EVENTS)


class Durations(Value):
    """How long things took, by buckets: ``counts[n]`` of them at most ``BOUNDS_SECONDS[n]`` and
    longer than the bound before; the last count is of all longer ones.
    """

    counts: tuple[int, ...] = (0,) * (len(BOUNDS_SECONDS) + 1)
    sum_seconds: float = 0.0

    def having(self, seconds: float) -> Durations:
        """With one more."""
        at, seconds = bisect_left(BOUNDS_SECONDS, seconds), max(0.0, seconds)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Durations(counts=counts, sum_seconds=self.sum_seconds + seconds)


class Tally(Value):
    """What a part of the pool has counted in one activation, by the names of the counters."""

    counts: dict[str, dict[str, int]] = Field(default_factory=dict)
    """By word; under an empty one where a counter has no label."""
    durations: dict[str, Durations] = Field(default_factory=dict)

    def counted(self, counter: Counter, word: str = "", by: int = 1) -> Tally:
        """With more of it."""
        known = self.counts.get(counter.name, {})
        more = {**known, word: known.get(word, 0) + by}
        return self.model_copy(update={"counts": {**self.counts, counter.name: more}})

    def timed(self, timer: Timer, seconds: float) -> Tally:
        """With one more that took so long."""
        more = {timer.name: self.took(timer).having(seconds)}
        return self.model_copy(update={"durations": {**self.durations, **more}})

    def count(self, counter: Counter) -> Iterator[tuple[tuple[str, ...], int]]:
        """The values of its label, if it has one, each with its count."""
        counts = self.counts.get(counter.name, {})
        always = counter.always if counter.label else ("",)
        for word in dict.fromkeys([*always, *sorted(counts)]):
            yield (word,) if counter.label else (), counts.get(word, 0)

    def took(self, timer: Timer) -> Durations:
        return self.durations.get(timer.name, Durations())


class Figures(Value):
    """Everything that metrics are made of, as a router knows it."""

    reports: tuple[Report, ...]
    tallies: dict[str, Tally]
    """By subscription, of its own counters."""
    router: Tally
    unheard: tuple[str, ...]
    """Subscriptions that have sent no report since the router began."""
    coming: frozenset[str] = frozenset()
    """Subscriptions that are on their way up, or wait for their turn to be."""
    unusable: frozenset[str] = frozenset()
    """Subscriptions that cannot come up as they are configured."""
    observed_at: Instant

    @property
    def presences(self) -> dict[str, int]:
        """How many subscriptions there are of each presence; each that is registered is of one."""
        away = self.coming | self.unusable
        there = Counted(str(each.presence) for each in self.reports if each.id not in away)
        some = {"starting": len(self.coming), "unusable": len(self.unusable)}
        return {"awake": 0, "asleep": 0, **there, **some}


def only(figures: Figures, covers: Callable[[str], bool]) -> Figures:
    """The figures of some subscriptions. Those of the router are of all."""
    return figures.model_copy(
        update={
            "reports": tuple(each for each in figures.reports if covers(each.id)),
            "tallies": {id_: each for id_, each in figures.tallies.items() if covers(id_)},
            "unheard": tuple(filter(covers, figures.unheard)),
            "coming": frozenset(filter(covers, figures.coming)),
            "unusable": frozenset(filter(covers, figures.unusable)),
        }
    )

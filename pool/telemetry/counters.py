"""Counters of a part of the pool since it was activated: for metrics, and for nothing else.

A tally is in memory only, and begins anew with every activation; who reads it over time expects
that of counters. What must not be forgotten (money, tokens, executions) stands in the ledger and is
read from reports instead. Keys are names of the pool's own, so their number is bounded.
"""

from __future__ import annotations

from bisect import bisect_left

from pydantic import Field

from pool.subscriptions.report import Report
from pool.values import Instant, Value

Counts = dict[str, int]

BOUNDS_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0),
)
"""Upper ends of the buckets: from one hop between actors to the hours of an agent's run."""


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


def counted(counts: Counts, name: str) -> Counts:
    """With one more of this name."""
    return {**counts, name: counts.get(name, 0) + 1}


class SubscriptionCounters(Value):
    """What an owner counts in one activation."""

    subscription_id: str
    epoch: int
    executions: Counts = Field(default_factory=dict)
    """Those that ended here, by status; of one that moved, where it ends."""
    moved: int = 0
    """Executions that went on elsewhere."""
    runs: Counts = Field(default_factory=dict)
    """Runs of the CLI by how they ended: ``completed``, or the kind of failure."""
    refusals: Counts = Field(default_factory=dict)
    """What was asked of it and not admitted, by cause."""
    cooldowns: Counts = Field(default_factory=dict)
    """Those that began, by cause."""
    store_failures: int = 0
    """Writes that its store refused."""
    ledgers_lost: int = 0
    """Earlier activations that had to leave, in this place: a write of theirs was fenced off, or
    the fate of their last commit was in doubt."""
    queue_wait: Durations = Durations()
    """From the request to the start of its run here."""
    run: Durations = Durations()


class RouterCounters(Value):
    """What a router counts in one activation."""

    dispatches: Counts = Field(default_factory=dict)
    """Requests by what came of them: ``admitted``, or the name of the error."""
    failovers: Counts = Field(default_factory=dict)
    """By the failure that was the cause."""
    alerts: Counts = Field(default_factory=dict)
    """By kind."""
    session_moves: int = 0
    happenings: int = 0
    dispatch: Durations = Durations()
    """From the request to its admission, of those that were admitted."""


class Figures(Value):
    """Everything that metrics are made of, as a router knows it."""

    reports: tuple[Report, ...]
    tallies: tuple[SubscriptionCounters, ...]
    router: RouterCounters
    unheard: tuple[str, ...]
    """Subscriptions that were not heard of since the router began."""
    observed_at: Instant

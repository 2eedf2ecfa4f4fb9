"""Percentiles out of the durations that the parts of a pool have counted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from pool.subscriptions.overview.latency import Latency, Step
from pool.telemetry.counters import BOUNDS_SECONDS, DISPATCH, QUEUE_WAIT, RUN, Tally, Timer

_STEPS: tuple[tuple[Step, Timer], ...] = (
    ("dispatch", DISPATCH),
    ("queue_wait", QUEUE_WAIT),
    ("run", RUN),
)


def latencies(tallies: Iterable[Tally]) -> tuple[Latency, ...]:
    """Of all that was counted, step by step; a step that nothing has taken yet is left out."""
    return tuple(_latencies(tuple(tallies)))


def _latencies(tallies: Sequence[Tally]) -> Iterator[Latency]:
    for step, timer in _STEPS:
        counts = [sum(each) for each in zip(*(t.took(timer).counts for t in tallies), strict=True)]
        if any(counts):
            yield Latency(
                step=step,
                count=sum(counts),
                p50_seconds=quantile(counts, 0.5),
                p90_seconds=quantile(counts, 0.9),
                p99_seconds=quantile(counts, 0.99),
            )


def quantile(counts: Sequence[int], share: float) -> float:
    """How long that share of them took at most, in seconds. Within its bucket a share is taken to
    be spread evenly; beyond the last bound it is that.
    """
    upto = [*accumulate(counts)]
    wanted = share * upto[-1]
    at = bisect_left(upto, wanted)
    if at == len(BOUNDS_SECONDS):
        return BOUNDS_SECONDS[-1]
    below, lower = (upto[at - 1], BOUNDS_SECONDS[at - 1]) if at else (0, 0.0)
    inside = (wanted - below) / counts[at] if counts[at] else 1.0
    return round(lower + (BOUNDS_SECONDS[at] - lower) * inside, 6)

from __future__ import annotations

import pytest

from pool.telemetry.counters import BOUNDS_SECONDS, DISPATCH, QUEUE_WAIT, RUN, Tally
from pool.telemetry.percentiles import latencies, quantile


def counts(**by_bound: int) -> list[int]:
    """By the upper end of the bucket, in milliseconds: ``ms10=3``; ``more`` is beyond the last."""
    found = [0] * (len(BOUNDS_SECONDS) + 1)
    for name, number in by_bound.items():
        at = -1 if name == "more" else BOUNDS_SECONDS.index(int(name[2:]) / 1000)
        found[at] = number
    return found


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.25, 0.0025), (0.5, 0.005), (0.75, 0.0075), (1, 0.01)]
)
def test_within_a_bucket_they_are_taken_to_be_spread_evenly(share: float, seconds: float) -> None:
    assert quantile(counts(ms5=10, ms10=10), share) == pytest.approx(seconds)


def test_an_empty_bucket_in_between_is_passed_over() -> None:
    assert quantile(counts(ms5=9, ms100=1), 0.9) == pytest.approx(0.005)
    assert quantile(counts(ms5=9, ms100=1), 0.95) == pytest.approx(0.075)


def test_beyond_the_last_bound_it_is_that_bound() -> None:
    assert quantile(counts(ms5=1, more=9), 0.5) == BOUNDS_SECONDS[-1]


def test_the_steps_of_all_parts_are_summed_and_one_that_nothing_took_is_left_out() -> None:
    router = Tally().timed(DISPATCH, 0.004)
    owners = [Tally().timed(RUN, 8).timed(RUN, 8), Tally().timed(RUN, 0.004)]

    found = latencies([router, *owners])

    assert [(each.step, each.count) for each in found] == [("dispatch", 1), ("run", 3)]
    assert found[1].p50_seconds == pytest.approx(6.25)
    assert 9.9 < found[1].p99_seconds <= 10
    assert latencies([]) == ()


def test_what_waits_is_a_step_of_its_own() -> None:
    (found,) = latencies([Tally().timed(QUEUE_WAIT, 0.2)])

    assert found.step == "queue_wait"
    assert found.p50_seconds <= found.p90_seconds <= found.p99_seconds <= 0.25

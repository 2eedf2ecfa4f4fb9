from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.telemetry.counters import BOUNDS_SECONDS, MOVED, RUN, RUNS, Counter, Durations, Tally

SECONDS = st.floats(min_value=0, max_value=1e6)


def took(*seconds: float) -> Durations:
    durations = Durations()
    for each in seconds:
        durations = durations.having(each)
    return durations


@given(st.lists(SECONDS))
def test_every_duration_is_in_one_bucket_and_in_the_sum(seconds: list[float]) -> None:
    durations = took(*seconds)

    assert sum(durations.counts) == len(seconds)
    assert durations.sum_seconds == sum(seconds)


@given(st.lists(SECONDS), st.sampled_from(range(len(BOUNDS_SECONDS))))
def test_as_many_are_up_to_a_bound_as_were_not_longer(seconds: list[float], at: int) -> None:
    up_to = sum(took(*seconds).counts[: at + 1])

    assert up_to == sum(each <= BOUNDS_SECONDS[at] for each in seconds)


def test_a_clock_that_was_set_back_takes_nothing_away() -> None:
    assert took(-3.0).sum_seconds == 0.0


def test_counting_leaves_what_was_counted_before() -> None:
    once = Tally().counted(RUNS, "a")
    twice, other = once.counted(RUNS, "a"), once.counted(RUNS, "b")

    counts = [dict(each.count(RUNS)) for each in (once, twice, other)]
    assert counts == [{("a",): 1}, {("a",): 2}, {("a",): 1, ("b",): 1}]


def test_counters_keep_their_counts_apart() -> None:
    tally = Tally().counted(MOVED, by=3).counted(RUNS, "a").timed(RUN, 2)

    assert list(tally.count(MOVED)) == [((), 3)]
    assert list(tally.count(RUNS)) == [(("a",), 1)]
    assert tally.took(RUN).sum_seconds == 2


def test_what_was_never_counted_is_nothing_but_what_is_always_shown() -> None:
    named = Counter("ends", "How it ended.", "end", ("well", "badly"))

    assert list(Tally().count(MOVED)) == [((), 0)]
    assert list(Tally().count(RUNS)) == []
    assert list(Tally().counted(named, "else").count(named)) == [
        (("well",), 0),
        (("badly",), 0),
        (("else",), 1),
    ]
    assert Tally().took(RUN) == Durations()


@pytest.mark.parametrize("bound", BOUNDS_SECONDS)
def test_what_took_as_long_as_a_bound_is_up_to_it(bound: float) -> None:
    assert took(bound).counts[BOUNDS_SECONDS.index(bound)] == 1

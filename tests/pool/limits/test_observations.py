from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.limits.observations import (
    KEPT_FOR,
    MAX_OBSERVATIONS,
    Observation,
    continued,
    observation,
)
from pool.limits.windows import Window
from pool.usage.spending import Spending
from tests.support.values.examples import NOON
from tests.support.values.windowed import Account


def seen(percent: float, minutes: float, *, resets_at_hour: float = 5) -> Observation:
    at, resets_at = NOON + timedelta(minutes=minutes), NOON + timedelta(hours=resets_at_hour)
    return Observation(at, at, percent, resets_at - timedelta(hours=5), resets_at)


def kept(*observations: Observation) -> tuple[Observation, ...]:
    known: tuple[Observation, ...] = ()
    for each in observations:
        known = continued(known, each)
    return known


def test_of_a_plateau_the_first_and_the_last_are_kept() -> None:
    first, middle, last, higher = seen(1, 0), seen(1, 1), seen(1, 2), seen(2, 3)

    assert (first, last, higher) == kept(first, middle, last, higher)


def test_a_reset_ends_a_plateau() -> None:
    before, after = seen(0, 0), seen(0, 301, resets_at_hour=10)

    assert (before, after, seen(0, 303, resets_at_hour=10)) == kept(
        before, after, seen(0, 302, resets_at_hour=10), seen(0, 303, resets_at_hour=10)
    )


def test_a_reset_told_within_the_minute_is_the_same_period() -> None:
    one = seen(1, 0)

    assert one.is_of_the_period_of(replace(one, resets_at=one.resets_at + timedelta(seconds=60)))
    assert not one.is_of_the_period_of(
        replace(one, resets_at=one.resets_at + timedelta(seconds=61))
    )


def test_of_one_instant_the_last_word_counts_and_older_news_teach_nothing() -> None:
    assert (seen(1, 0), seen(3, 5)) == kept(seen(1, 0), seen(2, 5), seen(3, 5), seen(2, 4))


def test_the_newest_two_hundred_are_kept() -> None:
    fed = [seen(n, n) for n in range(MAX_OBSERVATIONS + 10)]

    assert tuple(fed[-MAX_OBSERVATIONS:]) == kept(*fed)


def test_what_is_older_than_the_remembered_costs_is_dropped() -> None:
    old, edge, new = seen(1, 0), seen(2, 1), seen(3, 1 + KEPT_FOR / timedelta(minutes=1))

    assert (edge, new) == kept(old, edge, new)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300)), max_size=500))
def test_observations_stay_bounded_in_the_order_of_time_and_end_with_the_newest(
    steps: list[tuple[int, int]],
) -> None:
    minute, fed = 0, []
    for percent, minutes in steps:
        minute += minutes
        fed.append(seen(percent, minute))

    known = kept(*fed)

    assert len(known) <= MAX_OBSERVATIONS
    assert list(known) == sorted(known, key=lambda each: each.at)
    assert known[-1:] == tuple(fed[-1:])
    assert all(each.at >= known[-1].at - KEPT_FOR for each in known)


def test_a_run_is_counted_with_the_observation_that_it_made_a_moment_before() -> None:
    account = Account(lag=timedelta(seconds=2))
    account.run(0.5)
    window = account.events[0].windows["five_hour"]

    assert observation("five_hour", window, account.spending) == Observation(
        at=account.now,
        settled_at=account.now + timedelta(seconds=2),
        percent=1.0,
        starts_at=NOON,
        resets_at=NOON + timedelta(hours=5),
    )


def test_a_cost_that_comes_much_later_is_another_run_s() -> None:
    account = Account(lag=timedelta(seconds=6))
    account.run(0.5)
    made = observation("five_hour", account.events[0].windows["five_hour"], account.spending)

    assert made is not None
    assert made.settled_at == account.now


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("five_hour", Window(status="allowed", observed_at=NOON, resets_at=NOON)),
        ("five_hour", Window(status="allowed", observed_at=NOON, utilization=0.5)),
        (
            "overage",
            Window(status="allowed", observed_at=NOON, utilization=0.5, resets_at=NOON),
        ),
    ],
    ids=["no utilization", "no reset", "no length"],
)
def test_a_window_that_does_not_say_enough_teaches_nothing(name: str, window: Window) -> None:
    assert observation(name, window, Spending()) is None


def test_a_window_that_rejects_is_full() -> None:
    rejecting = Window(status="rejected", observed_at=NOON, resets_at=NOON + timedelta(hours=1))

    made = observation("five_hour", rejecting, Spending())

    assert made is not None
    assert made.percent == 100.0

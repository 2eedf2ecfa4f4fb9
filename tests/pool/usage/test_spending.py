from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pool.usage.spending import WEEK, Spending, burn_rate, weekly_total

NOW = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)

COSTS = st.lists(
    st.tuples(
        st.integers(-14 * 24 * 3600, 3600).map(lambda seconds: NOW + timedelta(seconds=seconds)),
        st.integers(0, 10**12),
    ),
    max_size=40,
)
INSTANTS = st.integers(-15 * 24 * 3600, 24 * 3600).map(lambda s: NOW + timedelta(seconds=s))


def plain_sum(costs: list[tuple[datetime, int]], now: datetime) -> int:
    return sum(cost for instant, cost in costs if now - WEEK < instant <= now)


def test_a_record_at_the_edge_of_seven_days_no_longer_counts() -> None:
    assert weekly_total(Spending([(NOW - WEEK, 5)]), NOW) == 0


def test_a_record_just_inside_seven_days_still_counts() -> None:
    assert weekly_total(Spending([(NOW - WEEK + MOMENT, 5)]), NOW) == 5


def test_a_record_of_this_very_instant_counts() -> None:
    assert weekly_total(Spending([(NOW, 5)]), NOW) == 5


def test_a_record_of_the_future_does_not_count_yet() -> None:
    assert weekly_total(Spending([(NOW + MOMENT, 5)]), NOW) == 0


def test_the_total_falls_by_the_clock_alone() -> None:
    spending = Spending([(NOW - timedelta(days=6), 5), (NOW, 3)])

    assert [weekly_total(spending, NOW + timedelta(days=d)) for d in (0, 1, 7)] == [8, 3, 0]


@given(COSTS, INSTANTS)
def test_the_total_is_the_plain_sum_of_what_lies_in_the_window(
    costs: list[tuple[datetime, int]], now: datetime
) -> None:
    assert plain_sum(costs, now) == weekly_total(Spending(costs), now)


@given(COSTS, INSTANTS, st.randoms(use_true_random=False))
def test_the_order_in_which_records_arrive_does_not_matter(
    costs: list[tuple[datetime, int]], now: datetime, random: object
) -> None:
    grown = Spending()
    shuffled = list(costs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for instant, cost in shuffled:
        grown.add(instant, cost)

    assert weekly_total(Spending(costs), now) == weekly_total(grown, now)


@given(COSTS, st.integers(0, 10**12))
def test_a_total_sinks_below_a_threshold_at_the_foretold_instant_and_not_before(
    costs: list[tuple[datetime, int]], threshold: int
) -> None:
    spending = Spending([each for each in costs if each[0] <= NOW])

    relief = spending.falls_below(threshold, NOW)

    if relief is None:
        assert weekly_total(spending, NOW) < threshold or threshold == 0
    else:
        assert weekly_total(spending, relief) < threshold
        assert weekly_total(spending, relief - MOMENT) >= threshold


@given(COSTS)
def test_forgetting_old_records_leaves_the_week_as_it_was(
    costs: list[tuple[datetime, int]],
) -> None:
    spending = Spending(costs)
    before = weekly_total(spending, NOW)

    spending.forget(NOW - timedelta(days=8))

    assert before == weekly_total(spending, NOW)


def test_forgetting_drops_what_is_old_once_it_is_most() -> None:
    spending = Spending([(NOW - timedelta(days=30 - n), 1) for n in range(31)])

    spending.forget(NOW - timedelta(days=8))

    assert len(spending) == 9


def test_even_spending_burns_at_its_own_rate() -> None:
    spending = Spending([(NOW - timedelta(minutes=n), 10**9) for n in range(120)])

    assert burn_rate(spending, NOW) == 60 * 10**9


def test_what_was_spent_just_now_burns_more_than_what_was_spent_an_hour_ago() -> None:
    rates = [
        burn_rate(Spending([(NOW - timedelta(minutes=n), 10**9)]), NOW) for n in (0, 20, 40, 59, 60)
    ]

    assert rates == sorted(rates, reverse=True)
    assert (rates[0] // 2, 0) == (rates[1], rates[-1])


@given(COSTS)
def test_the_burn_rate_lies_between_the_quietest_and_the_busiest_five_minutes(
    costs: list[tuple[datetime, int]],
) -> None:
    spending, slice_ = Spending(costs), timedelta(minutes=5)
    slices = [spending.after(NOW - (n + 1) * slice_, NOW - n * slice_) for n in range(12)]

    assert 12 * min(slices) <= burn_rate(spending, NOW) <= 12 * max(slices)


def test_an_adjustment_that_takes_away_more_than_was_spent_burns_nothing() -> None:
    assert burn_rate(Spending([(NOW - MOMENT, 5), (NOW, -(10**9))]), NOW) == 0


def test_the_first_cost_from_an_instant_on_is_found() -> None:
    spending = Spending([(NOW, 1), (NOW + MOMENT, 2)])

    assert (
        spending.first_from(NOW),
        spending.first_from(NOW + MOMENT),
        spending.first_from(NOW + 2 * MOMENT),
    ) == (NOW, NOW + MOMENT, None)


@given(
    st.lists(st.tuples(INSTANTS, st.integers(-(10**6), 10**6)), max_size=20),
    st.integers(0, 10**6),
)
def test_relief_is_right_where_adjustments_take_away(
    costs: list[tuple[datetime, int]], threshold: int
) -> None:
    spending = Spending()
    for instant, cost in costs:
        spending.add(instant, cost)

    relief = spending.falls_below(threshold, NOW)

    past = [(instant, cost) for instant, cost in costs if instant <= NOW]
    expiries = sorted({instant + WEEK for instant, _ in past if instant > NOW - WEEK})
    candidates = [NOW, *expiries]
    below = next((at for at in candidates if plain_sum(past, at) < threshold), None)
    if below == NOW:
        assert relief is None
    elif below is not None:
        assert relief == below

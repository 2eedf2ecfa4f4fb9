from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.errors import OverBudget
from pool.executions.request import ExecutionRequest
from pool.keys.account import (
    Account,
    Charge,
    HourSpent,
    Reservation,
    hour_of,
    spent_this_week,
    spent_today,
    standing,
)
from pool.keys.api_keys import KeyLimits, KeySpec
from pool.keys.quotas import LimitCause, allowed, charged, paced, topped_up
from pool.money import NANO_PER_USD
from pool.usage.spending import WEEK

NOON = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)
HOUR, MINUTE, TICK = timedelta(hours=1), timedelta(minutes=1), timedelta(microseconds=1)
USD = NANO_PER_USD


def spent(*costs: tuple[datetime, int], reserved: int = 0, running: int = 0) -> Account:
    hours = tuple(HourSpent(starts_at=hour_of(at), cost_nano_usd=cost * USD) for at, cost in costs)
    return Account(hours=hours, reserved_nano_usd=reserved * USD, running=running)


def ask(**of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "q"} | of)


def key(**of: object) -> KeySpec:
    return KeySpec.model_validate({"name": "ci"} | of)


# -- budgets -------------------------------------------------------------------------------------


def test_a_budget_may_be_used_to_the_last_nano_dollar() -> None:
    limits, account = key(daily_budget_usd=10), spent((NOON, 4), reserved=3)

    assert allowed(limits, account, 3 * USD, NOON) is None
    refusal = allowed(limits, account, 3 * USD + 1, NOON)

    assert refusal is not None
    assert refusal.cause is LimitCause.DAILY_BUDGET
    assert refusal.until == datetime(2026, 1, 29, tzinfo=UTC)
    assert refusal.detail == (
        "used 4 + reserved 3 + asked 3.000000001 USD is more than the key's daily budget of 10 USD"
    )


def test_a_day_begins_anew_at_midnight_in_utc() -> None:
    limits, account = key(daily_budget_usd=10), spent((NOON, 10))
    midnight = datetime(2026, 1, 29, tzinfo=UTC)

    assert allowed(limits, account, USD, midnight - TICK) is not None
    assert allowed(limits, account, USD, midnight) is None


def test_what_running_work_holds_has_no_time_at_which_it_lifts() -> None:
    refusal = allowed(key(daily_budget_usd=10), spent(reserved=10), USD, NOON)

    assert refusal is not None
    assert refusal.until is None


def test_a_week_lets_go_of_an_hour_once_all_of_it_is_seven_days_old() -> None:
    limits, account = key(weekly_budget_usd=10), spent((NOON, 6), (NOON + HOUR, 4))
    now = NOON + 2 * HOUR

    little, much = (allowed(limits, account, part * USD, now) for part in (6, 7))

    assert little is not None
    assert much is not None
    assert little.cause is LimitCause.WEEKLY_BUDGET
    assert (little.until, much.until) == (NOON + HOUR + WEEK, NOON + 2 * HOUR + WEEK)


costs_by_hour = st.dictionaries(
    st.integers(-400, 0), st.integers(0, 20), min_size=0, max_size=30
).map(lambda found: [(NOON + HOUR * number, cost) for number, cost in sorted(found.items())])


@given(costs_by_hour, st.integers(0, 30), st.integers(1, 30), st.integers(1, 30))
def test_a_refusal_lifts_when_it_says_and_not_before(
    costs: list[tuple[datetime, int]], reserved: int, amount: int, budget: int
) -> None:
    account = spent(*costs, reserved=reserved)
    for limits in (key(weekly_budget_usd=budget), key(daily_budget_usd=budget)):
        refusal = allowed(limits, account, amount * USD, NOON)
        if refusal is None or refusal.until is None:
            continue
        assert allowed(limits, account, amount * USD, refusal.until - TICK) is not None
        assert allowed(limits, account, amount * USD, refusal.until) is None


@given(costs_by_hour, st.integers(0, 30), st.integers(1, 30), st.integers(1, 30))
def test_without_a_time_at_which_it_lifts_no_time_helps(
    costs: list[tuple[datetime, int]], reserved: int, amount: int, budget: int
) -> None:
    account = spent(*costs, reserved=reserved)
    limits = key(weekly_budget_usd=budget)

    refusal = allowed(limits, account, amount * USD, NOON)

    if refusal is not None and refusal.until is None:
        assert allowed(limits, account, amount * USD, NOON + 100 * WEEK) is not None


@given(costs_by_hour, st.randoms())
def test_totals_do_not_depend_on_the_order_of_hours(
    costs: list[tuple[datetime, int]], random: Any
) -> None:
    mixed = random.sample(costs, len(costs))

    assert standing(spent(*costs), NOON) == standing(spent(*mixed), NOON)


@given(costs_by_hour)
def test_totals_are_the_sums_of_what_is_inside(costs: list[tuple[datetime, int]]) -> None:
    account = spent(*costs)

    today = sum(cost for at, cost in costs if at.date() == NOON.date())
    week = sum(cost for at, cost in costs if at > NOON - WEEK - HOUR)

    assert spent_today(account, NOON) == today * USD
    assert spent_this_week(account, NOON) == week * USD


requests = st.lists(
    st.tuples(
        st.integers(0, 12 * 60),  # minutes until it comes
        st.integers(1, 8),  # what it reserves
        st.integers(0, 8),  # what it costs, at most that
        st.integers(0, 12 * 60),  # minutes until it ends
    ),
    max_size=40,
)


@given(requests, st.integers(1, 30), st.integers(1, 60))
def test_no_day_and_no_week_ever_costs_more_than_its_budget(
    asked: list[tuple[int, int, int, int]], day: int, week: int
) -> None:
    limits = key(daily_budget_usd=day, weekly_budget_usd=week)
    now = NOON
    running: list[tuple[datetime, int, int]] = []
    ended: list[tuple[datetime, int]] = []
    for pause, amount, cost, length in asked:
        now += pause * MINUTE
        over = [each for each in running if each[0] <= now]
        running = [each for each in running if each[0] > now]
        ended += [(at, cost) for at, _, cost in over]
        account = spent(*ended, reserved=sum(amount for _, amount, _ in running))
        if allowed(limits, account, amount * USD, now) is None:
            running.append((now + length * MINUTE, amount, min(cost, amount)))

    ended += [(at, cost) for at, _, cost in running]
    for at, _ in ended:
        in_day = sum(cost for when, cost in ended if when.date() == at.date())
        in_week = sum(cost for when, cost in ended if at - WEEK < when <= at)
        assert in_day <= day
        assert in_week <= week


# -- rate and concurrency ------------------------------------------------------------------------


def test_so_many_run_or_wait_at_the_same_time() -> None:
    limits = key(max_concurrent=2)

    assert allowed(limits, spent(running=1), 0, NOON) is None
    refusal = allowed(limits, spent(running=2), 0, NOON)

    assert refusal is not None
    assert (refusal.cause, refusal.until) == (LimitCause.CONCURRENCY, None)
    assert refusal.detail == "2 executions run or wait; the key may have 2"


def arrivals(limits: KeyLimits, *moments: datetime) -> list[bool]:
    """Which of the requests at these moments are allowed."""
    account, answers = Account(), []
    for now in moments:
        answers.append(allowed(limits, account, 0, now) is None)
        if answers[-1]:
            account = Account(next_at=paced(limits, account, now))
    return answers


def test_a_burst_comes_at_once_and_then_the_rate_holds() -> None:
    limits = key(requests_per_minute=6, burst=2)
    later = [NOON + timedelta(seconds=seconds) for seconds in (9, 10, 11, 20)]

    assert arrivals(limits, NOON, NOON, NOON) == [True, True, False]
    assert arrivals(limits, NOON, NOON, *later) == [True, True, False, True, False, True]


def test_a_pause_fills_the_bucket_and_no_more() -> None:
    limits = key(requests_per_minute=6, burst=2)

    assert arrivals(limits, NOON, *[NOON + HOUR] * 3) == [True, True, True, False]


def test_the_refusal_of_a_rate_says_when_the_next_request_is_due() -> None:
    limits = key(requests_per_minute=6, burst=1)

    refusal = allowed(limits, Account(next_at=paced(limits, Account(), NOON)), 0, NOON + TICK)

    assert refusal is not None
    assert (refusal.cause, refusal.until) == (LimitCause.RATE, NOON + timedelta(seconds=10))
    assert refusal.detail == "the key may make 6 requests a minute, 1 at once"


@given(
    st.lists(st.integers(0, 30_000_000), min_size=1, max_size=60),
    st.integers(1, 120),
    st.integers(1, 10),
)
def test_no_span_of_time_ever_sees_more_than_the_burst_and_its_rate(
    pauses: list[int], per_minute: int, burst: int
) -> None:
    limits = key(requests_per_minute=per_minute, burst=burst)
    moments, now = [], NOON
    for pause in pauses:
        now += timedelta(microseconds=pause)
        moments.append(now)

    answers = zip(moments, arrivals(limits, *moments), strict=True)
    let_in = [at for at, was_allowed in answers if was_allowed]

    each = MINUTE / per_minute
    for first in range(len(let_in)):
        for last in range(first, len(let_in)):
            span = let_in[last] - let_in[first]
            assert last - first + 1 <= burst + span / each


# -- what is held --------------------------------------------------------------------------------


def wanted(limits: KeySpec, amount: int, assumed: int = 0) -> Reservation:
    charge = Charge(execution_id="e", key_id="k", amount_nano_usd=amount, at=NOON)
    return Reservation(charge=charge, key=limits, assumed_nano_usd=assumed)


def test_what_is_assumed_is_held_beside_others_and_alone_gives_way_to_what_is_left() -> None:
    limits = key(daily_budget_usd=10, weekly_budget_usd=20)

    alone = charged(wanted(limits, 1, 30 * USD), spent((NOON, 7)))
    beside = charged(wanted(limits, 1, 2 * USD), spent((NOON, 7), reserved=1))

    assert (alone.amount_nano_usd, beside.amount_nano_usd) == (3 * USD, 2 * USD)
    with pytest.raises(OverBudget, match="reserved 1"):
        charged(wanted(limits, 1, 3 * USD), spent((NOON, 7), reserved=1))
    with pytest.raises(OverBudget):
        charged(wanted(limits, 1, 3 * USD), spent((NOON, 10)))


def test_what_such_requests_have_cost_never_gives_way_and_the_refusal_says_so() -> None:
    with pytest.raises(OverBudget, match="such requests have cost that") as refused:
        charged(wanted(key(daily_budget_usd=1), 2 * USD), Account())

    assert refused.value.retry_at is None
    assert "ask a smaller model" in str(refused.value)


def test_another_attempt_tops_up_what_its_execution_holds_as_far_as_there_is_room() -> None:
    limits, account = key(daily_budget_usd=10), spent((NOON, 3), reserved=5)

    more = topped_up(wanted(limits, 6 * USD), account, held_nano_usd=4 * USD)

    assert more is not None
    assert more.amount_nano_usd == 6 * USD
    assert topped_up(wanted(limits, 4 * USD), account, held_nano_usd=4 * USD) is None
    with pytest.raises(OverBudget):
        topped_up(wanted(limits, 6 * USD + 1), account, held_nano_usd=4 * USD)


attempts = st.tuples(
    st.integers(0, 8 * USD),  # what such requests have cost
    st.integers(0, 40 * USD),  # what it costs in the end
    st.booleans(),  # whether those before it end before it comes
)


@given(st.lists(attempts, max_size=40), st.integers(1, 20))
def test_a_budget_is_overdrawn_by_no_more_than_what_ran_at_once_cost_beyond_what_it_held(
    asked: list[tuple[int, int, bool]], budget: int
) -> None:
    limits = key(daily_budget_usd=budget)
    running: list[tuple[int, int]] = []  # what each holds, and what it will have cost
    used, beyond = 0, 0
    for seen, cost, others_end in asked:
        if others_end:
            used, running = used + sum(cost for _, cost in running), []
        hours = (HourSpent(starts_at=hour_of(NOON), cost_nano_usd=used),)
        account = Account(hours=hours, reserved_nano_usd=sum(held for held, _ in running))
        try:
            held = charged(wanted(limits, seen, assumed=USD), account).amount_nano_usd
        except OverBudget:
            continue
        running.append((held, cost))
        beyond = sum(max(0, cost - held) for held, cost in running)

    assert used + sum(cost for _, cost in running) <= budget * USD + beyond

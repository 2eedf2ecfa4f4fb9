from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from pool.routing.capacity import Capacity, capacity
from pool.routing.policy import RoutingPolicy
from pool.routing.ranking import rank
from pool.subscriptions.admission import Ask
from pool.subscriptions.report import Report
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state, window

ASK = Ask(goes_on=False, reserve_usd=Decimal(0), model="sonnet")


def told(*reports: Report, wanted: int, sent: dict[str, int] | None = None) -> Capacity:
    return capacity(rank(reports, ASK, RoutingPolicy(), NOON, sent), "sonnet", wanted, NOON)


def full(id_: str, resets_in: timedelta) -> Report:
    window_ = window(1.0, resets_in=resets_in, status="rejected")
    return report_at(state(id_, windows={"five_hour": window_}))


def test_slots_of_those_that_take_work_are_added_up_and_no_more_is_promised_than_asked() -> None:
    reports = [report_at(state(each, max_concurrent=3)) for each in ("a", "b")]

    assert told(*reports, wanted=10).start_now == 6
    assert told(*reports, wanted=2).start_now == 2


def test_what_was_just_sent_counts() -> None:
    reports = [report_at(state(each, max_concurrent=3)) for each in ("a", "b")]

    assert told(*reports, wanted=10, sent={"a": 2}).start_now == 4


def test_a_budget_has_room_for_no_more_runs_than_it_can_pay() -> None:
    nearly = report_at(state("a", spent_usd="8.4", max_concurrent=10, weekly_budget_usd=10))

    assert nearly.typical_cost_usd == Decimal("0.25")
    assert told(nearly, wanted=10).start_now == 6


def test_who_has_to_wait_is_told_until_when_and_why() -> None:
    later, sooner = full("a", timedelta(hours=3)), full("b", timedelta(hours=1))

    answer = told(later, sooner, wanted=4)

    assert (answer.start_now, answer.may_wait) == (0, 0)
    assert answer.retry_at == NOON + timedelta(hours=1)
    assert "a: " in answer.reason
    assert "five_hour" in answer.reason


def test_what_does_not_fit_the_slots_may_wait_as_far_as_the_queue_has_places() -> None:
    one = report_at(state("a", max_concurrent=2, max_queued=3))

    answer = told(one, wanted=10)

    assert (answer.start_now, answer.may_wait) == (2, 3)
    assert answer.retry_at is None, "runs end when they end"


def test_a_pool_that_nobody_has_come_up_in_says_so() -> None:
    assert told(wanted=1).reason == "no subscription is known, or none has come up yet"

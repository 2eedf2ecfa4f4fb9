from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from pool.limits.forecast import OutsideUsage, WindowForecast
from pool.subscriptions.overview.attention import NoticeKind, notices
from pool.subscriptions.report import Report, SubscriptionState
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state

DAY = timedelta(days=1)


def subscription(id_: str, **more: object) -> Report:
    return report_at(state(id_)).model_copy(update=more)


def test_a_healthy_pool_asks_for_nothing() -> None:
    assert notices([subscription("ada")], (), NOON) == ()


def test_a_missing_login_comes_first_before_one_that_ends_within_a_week() -> None:
    soon = subscription("ada", login_expires_at=NOON + 3 * DAY)
    later = subscription("cleo", login_expires_at=NOON + 8 * DAY)
    missing = {"state": SubscriptionState.NEEDS_LOGIN, "login_expires_at": NOON - DAY}

    found = notices([soon, later, subscription("ben", **missing)], (), NOON)

    assert [(each.subjects, each.severity, each.text) for each in found] == [
        (("ben",), "critical", "needs a login."),
        (("ada",), "warning", "has a login that expires in 3 days."),
    ]


def test_what_can_be_said_of_many_is_said_once() -> None:
    many = [subscription(each, login_expires_at=NOON + DAY) for each in ("ada", "ben", "cleo")]

    (found,) = notices(many, (), NOON)

    assert found.subjects == ("ada", "ben", "cleo")
    assert found.text == "have logins that expire within a week."


def test_unknown_costs_a_queue_beside_free_slots_and_those_that_never_came_up_are_named() -> None:
    unsure = subscription("ada", uncertain=1, uncertain_usd=Decimal("0.85"))
    stuck = subscription("ben", queued=2, running=1, capacity=5)

    found = notices([unsure, stuck], ("cleo",), NOON)

    assert [each.kind for each in found] == [
        NoticeKind.UNHEARD,
        NoticeKind.UNCERTAIN_USAGE,
        NoticeKind.QUEUE_STUCK,
    ]
    assert found[1].advice.startswith("$0.85 held until the block ends, in ")


def test_work_that_waits_for_a_free_slot_is_no_notice_until_the_queue_is_full() -> None:
    busy = {"running": 5, "capacity": 5, "max_queued": 3}

    assert notices([subscription("ada", queued=2, **busy)], (), NOON) == ()
    (found,) = notices([subscription("ada", queued=3, **busy)], (), NOON)
    assert found.kind is NoticeKind.QUEUE_FULL


def test_use_outside_the_pool_is_named_from_a_tenth_of_a_window_on() -> None:
    def used(percent: float) -> Report:
        seen = OutsideUsage(
            percent=percent,
            evidence="grew without a run",
            since=NOON - DAY,
            observed_at=NOON,
            age_seconds=0,
        )
        plain = subscription("ada")
        windows = {"five_hour": WindowForecast(outside=seen)}
        forecast = plain.forecast.model_copy(update={"windows": windows})
        return plain.model_copy(update={"forecast": forecast})

    assert notices([used(9)], (), NOON) == ()
    (found,) = notices([used(12)], (), NOON)
    assert found.text == "was used outside the pool: at least 12% of its five_hour window."

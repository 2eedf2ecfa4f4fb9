from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.alerts.delivery import Answer, Delivery, DeliveryStatus, after
from tests.support.values.examples import NOON

DAY = timedelta(hours=24)


def pending(attempts: int = 0) -> Delivery:
    return Delivery(
        alert_id="alert_1", webhook="ops", attempts=attempts, raised_at=NOON, due_at=NOON
    )


def pause(answer: Answer, attempts: int = 0, now: datetime = NOON) -> timedelta:
    return after(pending(attempts), answer, now, DAY, 0.0).due_at - now


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_what_was_taken_is_delivered(status: int) -> None:
    done = after(pending(), Answer(status), NOON, DAY, 0.0)

    assert (done.status, done.attempts, done.problem) == (DeliveryStatus.DELIVERED, 1, None)


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
def test_anything_else_is_tried_again(status: int) -> None:
    done = after(pending(), Answer(status), NOON, DAY, 0.0)

    assert (done.status, done.attempts) == (DeliveryStatus.PENDING, 1)
    assert done.problem == f"it answered {status}"


def test_it_is_tried_ever_more_rarely_up_to_once_an_hour() -> None:
    pauses = [pause(Answer(500), attempts).total_seconds() for attempts in range(8)]

    assert pauses == [5, 20, 80, 320, 1280, 3600, 3600, 3600]


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("120", 120),
        ("1", 5),
        ("999999999999", 6 * 3600),
        ("Wed, 28 Jan 2026 12:02:00 GMT", 120),
        ("Wed, 28 Jan 2026 11:00:00 GMT", 5),
        ("Wed, 28 Jan 2026 12:02:00", 5),
        ("-5", 5),
        ("soon", 5),
        ("", 5),
    ],
)
def test_a_retry_after_is_honoured_within_bounds(asked: str, seconds: float) -> None:
    assert pause(Answer(503, asked)).total_seconds() == seconds


def test_it_is_given_up_when_the_alert_is_too_old_or_the_webhook_is_gone() -> None:
    old = after(pending(9), Answer(problem="away"), NOON + DAY, DAY, 0.0)
    gone = after(pending(), Answer(410), NOON, DAY, 0.0)

    assert (old.status, old.problem) == (DeliveryStatus.GIVEN_UP, "away")
    assert gone.status is DeliveryStatus.GIVEN_UP


@given(st.floats(0, 1), st.sampled_from([None, "60", "junk", "999999"]))
def test_a_webhook_that_never_takes_it_is_asked_a_bounded_number_of_times(
    chance: float, retry_after: str | None
) -> None:
    delivery, now = pending(), NOON

    while delivery.status is DeliveryStatus.PENDING:
        assert delivery.attempts < 40
        now = delivery.due_at
        delivery = after(delivery, Answer(500, retry_after), now, DAY, chance)

    assert delivery.status is DeliveryStatus.GIVEN_UP
    assert now < NOON + DAY + timedelta(hours=6)

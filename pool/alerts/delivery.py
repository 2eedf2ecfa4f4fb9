"""The delivery of an alert to a webhook: where it stands, and what an answer makes of it.

A delivery is pending until the webhook has taken it, or it is given up: because the webhook is
gone (410), or because the alert has grown too old. Until then it is tried again, ever more rarely;
a ``Retry-After`` is honoured. This is a function of (delivery, answer, now), so nothing is lost
with the process that waits.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple

from pool.alerts.alerts import Alert
from pool.values import Instant, Value

FIRST_PAUSE = timedelta(seconds=5)
PAUSE_FACTOR = 4
LONGEST_PAUSE = timedelta(hours=1)
JITTER = 0.25
"""Pauses are drawn up to so much longer, so that what failed together is not repeated together."""
LONGEST_RETRY_AFTER = timedelta(hours=6)
"""A webhook that asks for a longer pause is tried again by then."""
GONE = 410


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class Delivery(Value):
    """One alert on its way to one webhook."""

    alert_id: str
    webhook: str
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    raised_at: Instant
    due_at: Instant
    """When it is tried next, if it is pending; when it ended otherwise."""
    problem: str | None = None
    """Why the last attempt failed."""


class ListedAlert(Alert):
    """An alert as it is shown: with what became of it."""

    deliveries: tuple[Delivery, ...] = ()


class Answer(NamedTuple):
    """What a webhook said, if it said anything."""

    status: int | None = None
    retry_after: str | None = None
    problem: str = ""
    """Why there was no answer."""

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def after(
    delivery: Delivery, answer: Answer, now: datetime, give_up_after: timedelta, chance: float
) -> Delivery:
    """The delivery after one more attempt. ``chance`` is drawn from 0 to 1."""
    attempts = delivery.attempts + 1
    if answer.is_taken:
        return _ended(delivery, DeliveryStatus.DELIVERED, attempts, now, None)
    problem = answer.problem or f"it answered {answer.status}"
    if answer.status == GONE or now - delivery.raised_at >= give_up_after:
        return _ended(delivery, DeliveryStatus.GIVEN_UP, attempts, now, problem)
    pause = max(_pause(attempts, chance), _asked_for(answer.retry_after, now))
    return delivery.model_copy(
        update={"attempts": attempts, "due_at": now + pause, "problem": problem}
    )


def _ended(
    delivery: Delivery, status: DeliveryStatus, attempts: int, now: datetime, problem: str | None
) -> Delivery:
    update = {"status": status, "attempts": attempts, "due_at": now, "problem": problem}
    return delivery.model_copy(update=update)


def _pause(attempts: int, chance: float) -> timedelta:
    growth: int = PAUSE_FACTOR ** min(attempts - 1, 10)
    return min(FIRST_PAUSE * growth, LONGEST_PAUSE) * (1 + JITTER * chance)


def _asked_for(retry_after: str | None, now: datetime) -> timedelta:
    """A ``Retry-After``: seconds or a date of HTTP; what cannot be read asks for nothing."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=min(int(text[:9]), 10**6)), LONGEST_RETRY_AFTER)
    try:
        asked = parsedate_to_datetime(text) - now
    except (ValueError, TypeError):
        return timedelta(0)
    return min(max(asked, timedelta(0)), LONGEST_RETRY_AFTER)


def draw() -> float:
    """A chance. It spreads load and keeps no secret."""
    return random.random()  # noqa: S311 - as the docstring says

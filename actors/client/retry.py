"""The retry schedule of a client: how long it waits for relief, and when it asks again.

A refusal for want of headroom says when it lifts, as far as the clock alone decides that; a place
in a queue comes free unannounced. So a client asks again at the announced time, or after a pause
that grows, whichever comes first. Nothing ran for a refused request, so it keeps its id. A run that
limits ended before it cost anything has ended all the same: it is made anew, under
a key that follows from its own, so that the whole call, repeated, finds the same executions.
"""

from __future__ import annotations

import random
import time
from datetime import datetime

from pool.executions.execution import Execution
from pool.executions.outcome import FailureKind

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0
"""A queue of short runs moves on faster than any limit resets; asking costs one call."""
_WANT_OF_HEADROOM = {
    FailureKind.USAGE_LIMIT,
    FailureKind.RATE_LIMITED,
    FailureKind.QUEUE_TIMEOUT,
}


def pause_seconds(asked: int, retry_at: datetime | None, now: datetime) -> float:
    """The pause after ``asked`` refusals in a row, the last of which lifts at ``retry_at``.

    Callers that were refused together do not come back together: a pause is drawn from the upper
    half of its length, and up to a tenth of a second is added to an announced time.
    """
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(asked - 1, 10))
    pause = longest * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing
    if retry_at is None or retry_at <= now:
        return pause
    announced = (retry_at - now).total_seconds()
    return min(pause, announced + random.uniform(0.0, 0.1))  # noqa: S311 - as above


def turned_away(execution: Execution) -> bool:
    """Whether an execution ended for want of headroom, before any run of it cost anything."""
    error = execution.error
    if error is None or error.type not in _WANT_OF_HEADROOM:
        return False
    return not any(attempt.cost_usd for attempt in execution.attempts)


def next_key(idempotency_key: str, asked: int) -> str:
    """The key of a request's further execution. It holds a space, as no caller's does."""
    return f"{idempotency_key} {asked}"


class RetrySchedule:
    """What is left of the time that a caller gives to one call, and how often it was refused."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._asked = 0

    def pause(self, retry_at: datetime | None, now: datetime) -> float | None:
        """The pause before the next try; None where the time is over."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            return None
        self._asked += 1
        return min(left, pause_seconds(self._asked, retry_at, now))

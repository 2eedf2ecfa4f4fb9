"""What a failure does to the seat it happened on.

Each cooldown has a cause, its evidence and an expiry, and lifts by the clock alone (G8): it is
judged as a function of (standing, now), and nothing ever has to run to end it. Once it has lifted
the seat proves itself: one request goes first, and the others wait for its end. Only a limit that
the CLI named with ``usage_limit_reached`` parks a seat until a reset; a bare 429 is a burst.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pool.outcome import Completed, Failed, FailureKind, Outcome
from pool.value import Instant, Value
from pool.windows import limit_resets_at, limits_of_the_seat

FIRST_BURST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=5)
LIMIT_WITHOUT_RESET = timedelta(minutes=5)
LONGEST_LIMIT = timedelta(hours=6)
"""Longer than any five-hour window. A limit that resets later is probed by then, and every six
hours: quota was seen to return before its time (peers' pain 1), and a probe costs nothing.
"""
LOGIN_RECHECK = timedelta(minutes=5)
CREDIT_RECHECK = timedelta(minutes=15)
ACCOUNT_RECHECK = timedelta(minutes=15)
"""Somebody has to mend these, and a probe costs nothing."""
STARTUP_RECHECK = timedelta(minutes=1)
FIRST_OVERLOAD_PAUSE = timedelta(seconds=5)
LONGEST_OVERLOAD_PAUSE = timedelta(seconds=60)
FIRST_CRASH_PAUSE = timedelta(seconds=15)
CRASHES_BEFORE_PAUSE = 3

_FIXED = {
    FailureKind.AUTHENTICATION: LOGIN_RECHECK,
    FailureKind.CREDIT_EXHAUSTED: CREDIT_RECHECK,
    FailureKind.ACCESS_DENIED: ACCOUNT_RECHECK,
    FailureKind.ACCOUNT_DISABLED: ACCOUNT_RECHECK,
    FailureKind.SPEND_LIMIT: ACCOUNT_RECHECK,
    FailureKind.STARTUP_FAILED: STARTUP_RECHECK,
}
_OVERLOAD = {FailureKind.OVERLOADED, FailureKind.SERVER_ERROR}
_CRASH = {
    FailureKind.CONNECTION,
    FailureKind.NO_RESULT,
    FailureKind.NOT_STARTED,
    FailureKind.KILLED,
}
_COUNTS = {FailureKind.RATE_LIMITED} | _OVERLOAD | _CRASH
"""Failures that say something about the seat or the road to the API, not about the request."""
_SAYS_NOTHING = {
    FailureKind.CANCELLED,
    FailureKind.INTERRUPTED,
    FailureKind.TIMEOUT,
    FailureKind.OUTPUT_LIMIT,
    FailureKind.QUEUE_TIMEOUT,
    FailureKind.SESSION_NOT_FOUND,
    FailureKind.SESSION_NOT_MOVED,
}
"""Ends that neither prove a seat nor speak against it."""


class Cooldown(Value):
    """A time in which a seat takes no work; afterwards, what it has to be proved against."""

    cause: FailureKind
    evidence: str
    since: Instant
    until: Instant


class Standing(Value):
    """What outlives a restart beside the records: operator's orders and the seat's troubles."""

    paused: bool = False
    draining: bool = False
    cooldown: Cooldown | None = None
    consecutive_failures: int = 0


def active_cooldown(standing: Standing, now: datetime) -> Cooldown | None:
    """The cooldown that still holds at ``now``."""
    cooldown = standing.cooldown
    return cooldown if cooldown is not None and now < cooldown.until else None


def is_proving(standing: Standing, now: datetime) -> bool:
    """Whether a cooldown has lifted, and no run has shown since that the seat works again."""
    return standing.cooldown is not None and now >= standing.cooldown.until


def _limit_ends(failed: Failed, now: datetime) -> datetime | None:
    """None where only some models are limited: their windows say so, and the seat serves others."""
    seat = limits_of_the_seat(failed.limits)
    if failed.limits and not seat:
        return None
    ends = limit_resets_at(seat) or now + LIMIT_WITHOUT_RESET
    return min(max(ends, now + timedelta(seconds=1)), now + LONGEST_LIMIT)


def _doubled(first: timedelta, times: int, longest: timedelta) -> timedelta:
    return min(first * (1 << max(0, min(times, 16))), longest)


def _expiry(failed: Failed, failures: int, now: datetime) -> datetime | None:
    kind = failed.kind
    if kind is FailureKind.USAGE_LIMIT:
        return _limit_ends(failed, now)
    if failed.retry_at is not None:
        return min(max(failed.retry_at, now + timedelta(seconds=1)), now + LONGEST_LIMIT)
    pause = _FIXED.get(kind) or _growing(kind, failures)
    return None if pause is None else now + pause


def _growing(kind: FailureKind, failures: int) -> timedelta | None:
    """A pause that doubles with every failure in a row."""
    if kind is FailureKind.RATE_LIMITED:
        return _doubled(FIRST_BURST_PAUSE, failures - 1, LONGEST_PAUSE)
    if kind in _OVERLOAD:
        return _doubled(FIRST_OVERLOAD_PAUSE, failures - 1, LONGEST_OVERLOAD_PAUSE)
    if kind in _CRASH and failures >= CRASHES_BEFORE_PAUSE:
        return _doubled(FIRST_CRASH_PAUSE, failures - CRASHES_BEFORE_PAUSE, LONGEST_PAUSE)
    return None


def after(standing: Standing, outcome: Outcome, now: datetime) -> Standing:
    """The seat's standing once a run has ended.

    An answer of the API ends the row of failures, and a cooldown that has lifted; but none that
    still holds: nothing is started in one, so the run is older than it. Of two cooldowns at a time
    the later expiry counts.
    """
    holds = active_cooldown(standing, now)
    if isinstance(outcome, Completed):
        return standing.model_copy(update={"cooldown": holds, "consecutive_failures": 0})
    if outcome.kind in _SAYS_NOTHING:
        return standing
    counts = outcome.kind in _COUNTS
    failures = standing.consecutive_failures + 1 if counts else 0
    until = _expiry(outcome, failures, now)
    if until is not None and (holds is None or holds.until <= until):
        holds = Cooldown(cause=outcome.kind, evidence=outcome.message, since=now, until=until)
    elif counts and holds is None:
        holds = standing.cooldown  # it has lifted, and the seat has not proved itself
    return standing.model_copy(update={"cooldown": holds, "consecutive_failures": failures})


def still_signed_out(standing: Standing, now: datetime) -> Standing:
    """The standing after the CLI said again that nobody is signed in: checked again later."""
    cooldown = standing.cooldown
    if cooldown is None or cooldown.cause is not FailureKind.AUTHENTICATION:
        return standing
    later = cooldown.model_copy(update={"until": now + LOGIN_RECHECK})
    return standing.model_copy(update={"cooldown": later})

"""What a failure does to the seat it happened on.

Each cooldown has a cause, its evidence and an expiry, and lifts by the clock alone (G8): it is
judged as a function of (standing, now), and nothing ever has to run to end it. Only a limit that
the CLI named with ``usage_limit_reached`` parks a seat until a reset; a bare 429 is a burst.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pool.outcome import Completed, Failed, FailureKind, Outcome
from pool.value import Instant, Value
from pool.windows import limit_resets_at

FIRST_BURST_PAUSE = timedelta(seconds=30)
LONGEST_BURST_PAUSE = timedelta(minutes=5)
LIMIT_WITHOUT_RESET = timedelta(minutes=5)
LONGEST_LIMIT = timedelta(days=8)
"""A reset further away than a week is no reset of a known window: probe again by then."""
LOGIN_RECHECK = timedelta(minutes=5)
CREDIT_RECHECK = timedelta(minutes=15)
TROUBLE_PAUSE = timedelta(seconds=15)
TROUBLES_BEFORE_PAUSE = 3

_BURST = {FailureKind.RATE_LIMITED}
_TROUBLE = {
    FailureKind.OVERLOADED,
    FailureKind.SERVER_ERROR,
    FailureKind.CONNECTION,
    FailureKind.NO_RESULT,
    FailureKind.NOT_STARTED,
    FailureKind.KILLED,
}
"""Failures that say something about the seat or the road to the API, not about the request."""


class Cooldown(Value):
    """A time in which a seat takes no work."""

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


def _limit_ends(failed: Failed, now: datetime) -> datetime:
    ends = limit_resets_at(failed.limits) or now + LIMIT_WITHOUT_RESET
    return min(max(ends, now + timedelta(seconds=1)), now + LONGEST_LIMIT)


def _expiry(failed: Failed, failures: int, now: datetime) -> datetime | None:
    kind = failed.kind
    if kind is FailureKind.USAGE_LIMIT:
        return _limit_ends(failed, now)
    if kind is FailureKind.AUTHENTICATION:
        return now + LOGIN_RECHECK
    if kind is FailureKind.CREDIT_EXHAUSTED:
        return now + CREDIT_RECHECK
    if kind in _BURST:
        doublings = int(min(failures - 1, 10))
        return now + min(FIRST_BURST_PAUSE * (1 << doublings), LONGEST_BURST_PAUSE)
    if kind in _TROUBLE and failures >= TROUBLES_BEFORE_PAUSE:
        return now + TROUBLE_PAUSE
    return None


def after(standing: Standing, outcome: Outcome, now: datetime) -> Standing:
    """The seat's standing once a run has ended.

    A success ends the row of failures, but no cooldown that still holds: nothing is started in one,
    so the run that succeeded is older than it.
    """
    if isinstance(outcome, Completed):
        holds = active_cooldown(standing, now)
        return standing.model_copy(update={"cooldown": holds, "consecutive_failures": 0})
    counts = outcome.kind in _BURST | _TROUBLE
    failures = standing.consecutive_failures + 1 if counts else 0
    until = _expiry(outcome, failures, now)
    if until is None:
        return standing.model_copy(update={"consecutive_failures": failures})
    cooldown = Cooldown(cause=outcome.kind, evidence=outcome.message, since=now, until=until)
    return standing.model_copy(update={"cooldown": cooldown, "consecutive_failures": failures})

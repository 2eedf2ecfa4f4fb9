"""The standing of a subscription: what its last runs and its operator did to it, cooldowns among
them.

Each cooldown has a cause, its evidence and an expiry, and lifts by the clock alone (G8): it is
judged as a function of (standing, now), and nothing ever has to run to end it. Once it has lifted
the subscription proves itself: one request goes first, and the others wait for its end. Only a
limit that the CLI named with ``usage_limit_reached`` parks a subscription until a reset; a bare 429
is a burst.

A failure that the request may have brought about says nothing by itself. If another subscription
answers the same request, the first one is suspect (``suspected``): so one that refuses everything,
in whatever words, is parked, though each refusal looks like a caller's mistake and costs nothing.
Until then the refusals are counted: one more of a subscription that has answered nothing since the
last is no second opinion (``failover``).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.limits.windows import REJECTED, RateLimitEvent, limit_that_rejected
from pool.subscriptions.consequences.model_refusals import ModelRefusal
from pool.values import Instant, Value

LIMIT_WITHOUT_RESET = timedelta(minutes=5)
LONGEST_LIMIT = timedelta(hours=6)
"""Longer than any five-hour window. A limit that resets later is probed by then, and every six
hours: quota has been seen to return before its time, and a probe that is refused costs nothing.
"""
LOGIN_RECHECK = timedelta(minutes=5)
NEWER_BY = timedelta(seconds=30)
"""How much later than a limit a run has to have seen the same window open: what came with
an answer is as old as the beginning of that answer."""


class Pause(NamedTuple):
    """How long a subscription rests after failures of one kind, doubling with each in a row."""

    first: timedelta
    longest: timedelta
    from_the: int = 1
    """Of the failures in a row the first one that has a pause."""


_BURST = Pause(timedelta(seconds=30), timedelta(minutes=5))
_OVERLOAD = Pause(timedelta(seconds=5), timedelta(seconds=60))
_CRASH = Pause(timedelta(seconds=15), timedelta(minutes=5), from_the=3)
_TRANSIENT = {
    FailureKind.RATE_LIMITED: _BURST,
    FailureKind.OVERLOADED: _OVERLOAD,
    FailureKind.SERVER_ERROR: _OVERLOAD,
    FailureKind.CONNECTION: _CRASH,
    FailureKind.NO_RESULT: _CRASH,
    FailureKind.NOT_STARTED: _CRASH,
    FailureKind.KILLED: _CRASH,
}
"""Troubles of the road to the API, or of the machine: they pass by themselves. The pause grows
with all of them in a row."""
_ACCOUNT = {
    FailureKind.AUTHENTICATION: Pause(LOGIN_RECHECK, LOGIN_RECHECK),
    FailureKind.ACCESS_DENIED: Pause(timedelta(minutes=5), LONGEST_LIMIT),
    FailureKind.ACCOUNT_DISABLED: Pause(timedelta(minutes=15), LONGEST_LIMIT),
    FailureKind.CREDIT_EXHAUSTED: Pause(timedelta(minutes=15), LONGEST_LIMIT),
    FailureKind.SPEND_LIMIT: Pause(timedelta(minutes=15), LONGEST_LIMIT),
    FailureKind.STARTUP_FAILED: Pause(timedelta(seconds=15), timedelta(hours=1)),
}
"""Troubles that somebody has to mend. The pause grows with each probe that fails."""
_SUSPICION = Pause(timedelta(seconds=30), timedelta(hours=1))
_SAYS_NOTHING = {
    FailureKind.CANCELLED,
    FailureKind.INTERRUPTED,
    FailureKind.NO_TOOL_RESULTS,
    FailureKind.TIMEOUT,
    FailureKind.OUTPUT_LIMIT,
    FailureKind.QUEUE_TIMEOUT,
    FailureKind.SESSION_NOT_FOUND,
    FailureKind.SESSION_NOT_MOVED,
}
"""Ends that neither prove a subscription nor speak against it."""
OF_A_LIMIT = frozenset({FailureKind.USAGE_LIMIT, FailureKind.RATE_LIMITED, FailureKind.SPEND_LIMIT})
"""Causes for which a caller learns that there is no headroom: it returns by the clock."""


def is_to_be_mended(cause: FailureKind) -> bool:
    """Whether somebody has to do something about it: neither the clock nor a limit's end helps."""
    return cause not in _TRANSIENT and cause not in OF_A_LIMIT


class Cooldown(Value):
    """A time without work; afterwards, what the subscription has to be proved against."""

    cause: FailureKind
    evidence: str
    since: Instant
    until: Instant
    times: int = 1
    """How often in a row it came to this, by the same cause."""
    window: str | None = None
    """Which of Anthropic's limits was hit, where it has a name."""


class Standing(Value):
    """What outlives a restart with the records: operators' orders, and what went wrong lately."""

    paused: bool = False
    draining: bool = False
    cooldown: Cooldown | None = None
    consecutive_failures: int = 0
    unsure_failures: int = 0
    """How often in a row it refused what nobody could tell about; see ``Failed.is_unsure``."""
    refused_models: tuple[ModelRefusal, ...] = ()


def active_cooldown(standing: Standing, now: datetime) -> Cooldown | None:
    """The cooldown that still holds at ``now``."""
    cooldown = standing.cooldown
    return cooldown if cooldown is not None and now < cooldown.until else None


def is_proving(standing: Standing, now: datetime) -> bool:
    """Whether a cooldown has lifted, and no run has shown since that it works again."""
    return standing.cooldown is not None and now >= standing.cooldown.until


def unproved(standing: Standing, now: datetime) -> FailureKind | None:
    """The cause of a cooldown that has lifted, while the subscription is proving."""
    cooldown = standing.cooldown
    return cooldown.cause if cooldown is not None and is_proving(standing, now) else None


def _doubled(pause: Pause, times: int) -> timedelta:
    return min(pause.first * (1 << max(0, min(times - 1, 16))), pause.longest)


def _times(standing: Standing, cause: FailureKind, now: datetime) -> int:
    """How often in a row: failures of runs that were under way together are one."""
    known = standing.cooldown
    if known is None or known.cause is not cause:
        return 1
    return known.times if now < known.until else known.times + 1


def _by_limit(failed: Failed, now: datetime) -> Cooldown | None:
    """None where only some models are limited: their windows say so, and others are served."""
    event = limit_that_rejected(failed.limits)
    if event is None and any(each.status == REJECTED for each in failed.limits):
        return None
    resets_at = event.resets_at if event is not None else None
    ends = resets_at or now + LIMIT_WITHOUT_RESET
    return Cooldown(
        cause=failed.kind,
        evidence=failed.message,
        since=now,
        until=min(max(ends, now + timedelta(seconds=1)), now + LONGEST_LIMIT),
        window=event.type if event is not None else None,
    )


def _by_account(standing: Standing, failed: Failed, now: datetime) -> Cooldown:
    times = _times(standing, failed.kind, now)
    until = now + _doubled(_ACCOUNT[failed.kind], times)
    if failed.retry_at is not None and failed.retry_at > now:
        until = min(failed.retry_at, now + LONGEST_LIMIT)
    return Cooldown(cause=failed.kind, evidence=failed.message, since=now, until=until, times=times)


def _cooldown(standing: Standing, failed: Failed, failures: int, now: datetime) -> Cooldown | None:
    """The cooldown that a failure brings about by itself."""
    kind = failed.kind
    if kind is FailureKind.USAGE_LIMIT:
        return _by_limit(failed, now)
    if kind in _ACCOUNT:
        return _by_account(standing, failed, now)
    pause = _TRANSIENT.get(kind)
    if pause is None or failures < pause.from_the:
        return None
    until = now + _doubled(pause, failures - pause.from_the + 1)
    return Cooldown(cause=kind, evidence=failed.message, since=now, until=until)


def _is_lifted(cooldown: Cooldown, limits: tuple[RateLimitEvent, ...]) -> bool:
    """Whether a run learnt, after the limit was hit, that the same limit is open."""
    return any(
        event.status != REJECTED
        and event.observed_at >= cooldown.since + NEWER_BY
        and cooldown.window in {event.type, *event.windows}
        for event in limits
    )


def _answered(standing: Standing, completed: Completed, now: datetime) -> Standing:
    holds = active_cooldown(standing, now)
    if holds is not None and holds.window is not None and _is_lifted(holds, completed.limits):
        holds = None
    proved = {"consecutive_failures": 0, "unsure_failures": 0}
    return standing.model_copy(update={"cooldown": holds, **proved})


def after(standing: Standing, outcome: Outcome, now: datetime) -> Standing:
    """The subscription's standing once a run has ended.

    An answer of the API ends the row of failures, and a cooldown that has lifted; one that still
    holds only if it shows that the limit is open again: nothing is started in one, so the run is
    older than it. Of two cooldowns at a time the later expiry counts.
    """
    if isinstance(outcome, Completed):
        return _answered(standing, outcome, now)
    if outcome.kind in _SAYS_NOTHING:
        return standing
    unsure = standing.unsure_failures + 1 if outcome.is_unsure else 0
    standing = standing.model_copy(update={"unsure_failures": unsure})
    if outcome.is_unsure and outcome.kind not in _TRANSIENT:
        return standing
    holds = active_cooldown(standing, now)
    counts = outcome.kind in _TRANSIENT or outcome.kind in _ACCOUNT
    failures = standing.consecutive_failures + 1 if counts else 0
    new = _cooldown(standing, outcome, failures, now)
    if new is not None and (holds is None or holds.until <= new.until):
        holds = new
    elif counts and holds is None:
        holds = standing.cooldown  # it has lifted, and the subscription has not proved itself
    return standing.model_copy(update={"cooldown": holds, "consecutive_failures": failures})


def suspected(standing: Standing, kind: FailureKind, now: datetime) -> Standing:
    """The standing once another subscription has answered what this one refused.

    Raised again while the suspicion holds, it stays as it is.
    """
    if active_cooldown(standing, now) is not None:
        return standing
    times = _times(standing, kind, now)
    cooldown = Cooldown(
        cause=kind,
        evidence="another subscription answered a request that this one refused: see the error of "
        "the failed attempt, and try the account by hand",
        since=now,
        until=now + _doubled(_SUSPICION, times),
        times=times,
    )
    failures = standing.consecutive_failures + 1
    return standing.model_copy(update={"cooldown": cooldown, "consecutive_failures": failures})


def still_signed_out(standing: Standing, now: datetime) -> Standing:
    """The standing after the CLI said again that nobody is signed in: checked again later."""
    cooldown = standing.cooldown
    if cooldown is None or cooldown.cause is not FailureKind.AUTHENTICATION:
        return standing
    later = cooldown.model_copy(update={"until": now + LOGIN_RECHECK})
    return standing.model_copy(update={"cooldown": later})

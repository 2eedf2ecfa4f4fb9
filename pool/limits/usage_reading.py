"""A reading of Anthropic's limits that takes no run, and when the next one is due.

The CLI asks Anthropic itself (``get_usage``), where it has a login with a profile; a token of
``claude setup-token`` and an API key have none. The endpoint refuses frequent
questions: so it is read seldom, at no fixed beat, and not while runs report the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pool.limits.windows import RateLimitEvent
from pool.values import Instant, Value

LEAST = timedelta(minutes=5)
"""Between two readings, whatever happens."""
WHILE_UNUSED = timedelta(minutes=30)
"""Between two readings of a subscription that has not run anything for that long."""
MOST_AFTER_FAILURES = timedelta(hours=1)
BEFORE_A_PROBE = timedelta(minutes=1)
"""How long before a cooldown ends it is read once more."""


class ExtraUsage(Value):
    """Paid usage beyond the windows, as the account has it; amounts as the CLI gives them."""

    is_enabled: bool = False
    monthly_limit: float | None = None
    used_credits: float | None = None
    utilization: float | None = None
    """A share of the monthly limit: 1.0 is all of it."""
    currency: str | None = None
    observed_at: Instant


class UsageReading(Value):
    """What Anthropic said of an account's limits."""

    event: RateLimitEvent
    """Its windows, as if a run had reported them; and the whole answer."""
    extra_usage: ExtraUsage | None = None


class NoProfile(Value):
    """The CLI says that nobody can read them with the account's credential."""


class ReadingSchedule(Value):
    """When limits were last read, and how that went."""

    asked_at: Instant | None = None
    failures: int = 0
    """In a row."""

    def asked(self, now: datetime, *, has_answered: bool) -> ReadingSchedule:
        failures = 0 if has_answered else self.failures + 1
        return ReadingSchedule(asked_at=now, failures=failures)

    def is_due(
        self,
        now: datetime,
        jitter: float,
        *,
        heard_at: datetime | None,
        used_at: datetime | None,
        probe_at: datetime | None,
    ) -> bool:
        """Whether to ask now. ``heard_at``: when a run last reported the windows; ``used_at``: when
        the subscription was last asked to run something; ``probe_at``: when its cooldown ends, if
        it rests. ``jitter`` is drawn once a reading, between 0 and 1.
        """
        known_at = max((at for at in (self.asked_at, heard_at) if at is not None), default=None)
        if self.asked_at is not None and now - self.asked_at < LEAST * (1 + 0.2 * jitter):
            return False
        if self.failures:
            pause = min(LEAST * 2.0**self.failures, MOST_AFTER_FAILURES)
            return self.asked_at is None or now - self.asked_at >= pause * (1 + 0.2 * jitter)
        if probe_at is not None and now < probe_at <= now + BEFORE_A_PROBE:
            return True
        is_used = used_at is not None and now - used_at < WHILE_UNUSED
        pause = LEAST if is_used else WHILE_UNUSED
        return known_at is None or now - known_at >= pause * (1 + 0.2 * jitter)

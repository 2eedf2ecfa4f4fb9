"""What Anthropic knows of an account, and the pool is told only at the end of a run.

A five-hour window that starts at the first use, also outside the pool; a weekly window that resets
at the account's own fixed time; one of its own for opus, where the plan has it. A request that does
not fit into what is left is turned away with the limit's event. Percentages are told in whole ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pool.limits.windows import FIVE_HOUR, REJECTED, SEVEN_DAY, RateLimitEvent, Window
from pool.money import nano_usd

SEVEN_DAY_OPUS = "seven_day_opus"
WARNS_FROM = 0.75
FIVE_HOURS = timedelta(hours=5)
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Plan:
    """A plan's true limits in US dollars, and what an operator would configure for it."""

    name: str
    five_hour_usd: float
    week_usd: float
    opus_week_usd: float | None
    slots: int
    weight: float


PRO = Plan("pro", 8, 60, None, 3, 1)
MAX5 = Plan("max5", 35, 240, 120, 5, 4)
MAX20 = Plan("max20", 90, 600, 300, 8, 10)


@dataclass(frozen=True)
class Span:
    """A stretch of time in which something is wrong."""

    since: datetime
    until: datetime

    def holds(self, now: datetime) -> bool:
        return self.since <= now < self.until


@dataclass
class Account:
    """One account's truth. Amounts in nano-dollars."""

    plan: Plan
    resets_at: datetime
    """The next weekly reset."""
    outside: deque[tuple[datetime, int]] = field(default_factory=deque)
    """What will be used outside the pool, in the order of time."""
    outages: tuple[Span, ...] = ()
    signed_out: tuple[Span, ...] = ()
    has_windows: bool = True
    """False for an API key: no limit, and no event."""
    five_until: datetime | None = None
    five_used: int = 0
    week_used: int = 0
    opus_used: int = 0
    used_by_pool: int = 0
    used_outside: int = 0

    def is_out(self, now: datetime) -> bool:
        return any(span.holds(now) for span in self.outages)

    def is_signed_out(self, now: datetime) -> bool:
        return any(span.holds(now) for span in self.signed_out)

    def exceeded(self, cost: int, *, opus: bool, now: datetime) -> str | None:
        """The window that has no room for this cost; None where every one has."""
        self._catch_up(now)
        return self._full(cost, opus=opus) if self.has_windows else None

    def charge(self, cost: int, *, opus: bool, now: datetime) -> None:
        self._catch_up(now)
        self._use(cost, now)
        self.opus_used += cost if opus else 0
        self.used_by_pool += cost

    def event(self, now: datetime, *, opus: bool, rejected: str | None) -> RateLimitEvent:
        """What the CLI prints of the windows at the end of a run."""
        self._catch_up(now)
        windows = {name: self._window(name, rejected, now) for name in (FIVE_HOUR, SEVEN_DAY)}
        named = rejected or FIVE_HOUR
        if rejected is None and opus and self._share(SEVEN_DAY_OPUS) >= WARNS_FROM:
            named = SEVEN_DAY_OPUS
        windows[named] = self._window(named, rejected, now)
        return RateLimitEvent(
            observed_at=now,
            status=windows[named].status,
            type=named,
            resets_at=windows[named].resets_at,
            windows=windows,
        )

    def share_used(self) -> float:
        """Of the plan's week, what was used since the simulation began, by anyone."""
        return (self.used_by_pool + self.used_outside) / nano_usd(self.plan.week_usd)

    def catch_up(self, now: datetime) -> None:
        self._catch_up(now)

    def _catch_up(self, now: datetime) -> None:
        while self.outside and self.outside[0][0] <= now:
            at, cost = self.outside.popleft()
            self._turn(at)
            self.used_outside += cost
            self._use(cost, at)
        self._turn(now)

    def _turn(self, now: datetime) -> None:
        if self.five_until is not None and self.five_until <= now:
            self.five_until, self.five_used = None, 0
        while self.resets_at <= now:
            self.resets_at += WEEK
            self.week_used = self.opus_used = 0

    def _use(self, cost: int, now: datetime) -> None:
        self.five_until = self.five_until or now + FIVE_HOURS
        self.five_used += cost
        self.week_used += cost

    def _limits(self) -> Iterable[tuple[str, int, float | None]]:
        plan = self.plan
        return (
            (FIVE_HOUR, self.five_used, plan.five_hour_usd),
            (SEVEN_DAY, self.week_used, plan.week_usd),
            (SEVEN_DAY_OPUS, self.opus_used, plan.opus_week_usd),
        )

    def _full(self, cost: int, *, opus: bool) -> str | None:
        for name, used, limit in self._limits():
            holds = opus or name != SEVEN_DAY_OPUS
            if holds and limit is not None and used + cost > nano_usd(limit):
                return name
        return None

    def _share(self, name: str) -> float:
        used, limit = next((used, limit) for each, used, limit in self._limits() if each == name)
        return used / nano_usd(limit) if limit else 0.0

    def _window(self, name: str, rejected: str | None, now: datetime) -> Window:
        share = round(min(1.0, self._share(name)), 2)
        ordinary = "allowed_warning" if share >= WARNS_FROM else "allowed"
        resets_at = (self.five_until or now + FIVE_HOURS) if name == FIVE_HOUR else self.resets_at
        return Window(
            status=REJECTED if name == rejected else ordinary,
            observed_at=now,
            utilization=share,
            resets_at=resets_at,
        )

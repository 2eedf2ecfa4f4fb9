"""The pool's own 5-hour budget calendar.

Blocks start at 00:00, 05:00, 10:00, 15:00 and 20:00 UTC; the one at 20:00 lasts four hours, so that
every day begins anew. A block's id is its first instant. They are a calendar, not Anthropic's
window: that one starts at an account's first use, and only the CLI can say it
(``pool.limits.windows``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pool.values import Instant, Value, instant_text

BLOCK_HOURS = 5


class Block(Value):
    """A half-open span of the calendar: ``starts_at <= instant < ends_at``."""

    starts_at: Instant
    ends_at: Instant

    @property
    def id(self) -> str:
        return instant_text(self.starts_at)

    def __contains__(self, instant: datetime) -> bool:
        return self.starts_at <= instant < self.ends_at


def block_at(instant: datetime) -> Block:
    """The block that an aware instant falls in."""
    utc = instant.astimezone(UTC)
    midnight = utc.replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight + timedelta(hours=utc.hour - utc.hour % BLOCK_HOURS)
    end = min(start + timedelta(hours=BLOCK_HOURS), midnight + timedelta(days=1))
    return Block(starts_at=start, ends_at=end)


def most_blocks(span: timedelta) -> int:
    """How many blocks a span of time can have a part in, wherever it begins."""
    a_day = -(-24 // BLOCK_HOURS)
    return a_day * (span // timedelta(days=1) + 1) + 1

"""The account of a key: what was spent, what is held, and what is charged to it.

A day's budget is that of the calendar day in UTC, a week's that of the last seven days. What was
spent is kept by the hour, so that a year of requests takes no longer to add up than a day of them;
the oldest hour of a week counts until all of it is out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pool.keys.api_keys import KeySpec, KeyStanding
from pool.money import usd
from pool.usage.spending import WEEK
from pool.values import Instant, Value


class Charge(Value):
    """What a request holds of its key's limits, from before it is placed until it has ended."""

    execution_id: str
    key_id: str
    amount_nano_usd: int
    at: Instant


class Reservation(Value):
    """A charge that is to be made, and the key whose limits it is judged by."""

    charge: Charge
    key: KeySpec
    assumed_nano_usd: int = 0
    """What it may come to by assumption, as long as too little is known; see ``charged``."""


class Settled(Value):
    """What a request cost in the end, and when that was."""

    cost_nano_usd: int
    at: Instant
    held_until: Instant | None = None
    """Its cost is in doubt: until then the rest of its reservation is held."""


class HourSpent(Value):
    """Nano-dollars of one hour of a key."""

    starts_at: Instant
    cost_nano_usd: int


class Account(Value):
    """What the limits of a key are judged by."""

    next_at: Instant | None = None
    """When the next request would be due at an even pace; it moves on with every request."""
    running: int = 0
    reserved_nano_usd: int = 0
    """Held for what runs or waits, and for what is in doubt."""
    hours: tuple[HourSpent, ...] = ()
    """What was spent, at least in the last seven days; oldest first."""


def hour_of(at: datetime) -> datetime:
    """The first instant of the hour that a cost is kept in."""
    return at.replace(minute=0, second=0, microsecond=0)


def oldest_hour(now: datetime) -> datetime:
    """The hour that the oldest cost of the last seven days is kept in."""
    return hour_of(now - WEEK)


def midnight(now: datetime) -> datetime:
    """The first instant of the day that counts against a day's budget."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _since(hours: Iterable[HourSpent], start: datetime) -> int:
    return sum(each.cost_nano_usd for each in hours if start <= each.starts_at)


def spent_today(account: Account, now: datetime) -> int:
    return _since(account.hours, midnight(now))


def spent_this_week(account: Account, now: datetime) -> int:
    return _since(account.hours, oldest_hour(now))


def standing(account: Account, now: datetime) -> KeyStanding:
    """The account as it is shown."""
    return KeyStanding(
        running=account.running,
        today_usd=usd(spent_today(account, now)),
        week_usd=usd(spent_this_week(account, now)),
        reserved_usd=usd(account.reserved_nano_usd),
    )

"""Anthropic's own limits, as the CLI reports them with ``rate_limit_event``.

A window is believed as long as it is true: until its reset, or until it was seen too long ago. The
account may be used outside the pool, so its start and reset are never computed, only read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from pool.value import Instant, Value

FIVE_HOUR = "five_hour"
SEVEN_DAY = "seven_day"


class Window(Value):
    """One reported limit. ``utilization`` is a share: 1.0 is all of it."""

    status: str
    """``allowed``, ``allowed_warning`` or ``rejected``; other words of newer CLIs are kept."""
    observed_at: Instant
    utilization: float | None = None
    resets_at: Instant | None = None


class RateLimitEvent(Value):
    """One ``rate_limit_event`` of the CLI: what was understood of it, and the raw object."""

    observed_at: Instant
    status: str
    type: str | None = None
    resets_at: Instant | None = None
    is_using_overage: bool = False
    windows: dict[str, Window] = Field(default_factory=dict)
    raw: dict[str, Any] = Field(default_factory=dict)


def is_fresh(window: Window, now: datetime, max_age: timedelta) -> bool:
    """Whether a window still says something about ``now``."""
    if window.resets_at is not None and window.resets_at <= now:
        return False
    return now - window.observed_at <= max_age


def percent_of(
    windows: dict[str, Window], name: str, now: datetime, max_age: timedelta
) -> float | None:
    """The utilization of a window in percent, or None where nothing fresh is known."""
    window = windows.get(name)
    if window is None or window.utilization is None or not is_fresh(window, now, max_age):
        return None
    return window.utilization * 100


def newest(*observations: dict[str, Window]) -> dict[str, Window]:
    """Of several sets of windows, for each name the one that was observed last."""
    latest: dict[str, Window] = {}
    for windows in observations:
        for name, window in windows.items():
            known = latest.get(name)
            if known is None or known.observed_at <= window.observed_at:
                latest[name] = window
    return latest


def limit_resets_at(events: Iterable[RateLimitEvent]) -> datetime | None:
    """When the last of the windows resets that a run was rejected by; None if none was named."""
    resets = [
        event.resets_at
        for event in events
        if event.status == "rejected" and event.type and event.resets_at is not None
    ]
    return max(resets, default=None)

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
OVERAGE = "overage"
"""Not a limit of its own: whether real money is being spent beyond the windows."""
IN_USE = "in_use"
"""The status of the overage while it is being used."""
REJECTED = "rejected"
MODEL_WINDOW = "seven_day_"
"""What follows names the family of models that such a window holds for; see ``model_family``."""
_FAMILIES = ("opus", "sonnet", "haiku")


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
    if window is None or not is_fresh(window, now, max_age):
        return None
    if window.status == REJECTED:
        return 100.0
    return None if window.utilization is None else window.utilization * 100


def model_family(window: str) -> str | None:
    """The family of models that a window holds for; None where it holds for all."""
    name = window.removeprefix(MODEL_WINDOW)
    return name if name != window and name in _FAMILIES else None


def holds_for(window: str, model: str | None) -> bool:
    """Whether a window limits a model; of an unknown model, whether it limits all of them."""
    family = model_family(window)
    return family is None or (model is not None and family in model)


def limits_of_the_seat(events: Iterable[RateLimitEvent]) -> tuple[RateLimitEvent, ...]:
    """The events that rejected a run by a limit of the whole seat, or of nothing that is named."""
    return tuple(
        event
        for event in events
        if event.status == REJECTED and (event.type is None or model_family(event.type) is None)
    )


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
        if event.status == REJECTED and event.type and event.resets_at is not None
    ]
    return max(resets, default=None)

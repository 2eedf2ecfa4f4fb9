"""Anthropic's own limits, as the CLI reports them with ``rate_limit_event``.

A window is believed as long as it is true: until its reset, or until it was seen too long ago. The
account may be used outside the pool, so its start and reset are never computed, only read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from pool.values import Instant, Value

FIVE_HOUR = "five_hour"
SEVEN_DAY = "seven_day"
OVERAGE = "overage"
"""Not a limit of its own: whether real money is being spent beyond the windows."""
IN_USE = "in_use"
"""The status of the overage while it is being used."""
REJECTED = "rejected"
FAMILIES = ("opus", "sonnet", "haiku", "fable")
_OF_ALL = frozenset({FIVE_HOUR, SEVEN_DAY, OVERAGE})
_OF_A_FAMILY = {
    "seven_day_overage_included": "fable",  # the CLI calls it "Fable limit"
    **{f"{period}_{family}": family for period in (FIVE_HOUR, SEVEN_DAY) for family in FAMILIES},
}
_SAME_RESET = timedelta(minutes=1)


WindowSource = Literal["rate_limit_event", "get_usage"]
"""A run reported it, or a question to the CLI that took no run."""


class Window(Value):
    """One reported limit. ``utilization`` is a share: 1.0 is all of it."""

    status: str
    """``allowed``, ``allowed_warning`` or ``rejected``; other words of newer CLIs are kept."""
    observed_at: Instant
    utilization: float | None = None
    utilization_at: Instant | None = None
    """When the figure was seen, where later observations came without one."""
    resets_at: Instant | None = None
    models: str | None = None
    """The family of models that it holds for, or the model that met it; None for all."""
    source: WindowSource = "rate_limit_event"


class RateLimitEvent(Value):
    """One ``rate_limit_event`` of the CLI: what was understood of it, and the raw object."""

    observed_at: Instant
    status: str
    type: str | None = None
    models: str | None = None
    """What the limit holds for; see ``Window``."""
    resets_at: Instant | None = None
    is_using_overage: bool = False
    windows: dict[str, Window] = Field(default_factory=dict)
    raw: dict[str, Any] = Field(default_factory=dict)


def is_fresh(window: Window, now: datetime, max_age: timedelta) -> bool:
    """Whether a window still says something about ``now``."""
    if window.resets_at is not None and window.resets_at <= now:
        return False
    seen_at = window.observed_at
    if window.status != REJECTED and window.utilization_at is not None:
        seen_at = window.utilization_at
    return now - seen_at <= max_age


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


def models_of(window: str, met_by: str | None) -> str | None:
    """What a limit of this name holds for: a family of models, or None for all.

    Limits are an open set, and new ones come with new models. One of an unknown name holds for the
    model that met it, and for nothing else.
    """
    if window in _OF_ALL:
        return None
    return _OF_A_FAMILY.get(window, met_by)


def window_of_family(family: str) -> str:
    """The name of the weekly window of a family of models."""
    names = (name for name, of in _OF_A_FAMILY.items() if of == family and SEVEN_DAY in name)
    return next(names, f"{SEVEN_DAY}_{family}")


def family_of(model: str) -> str | None:
    """The family in a model's name or alias; None where the name has none."""
    return next((family for family in FAMILIES if family in model), None)


def holds_for(models: str | None, model: str | None) -> bool:
    """Whether a limit of ``models`` limits a model; of an unknown one, whether it limits all."""
    if models is None:
        return True
    if model is None:
        return False
    return models == model or family_of(models) == (family_of(model) or model)


def limit_that_rejected(events: Iterable[RateLimitEvent]) -> RateLimitEvent | None:
    """Of the events that rejected a run by a limit that holds for all models, or by none that is
    named, the one whose limit resets last.
    """
    rejected = [each for each in events if each.status == REJECTED and each.models is None]
    return max(rejected, key=lambda each: each.resets_at or each.observed_at, default=None)


def newest(*observations: dict[str, Window]) -> dict[str, Window]:
    """The newest window of each name in several sets.

    One that came without its figure keeps the figure known before, and that one's age, as long as
    it is the same window; after a reset nothing is known, which is not 0. One that was only read
    does not say whether requests are refused: what a run was refused by stays so until its reset.
    """
    latest: dict[str, Window] = {}
    for windows in observations:
        for name, window in windows.items():
            known = latest.get(name)
            if known is None or known.observed_at <= window.observed_at:
                latest[name] = window if known is None else _following(window, known)
    return latest


def _following(window: Window, known: Window) -> Window:
    """A window as it is seen after it was seen before."""
    if known.resets_at is None or window.resets_at is None:
        return window
    if abs(known.resets_at - window.resets_at) > _SAME_RESET:
        return window
    if window.source == "get_usage" and known.status == REJECTED:
        return window.model_copy(update={"status": REJECTED})
    if window.utilization is not None or known.utilization is None:
        return window
    figure = {
        "utilization": known.utilization,
        "utilization_at": known.utilization_at or known.observed_at,
    }
    return window.model_copy(update=figure)


def limit_resets_at(events: Iterable[RateLimitEvent]) -> datetime | None:
    """When the last of the windows resets that a run was rejected by; None if none was named."""
    resets = [
        event.resets_at
        for event in events
        if event.status == REJECTED and event.type and event.resets_at is not None
    ]
    return max(resets, default=None)

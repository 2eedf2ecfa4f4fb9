"""Names, times and amounts as a terminal shows them: functions of their arguments."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_WINDOW = re.compile(r"(five_hour|seven_day)(?:_(.+))?")
_PERIODS = {"five_hour": "five hours", "seven_day": "week"}
_NEAR = timedelta(days=6)


def printable(name: str | None) -> str:
    """A text that others chose, without what a terminal would obey."""
    return "-" if name is None else "".join(each if each.isprintable() else "?" for each in name)


def clock(at: datetime, now: datetime) -> str:
    """A time of the reader's own clock: "14:35" today, "Tue 14:35" within a week, else with its
    date.
    """
    there, here = at.astimezone(), now.astimezone()
    if there.date() == here.date():
        return f"{there:%H:%M}"
    return f"{there:%a %H:%M}" if abs(at - now) < _NEAR else f"{there:%-d %b %H:%M}"


def percent(share: float | None) -> str:
    """A share of 1, without decimals; what is above nothing never shows as nothing."""
    if share is None:
        return "?"
    return "<1%" if 0 < share < 0.01 else f"{100 * share:.0f}%"


def window_name(name: str) -> str:
    """``seven_day_opus`` as "week, opus"."""
    if name == "seven_day_overage_included":
        return "week, fable"
    found = _WINDOW.fullmatch(name)
    if found is None:
        return name.replace("_", " ")
    period, family = found.groups()
    return _PERIODS[period] + (f", {family.replace('_', ' ')}" if family else "")


def model_name(model: str) -> str:
    """A model without its maker and its date."""
    return re.sub(r"-\d{8}$", "", model.removeprefix("claude-"))


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

"""Anthropic's windows over all subscriptions: a line each, with the next reset. Where nothing fresh
was seen of a subscription, its five hours and its week are the pool's own figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from api.cli.display.board import left_share
from api.cli.display.words import clock, percent, window_name
from api.cli.top.drawing.bars import Part, colour, parts_bar
from api.cli.top.snapshot import Frame
from pool.subscriptions.report import Report

ALWAYS = ("five_hour", "seven_day")
_NAME_WIDTH, _MOST_NOTE = 14, 40


@dataclass(frozen=True)
class Usage:
    """One limit of one subscription."""

    subscription_id: str
    weight: float
    share: float | None
    """Of 1; None where nobody knows."""
    resets_at: datetime | None
    is_local: bool = False


def window_names(reports: Sequence[Report]) -> list[str]:
    """Five hours and week, then the families that somebody has seen."""
    seen = {name for each in reports for name, window in each.windows.items() if window.fresh} - {
        "overage"
    }
    return [*ALWAYS, *sorted(seen - {*ALWAYS})]


def window_lines(reports: Sequence[Report], frame: Frame, most: int | None = None) -> list[Text]:
    """A line for each window, at most so many."""
    return [_line(name, reports, frame) for name in window_names(reports)[:most]]


def usages(name: str, reports: Sequence[Report], now: datetime) -> list[Usage]:
    """What each subscription that knows the window has used of it, in the order of their names."""
    found = (usage(name, each, now) for each in sorted(reports, key=lambda each: each.id))
    return [each for each in found if each is not None]


def usage(name: str, report: Report, now: datetime) -> Usage | None:
    window = report.windows.get(name)
    if window is not None and window.fresh:
        forecast = report.forecast.windows.get(name)
        # What was spent since it was seen is known to the forecast, where it knows the price.
        spent = None if forecast is None or forecast.percent is None else forecast.percent / 100
        share = 1.0 if window.status == "rejected" else spent
        resets = window.resets_at
        return Usage(
            report.id,
            report.weight,
            window.utilization if share is None else share,
            resets if resets is not None and resets > now else None,
        )
    if name == "five_hour":
        ends = report.current_block.ends_at
        return Usage(report.id, report.weight, report.block_percent / 100, ends, is_local=True)
    if name == "seven_day":
        return Usage(report.id, report.weight, report.weekly_percent / 100, None, is_local=True)
    return None


def _line(name: str, reports: Sequence[Report], frame: Frame) -> Text:
    found = usages(name, reports, frame.now)
    note = _note(found, left_share(name, reports), frame.now)
    width = max(8, frame.width - _NAME_WIDTH - 6 - _MOST_NOTE - 2)
    share = _together(found)
    parts: list[Part] = [(each.weight, each.share) for each in found]
    line = Text(f"{window_name(name).capitalize():<{_NAME_WIDTH}}"[:_NAME_WIDTH])
    drawn = parts_bar(parts, width)
    line.append_text(drawn)
    line.append(" " * (width - drawn.cell_len))
    line.append(f" {percent(share):>4}  ", style=colour(share))
    line.append(note, style="dim")
    return line


def _together(found: Sequence[Usage]) -> float | None:
    """Of all that is known, by weight."""
    known = [(each.weight, min(each.share, 1)) for each in found if each.share is not None]
    weight = sum(weight for weight, _ in known)
    return sum(weight * share for weight, share in known) / weight if weight else None


def _note(found: Sequence[Usage], left: float | None, now: datetime) -> str:
    full = sum(1 for each in found if each.share is not None and each.share >= 0.995)
    resets = [(each.resets_at, each.subscription_id) for each in found if each.resets_at]
    said = [f"{full} full"] if full else []
    if resets:
        at, id_ = min(resets)
        said.append(f"resets {clock(at, now)} {id_}")
    note = ", ".join(said)
    known = note if left is None else ", ".join([*said, f"last left {percent(left)}"])
    return known if len(known) <= _MOST_NOTE else note

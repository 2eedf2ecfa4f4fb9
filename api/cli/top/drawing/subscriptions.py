"""The subscriptions, a line each: the most urgent first, with more columns on a wider terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group
from rich.text import Text

from api.cli.display.board import COLOURS, dollars, span
from api.cli.display.words import clock, percent, printable, window_name
from api.cli.top.drawing.bars import bar, colour
from api.cli.top.drawing.table import Column, Rows, table
from api.cli.top.snapshot import Frame, Snapshot
from pool.limits.windows import FIVE_HOUR
from pool.subscriptions.overview.verdict import serves
from pool.subscriptions.report import Report, Source, SubscriptionState

_BAR = 6


@dataclass(frozen=True)
class _Shown:
    """A column, and from which width of the terminal on it has room."""

    column: Column
    least_width: int
    cell: Callable[[Report, datetime], Text]


def subscriptions_table(
    snapshot: Snapshot, frame: Frame, rows: Rows, *, has_focus: bool = False
) -> Group:
    """Those of the rows."""
    shown = [each for each in _COLUMNS if each.least_width <= frame.width]
    cells = [
        [each.cell(report, frame.now) for each in shown]
        for report in snapshot.reports[rows.first : rows.last]
    ]
    columns = [each.column for each in shown]
    count = len(snapshot.reports)
    return table("Subscriptions", columns, cells, rows, count, has_focus=has_focus)


def _name(report: Report, _: datetime) -> Text:
    return Text(report.id)


def _state(report: Report, now: datetime) -> Text:
    text = Text.assemble(("● ", COLOURS[report.state]), report.state.value.replace("_", " "))
    until = report.state_until
    lifts = report.state is not SubscriptionState.NEEDS_LOGIN
    if until is not None and until > now and lifts:
        text.append(f" {span((until - now).total_seconds())}", style="dim")
    return text


def _gauge(percentage: float, source: Source) -> Text:
    share = percentage / 100
    text = bar(share, _BAR)
    text.append(f" {percent(share):>4}", style=colour(share) if share >= 0.8 else "")
    text.append("" if source == "window" else "*", style="dim")
    return text


def _five_hours(report: Report, _: datetime) -> Text:
    return _gauge(report.block_percent, report.block_source)


def _week(report: Report, _: datetime) -> Text:
    return _gauge(report.weekly_percent, report.weekly_source)


def _slots(report: Report, _: datetime) -> Text:
    if report.presence == "asleep":
        return Text("asleep", style="dim")
    text = Text(f"{report.running}/{report.capacity}")
    if report.queued:
        text.append(f" +{report.queued}", style="yellow")
    return text


def _dry(report: Report, now: datetime) -> Text:
    ends = report.forecast.exhausted_at
    if ends is None or not serves(report):
        return Text("-", style="dim")
    return Text("now" if ends <= now else span((ends - now).total_seconds()))


def _dry_by(report: Report, _: datetime) -> Text:
    by = report.forecast.exhausted_by if serves(report) else None
    return Text(window_name(by) if by else "", style="dim")


def _burn(report: Report, _: datetime) -> Text:
    rate = report.burn_rate_usd_per_hour
    return Text("-", style="dim") if rate < 0.005 else Text(f"{rate:.2f}")


def _money(report: Report, _: datetime) -> Text:
    week = report.weekly
    return Text.assemble(dollars(week.used_usd), (f" of {week.budget_usd:.0f}", "dim"))


def _resets(report: Report, now: datetime) -> Text:
    window = report.windows.get("five_hour")
    at = window.resets_at if window is not None and window.fresh else report.current_block.ends_at
    return Text("-" if at is None or at <= now else clock(at, now), style="dim")


def _left(report: Report, _: datetime) -> Text:
    window = report.forecast.windows.get(FIVE_HOUR)
    past = None if window is None else window.past
    return Text("-" if past is None else f"{past.unused_percent:.0f}%", style="dim")


def _login(report: Report, now: datetime) -> Text:
    ends = report.login_expires_at
    if ends is None:
        return Text("-", style="dim")
    left = (ends - now).total_seconds()
    return Text("ended", style="red") if left <= 0 else Text(span(left), style="dim")


def _node(report: Report, _: datetime) -> Text:
    return Text(printable(report.node or "-"), style="dim")


def _reason(report: Report, _: datetime) -> Text:
    return Text(printable(report.state_reason), style="dim")


_COLUMNS = (
    _Shown(Column("", 16), 0, _name),
    _Shown(Column("", 17), 0, _state),
    _Shown(Column("five hours", _BAR + 6), 0, _five_hours),
    _Shown(Column("week", _BAR + 6), 0, _week),
    _Shown(Column("slots", 7, "right"), 0, _slots),
    _Shown(Column("dry in", 7, "right"), 0, _dry),
    _Shown(Column("by", 13), 94, _dry_by),
    _Shown(Column("$/h", 6, "right"), 102, _burn),
    _Shown(Column("week's dollars", 15, "right"), 118, _money),
    _Shown(Column("resets", 9, "right"), 128, _resets),
    _Shown(Column("last left", 9, "right"), 138, _left),
    _Shown(Column("login", 8, "right"), 147, _login),
    _Shown(Column("node", 12), 160, _node),
    _Shown(Column("why", 0), 173, _reason),
)

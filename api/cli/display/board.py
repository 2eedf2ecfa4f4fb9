"""The pool on a terminal: a line a subscription, with bars for its block and its week.

Every figure says where it comes from (the pool's own records, or a window that Anthropic reported)
and the caption how old the oldest report is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from api.cli.display.words import percent, window_name
from pool.executions.attempt import Attempt
from pool.executions.execution import ExecutionUsage
from pool.limits.windows import FIVE_HOUR, SEVEN_DAY
from pool.subscriptions.overview.pool_overview import Overview
from pool.subscriptions.overview.verdict import serves
from pool.subscriptions.report import Report, Source, SubscriptionState

_BAR_WIDTH = 9
COLOURS = {
    SubscriptionState.AVAILABLE: "green",
    SubscriptionState.APPROACHING: "yellow",
    SubscriptionState.LIMITED: "red",
    SubscriptionState.COOLDOWN: "red",
    SubscriptionState.PAUSED: "blue",
    SubscriptionState.DRAINING: "blue",
    SubscriptionState.NEEDS_LOGIN: "magenta",
}

_SOURCES: dict[Source, str] = {"local": "", "window": ", Anthropic"}


def plain(*headings: str) -> Table:
    """A table without lines."""
    return Table(*headings, box=None, pad_edge=False, header_style="bold")


def dollars(amount: Decimal) -> str:
    """An amount with as many digits as it takes to see it."""
    return f"${amount:.2f}" if amount >= 1 or not amount else f"${amount:.4f}"


def spent(cost: Attempt | ExecutionUsage) -> str:
    """What a run has cost, as far as it is known."""
    return f"at least {dollars(cost.cost_usd)}" if cost.partial else dollars(cost.cost_usd)


def _bar(percent: float) -> ProgressBar:
    colour = "red" if percent >= 85 else "yellow" if percent >= 60 else "green"
    return ProgressBar(
        total=100,
        completed=min(percent, 100),
        width=_BAR_WIDTH,
        complete_style=colour,
        finished_style=colour,
    )


def _gauge(percent: float, source: Source, money: str) -> RenderableType:
    gauge = Table.grid(padding=(0, 1, 0, 0))
    gauge.add_row(_bar(percent), Text(f"{percent:.1f}%", no_wrap=True))
    return Group(gauge, Text(f"{money}{_SOURCES[source]}", style="dim"))


def span(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def _state(report: Report, now: datetime) -> Text:
    text = Text(report.state.value, style=COLOURS[report.state])
    if report.state_until is not None and report.state_until > now:
        text.append(f"\nfor {span((report.state_until - now).total_seconds())}", style="dim")
    ends = report.forecast.exhausted_at
    if serves(report) and ends is not None and ends > now:
        text.append(f"\nlasts {span((ends - now).total_seconds())}", style="dim")
    if report.login_expires_at is not None:
        text.append_text(_login(report.login_expires_at, now))
    return text


def _login(ends_at: datetime, now: datetime) -> Text:
    if ends_at <= now:
        return Text("\nlogin has ended", style="red")
    return Text(f"\nlogin lasts {span((ends_at - now).total_seconds())}", style="dim")


def _name(report: Report) -> Text:
    text = Text(report.id)
    if report.tier > 1:
        text.append(f"\ntier {report.tier}", style="dim")
    return text


def _work(report: Report) -> Text:
    text = Text(f"{report.running} of {report.capacity}", no_wrap=True)
    if report.presence == "asleep":
        text.append("\nasleep", style="dim")
    if report.capacity < report.max_concurrent:
        text.append(f"\nlater {report.max_concurrent}", style="dim")
    if report.queued:
        text.append(f"\n{report.queued} waiting", style="yellow")
    return text


def board(
    reports: Sequence[Report], overview: Overview, now: datetime | None = None
) -> RenderableType:
    """All subscriptions as a table, and why some of them cannot be used."""
    instant = now or datetime.now(UTC)
    table = plain()
    for heading in ("subscription", "state", "block", "week"):
        table.add_column(heading)
    table.add_column("health", justify="right")
    table.add_column("running")
    for report in reports:
        table.add_row(*_row(report, instant))
    reasons = [
        Text.assemble((f"{each.id}: ", "bold"), each.state_reason)
        for each in reports
        if each.state is not SubscriptionState.AVAILABLE
    ]
    captions = [
        Text(each, style="italic") for each in (_caption(overview), left_over(reports)) if each
    ]
    return Group(table, *reasons, *captions)


def _row(report: Report, now: datetime) -> tuple[RenderableType, ...]:
    block, week = report.current_block, report.weekly
    spent = f"{dollars(week.used_usd)} of {dollars(week.budget_usd)}"
    return (
        _name(report),
        _state(report, now),
        _gauge(report.block_percent, report.block_source, dollars(block.cost_usd)),
        _gauge(report.weekly_percent, report.weekly_source, spent),
        f"{report.health.score:.0f}",
        _work(report),
    )


def _caption(overview: Overview) -> str:
    """The pool in a sentence."""
    return (
        f"{dollars(overview.weekly_used_usd)} of {dollars(overview.weekly_budget_usd)} in the last "
        f"seven days, {dollars(overview.block_cost_usd)} in this block, "
        f"{overview.executions} executions; from the pool's records, "
        f"oldest report {overview.oldest_report_age_seconds:.1f} s"
    )


def left_over(reports: Sequence[Report]) -> str:
    """What Anthropic's windows had left when they last reset, on the average of the plans."""
    found = []
    for name in (FIVE_HOUR, SEVEN_DAY):
        share = left_share(name, reports)
        if share is not None:
            found.append(f"{percent(share)} of {window_name(name)}")
    return f"Left unused when they last reset: {', '.join(found)}" if found else ""


def left_share(name: str, reports: Sequence[Report]) -> float | None:
    """The share of the week that is left, of 1, by weight; None where no subscription knows it."""
    known = [
        (each.weight, window.past.unused_percent / 100)
        for each in reports
        if (window := each.forecast.windows.get(name)) is not None and window.past is not None
    ]
    weight = sum(weight for weight, _ in known)
    return sum(weight * share for weight, share in known) / weight if weight else None

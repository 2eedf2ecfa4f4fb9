"""The screen: what stands where, and how many lines each part has of a terminal's height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from api.cli.display.board import span, spent
from api.cli.display.words import clock, printable
from api.cli.explain import explanation
from api.cli.subscriptions import health_table, windows_table
from api.cli.top.drawing.executions import executions_table, took
from api.cli.top.drawing.subscriptions import subscriptions_table
from api.cli.top.drawing.table import around
from api.cli.top.drawing.verdict import verdict_lines
from api.cli.top.drawing.windows import window_lines, window_names
from api.cli.top.snapshot import Frame, Silence, Snapshot
from api.cli.top.view import (
    Focus,
    View,
    chosen_execution,
    chosen_subscription,
    index_of,
)
from pool.alerts.alerts import AlertKind
from pool.executions.execution import Execution
from pool.subscriptions.report import Report

BACK_SHOWN = timedelta(seconds=8)
"""How long it is said that the service is back."""
PRINTED = 10
"""How many of the executions are printed where there is no terminal."""
TALL = 34
"""Lines from which a terminal has room for every window and more notices."""
_DIFFERS_SHOWN = timedelta(days=1)
_MOST_NAMES = 3
_KEYS = "tab switch  ↑↓ choose  e explain  p pause  r resume  d drain  c cancel  q quit"
_KEYS_EXPLAINED = "↑↓ scroll  esc back  p pause  r resume  d drain  c cancel  q quit"


@dataclass(frozen=True)
class Heights:
    """Lines of each part; None for all that there are."""

    windows: int | None = None
    subscriptions: int | None = None
    executions: int | None = None
    notices: int | None = None


def heights(
    height: int, windows: int, subscriptions: int, executions: int, notices: int, below: int
) -> Heights:
    """Share a terminal's lines. ``below`` are those of the foot. What one list does not need, the
    other has; each list has a heading, and each part a blank line above.
    """
    is_tall = height >= TALL
    top = 3 + 1
    windows = min(windows, 6 if is_tall else 2)
    told = min(notices, 4 if is_tall else 2)
    left = height - top - below - (windows + 1) - 2 - 1 - (told + 1 if told else 0)
    if left < 6:  # nothing else is as much worth as the lists
        windows = max(0, windows - (6 - left))
        left = height - top - below - windows - 2 - 1 - (told + 1 if told else 0)
    first = min(subscriptions, max(1, left // 2))
    second = min(executions, max(1, left - first))
    first = min(subscriptions, max(1, left - second))
    return Heights(windows, first, second, told)


def screen(snapshot: Snapshot, view: View, frame: Frame) -> RenderableType:
    """All of it."""
    foot = _foot(snapshot, view, frame)
    if view.explains and frame.height is not None:
        return _explained(snapshot, view, frame, foot)
    notices = _notices(snapshot, frame)
    sizes = Heights()
    if frame.height is not None:
        sizes = heights(
            frame.height,
            windows=len(window_names(snapshot.reports)),
            subscriptions=len(snapshot.reports),
            executions=len(snapshot.executions),
            notices=len(notices),
            below=len(foot),
        )
    parts: list[Sequence[RenderableType]] = [
        verdict_lines(snapshot, frame),
        window_lines(snapshot.reports, frame, sizes.windows),
        [_subscriptions(snapshot, view, frame, sizes.subscriptions)],
        [_executions(snapshot, view, frame, sizes.executions)],
        notices[: sizes.notices],
    ]
    shown: list[RenderableType] = []
    for part in filter(None, parts):
        shown += [*part, Text()]
    return Filled(Group(*map(_in_a_line, shown)), tuple(foot), frame.height)


def _in_a_line(part: RenderableType) -> RenderableType:
    if isinstance(part, Text):
        part.no_wrap, part.overflow = True, "ellipsis"
    return part


def _subscriptions(
    snapshot: Snapshot, view: View, frame: Frame, room: int | None
) -> RenderableType:
    if not snapshot.reports:
        return Text("  Subscriptions: none", style="dim")
    at = index_of(view.subscription_id, snapshot.reports) if frame.has_keys else None
    rows = around(at, len(snapshot.reports), room)
    has_focus = frame.has_keys and view.focus is Focus.SUBSCRIPTIONS
    return subscriptions_table(snapshot, frame, rows, has_focus=has_focus)


def _executions(snapshot: Snapshot, view: View, frame: Frame, room: int | None) -> RenderableType:
    if not snapshot.executions:
        return Text('  Executions: none yet. Try: claude-pool run "Say hello"', style="dim")
    at = index_of(view.execution_id, snapshot.executions) if frame.has_keys else None
    rows = around(at, len(snapshot.executions), PRINTED if room is None else room)
    has_focus = frame.has_keys and view.focus is Focus.EXECUTIONS
    return executions_table(snapshot, frame, rows, has_focus=has_focus)


def _notices(snapshot: Snapshot, frame: Frame) -> list[Text]:
    lines = [
        _notice(
            "red" if each.severity == "critical" else "yellow", each.subjects, each.text
        ).append(f" {printable(each.advice)}", style="dim")
        for each in snapshot.overview.attention
    ]
    return lines + [
        _notice("yellow", (each.subject,), each.message)
        for each in snapshot.alerts
        if each.kind is AlertKind.USAGE_DIFFERS and frame.now - each.raised_at < _DIFFERS_SHOWN
    ]


def _notice(colour: str, subjects: Sequence[str], text: str) -> Text:
    names = ", ".join(subjects[:_MOST_NAMES])
    more = len(subjects) - _MOST_NAMES
    who = f"{names} and {more} more" if more > 0 else names
    return Text.assemble(("! ", f"bold {colour}"), (printable(who), "bold"), f" {printable(text)}")


def _foot(snapshot: Snapshot, view: View, frame: Frame) -> list[Text]:
    """What was asked or has happened, and the keys."""
    lines = []
    if view.order is not None:
        lines.append(Text(view.order.question, style="bold yellow"))
        lines += _wrapped(view.order.effect, frame.width)
    elif view.note:
        lines.append(Text(printable(view.note), style="bold"))
    if snapshot.silence is not None:
        lines.append(_silent(snapshot.silence, frame))
    elif snapshot.back_since is not None and frame.now - snapshot.back_since < BACK_SHOWN:
        lines.append(Text("The pool is back.", style="green"))
    if frame.has_keys:
        keys = _KEYS_EXPLAINED if view.explains else _KEYS
        lines.append(Text("y yes  any other key no" if view.order else keys, style="dim"))
    else:
        lines.append(Text(f"* by the pool's own records; read {_age(snapshot)}", style="dim"))
    return [_one_line(each) for each in lines]


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _wrapped(text: str, width: int) -> list[Text]:
    return list(Text(text).wrap(Console(width=width), width))


def _age(snapshot: Snapshot) -> str:
    return f"{snapshot.overview.observed_at.astimezone():%Y-%m-%d %H:%M:%S}"


def _silent(silence: Silence, frame: Frame) -> Text:
    since = clock(silence.since, frame.now)
    lasts = span((frame.now - silence.since).total_seconds())
    text = f"{silence.title}: since {since} ({lasts}); the figures are of then. Trying again."
    return Text(text, style="bold red")


def _explained(
    snapshot: Snapshot, view: View, frame: Frame, foot: Sequence[Text]
) -> RenderableType:
    """The chosen row on a screen of its own."""
    if view.focus is Focus.SUBSCRIPTIONS:
        report = chosen_subscription(view, snapshot)
        what = _of_report(report, frame) if report else Text("It is gone.")
    else:
        execution = chosen_execution(view, snapshot)
        what = _of_execution(execution, frame) if execution else Text("It is gone.")
    return Filled(what, tuple(foot), frame.height, view.scrolled)


def _of_execution(execution: Execution, frame: Frame) -> RenderableType:
    """Why an execution went where it went, and what became of it."""
    about = Table.grid(padding=(0, 2, 0, 0))
    facts = {
        "execution": execution.id,
        "session": execution.session_id,
        "model": execution.model,
        "asked": clock(execution.created_at, frame.now),
        "took": took(execution, frame.now),
        "cost": spent(execution.usage),
        "error": "" if execution.error is None else execution.error.message,
    }
    for name, value in facts.items():
        if value:
            about.add_row(Text(name, style="dim"), Text(printable(value)))
    return Group(about, "", explanation(execution))


def _of_report(report: Report, frame: Frame) -> RenderableType:
    """Why a subscription is as it is."""
    until = report.state_until
    lifts = "" if until is None else f", until {clock(until, frame.now)}"
    reason = Text.assemble(
        (report.id, "bold"), f" is {report.state.value}: {printable(report.state_reason)}{lifts}."
    )
    score = Text(f"Health {report.health.score:.0f} of 100", style="bold")
    where = Text(_whereabouts(report), style="dim")
    return Group(reason, where, "", score, health_table(report), "", windows_table(report))


def _whereabouts(report: Report) -> str:
    """What it does, and on which node."""
    sleeps = report.presence == "asleep"
    does = "It is asleep" if sleeps else f"It runs {report.running} of {report.capacity}"
    queued = f", {report.queued} wait for a slot" if report.queued else ""
    held = report.waiting_for_caller
    callers = f", {held} with its caller, for results of tools" if held else ""
    return f"{does}{queued}{callers}{f', on {printable(report.node)}' if report.node else ''}."


@dataclass(frozen=True)
class Filled:
    """A renderable with a foot below; on a terminal the foot stands on its last lines, and what
    the renderable has too much of is cut off.
    """

    body: RenderableType
    foot: tuple[Text, ...]
    height: int | None
    scrolled: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.height is None:
            yield self.body
            yield from self.foot
            return
        room = max(1, self.height - len(self.foot))
        lines = console.render_lines(self.body, options.update(height=None), pad=False)
        begin = min(self.scrolled, max(0, len(lines) - room))
        shown = lines[begin : begin + room]
        for line in [*shown, *[[]] * (room - len(shown))]:
            yield from line
            yield Segment.line()
        yield from self.foot[:-1]
        yield from console.render_lines(self.foot[-1], options.update(height=None))[0]

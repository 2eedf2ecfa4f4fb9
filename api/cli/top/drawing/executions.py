"""The executions, a line each: those that are live first, then those asked for last."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group
from rich.text import Text

from api.cli.display.board import dollars, span
from api.cli.display.words import clock, model_name, printable
from api.cli.top.drawing.table import Column, Rows, table
from api.cli.top.snapshot import Frame, Snapshot
from pool.executions.execution import Execution
from pool.executions.status import ExecutionStatus

_COLOURS = {
    ExecutionStatus.RUNNING: "cyan",
    ExecutionStatus.WAITING_FOR_CALLER: "blue",
    ExecutionStatus.SUCCEEDED: "green",
    ExecutionStatus.FAILED: "red",
    ExecutionStatus.UNCERTAIN: "yellow",
}
WIDE = 104
"""Cells from which there is room for reasons."""
_COLUMNS = (
    Column("", 21),
    Column("asked", 9),
    Column("subscription", 14),
    Column("model", 14),
    Column("took", 6, "right"),
    Column("cost", 8, "right"),
    Column("why there", 0),
)


def executions_table(
    snapshot: Snapshot, frame: Frame, rows: Rows, *, has_focus: bool = False
) -> Group:
    """Those of the rows."""
    columns = _COLUMNS if frame.width >= WIDE else _COLUMNS[:-1]
    shown = snapshot.executions[rows.first : rows.last]
    cells = [_cells(each, frame.now)[: len(columns)] for each in shown]
    count = len(snapshot.executions)
    return table("Executions", columns, cells, rows, count, has_focus=has_focus)


def _cells(each: Execution, now: datetime) -> list[Text]:
    where = Text(each.subscription_id)
    if len(each.attempts) > 1:
        where.append(f" +{len(each.attempts) - 1}", style="dim")
    reason = each.routing.reason if each.error is None else each.error.message
    return [
        Text.assemble(("● ", _COLOURS.get(each.status, "dim")), _status(each.status)),
        Text(clock(each.created_at, now), style="dim"),
        where,
        Text(printable(model_name(each.model)), style="dim"),
        Text(took(each, now)),
        _cost(each),
        Text(printable(reason), style="dim" if each.error is None else "red"),
    ]


def _status(status: ExecutionStatus) -> str:
    if status is ExecutionStatus.WAITING_FOR_CALLER:
        return "waits for caller"
    return status.replace("_", " ")


def took(each: Execution, now: datetime) -> str:
    """How long it ran, or runs."""
    if each.duration_ms is not None:
        seconds = each.duration_ms / 1000
        return f"{seconds:.1f} s" if seconds < 10 else span(seconds)
    return (
        "" if each.started_at is None else span(max(0.0, (now - each.started_at).total_seconds()))
    )


def _cost(each: Execution) -> Text:
    cost = each.usage
    if not cost.cost_usd and not cost.partial:
        return Text("-", style="dim")
    return Text(f"{'≥' if cost.partial else ''}{dollars(cost.cost_usd)}")

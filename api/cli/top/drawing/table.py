"""A list as lines, one of which is chosen: of more than there is room for, those around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

MARK = "▸ "
GAP = 1
"""Cells between two columns."""


@dataclass(frozen=True)
class Column:
    title: str
    width: int
    """In cells; 0 for all that is left over, which the last one may have."""
    justify: Literal["left", "right"] = "left"


class Rows(NamedTuple):
    """Which rows of a list are shown, and which one is chosen, if any."""

    first: int
    last: int
    chosen: int | None


def around(chosen: int | None, count: int, room: int | None) -> Rows:
    """As many rows as there is room for, the chosen one among them."""
    if room is None or count <= room:
        return Rows(0, count, chosen)
    first = min(max(0, (chosen or 0) - room // 2), count - room)
    return Rows(first, first + room, chosen)


def table(
    title: str,
    columns: Sequence[Column],
    cells: Sequence[Sequence[Text]],
    rows: Rows,
    count: int,
    *,
    has_focus: bool,
) -> Group:
    """Rows of a list of ``count``, one line each, below a line of headings. ``cells`` are those of
    the rows alone.
    """
    is_all = (rows.first, rows.last) == (0, count)
    counted = str(count) if is_all else f"{rows.first + 1}-{rows.last} of {count}"
    made = Table.grid(padding=(0, GAP, 0, 0), expand=not all(each.width for each in columns))
    for each in columns:
        made.add_column(
            justify=each.justify,
            no_wrap=True,
            overflow="ellipsis",
            width=each.width or None,
            ratio=None if each.width else 1,
        )
    for number, row in enumerate(cells, start=rows.first):
        is_chosen = has_focus and number == rows.chosen
        first = Text(MARK if is_chosen else "  ").append_text(row[0])
        made.add_row(first, *row[1:], style="bold" if is_chosen else "")
    return Group(_headings(title, counted, columns, has_focus=has_focus), made)


def _headings(title: str, counted: str, columns: Sequence[Column], *, has_focus: bool) -> Text:
    """The title and how many there are; then the columns' titles, as far as there is room."""
    line = Text.assemble(
        (f"{MARK if has_focus else '  '}{title}", "bold"), (f" {counted}", "dim"), no_wrap=True
    )
    at = 0
    for each in columns:
        width = each.width or len(each.title)
        begin = at + (width - len(each.title) if each.justify == "right" else 0)
        if each.title and begin > line.cell_len:
            line.append(" " * (begin - line.cell_len))
            line.append(each.title, style="dim")
        at += width + GAP
    return line

"""Usage as lines that other programs read: CSV (RFC 4180) and JSON, a line a group.

Names in it were chosen by others: a spreadsheet that opens the CSV must not take one for a formula,
so a name that begins like one gets a leading apostrophe. Figures are left alone: an adjustment may
well be below nothing. Amounts are exact in CSV; in JSON they are numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO

from pool.money import nano_usd, usd
from pool.usage.breakdown.breakdown import UsageBreakdown, part_of
from pool.usage.breakdown.groups import CostSource

_LIKE_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_FIGURES = (
    "records",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)


def csv_lines(usage: UsageBreakdown) -> Iterator[str]:
    """A heading and a line a group: what they have in common, the figures, costs by source."""
    sources = [f"cost_usd_{source}" for source in CostSource]
    yield _csv_line([*usage.group_by, *_FIGURES, *sources])
    for row in usage.items:
        common = [_name(part_of(row, each)) for each in usage.group_by]
        figures = [_figure(getattr(row, each)) for each in _FIGURES]
        costs = [_figure(row.cost_usd_by_source.get(source)) for source in CostSource]
        yield _csv_line([*common, *figures, *costs])


def json_lines(usage: UsageBreakdown) -> Iterator[str]:
    """A JSON object a group, with those fields that were asked for."""
    for row in usage.items:
        yield row.model_dump_json(exclude_unset=True) + "\n"


def _csv_line(cells: list[str]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _name(name: str | None) -> str:
    if name is None:
        return ""
    return f"'{name}" if name.startswith(_LIKE_A_FORMULA) else name


def _figure(figure: Decimal | int | None) -> str:
    """Dollars to the nano-dollar and never in exponent form, wherever they have travelled."""
    match figure:
        case None:
            return ""
        case Decimal():
            return f"{usd(nano_usd(figure)):f}"
    return str(figure)

"""Spending by day as bars on a terminal, each made of its subscriptions or models.

The parts of a bar differ in their fill as well as in colour, so that the chart reads the same on
paper. Where the parts are too many, or their names too long for one line, bars are plain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from api.cli.display.board import dollars

MOST_DAYS = 31
NARROWEST_BAR = 10
_FILLS = ("█", "▒", "▓", "░")
_ASCII_FILLS = ("#", "=", "+", "-")
_COLOURS = ("green", "cyan", "yellow", "magenta")

Costs = Mapping[date, Mapping[str, Decimal]]
"""US dollars by day and part."""


def money(amount: Decimal) -> str:
    """An amount of dollars, which an adjustment may have brought below nothing."""
    return f"-{dollars(-amount)}" if amount < 0 else dollars(amount)


class DayChart:
    """A line a day, from the first to the last; of more than 31 the latest."""

    def __init__(self, costs: Costs, first: date, last: date) -> None:
        begin = max(first, last - timedelta(days=MOST_DAYS - 1))
        self._days = [begin + timedelta(days=each) for each in range((last - begin).days + 1)]
        self._costs = [costs.get(day, {}) for day in self._days]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        fills = _ASCII_FILLS if options.ascii_only else _FILLS
        amounts = [money(sum(each.values(), Decimal())) for each in self._costs]
        longest = max(map(len, amounts))
        width = max(NARROWEST_BAR, options.max_width - len("2026-01-28 ") - longest - 1)
        parts = self._parts()
        legend = _legend(parts, fills)
        stacked = 1 < len(parts) <= len(fills) and legend.cell_len <= options.max_width
        most = max(sum(_sizes(parts, each), Decimal()) for each in self._costs)
        for day, costs, amount in zip(self._days, self._costs, amounts, strict=True):
            sizes = _sizes(parts, costs)
            lengths = _lengths(sizes if stacked else [sum(sizes, Decimal())], most, width)
            line = Text(f"{day} ")
            for length, fill, colour in zip(lengths, fills, _COLOURS, strict=False):
                line.append(fill * length, style=colour)
            line.append(" " * (width - sum(lengths)) + f" {amount:>{longest}}")
            yield line
        if stacked:
            yield legend

    def _parts(self) -> list[str]:
        """Those that cost something, in the order of their names."""
        return sorted({name for costs in self._costs for name, cost in costs.items() if cost > 0})


def _sizes(parts: Sequence[str], costs: Mapping[str, Decimal]) -> list[Decimal]:
    return [max(Decimal(), costs.get(part, Decimal())) for part in parts]


def _lengths(sizes: Sequence[Decimal], most: Decimal, width: int) -> list[int]:
    """Cells of each part. What is rounded are the ends, so the bar is as long as its sum."""
    ends = [round(width * end / most) if most else 0 for end in accumulate(sizes)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def _legend(parts: Sequence[str], fills: Sequence[str]) -> Text:
    line = Text(" " * len("2026-01-28 "))
    for part, fill, colour in zip(parts, fills, _COLOURS, strict=False):
        line.append(fill * 2, style=colour)
        line.append(f" {part}  ")
    line.rstrip()
    return line

"""Bars: how much of a limit is used, of one subscription or of all of them.

Used and free differ in their shape as well as in colour, so that a bar reads the same without.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from rich.text import Text

USED, FREE = "━", "╌"
_EIGHTHS = "▁▂▃▄▅▆▇█"
_UNKNOWN = "·"
NARROWEST = 4
"""Cells of a subscription's part, the gap behind it included; below that it is a column."""
_WIDE = 3
"""Cells of a column, from which on the last one is a gap."""

Part = tuple[float, float | None]
"""A subscription's weight, and the share of 1 that it has used, if anybody knows."""


def colour(share: float | None) -> str:
    if share is None:
        return "dim"
    return "red" if share >= 0.95 else "yellow" if share >= 0.8 else "green"


def bar(share: float | None, width: int) -> Text:
    """One limit of one subscription."""
    full = 0 if share is None else min(width, round(share * width))
    if share and not full:
        full = 1
    return Text.assemble((USED * full, colour(share)), (FREE * (width - full), "dim"))


def parts_bar(parts: Sequence[Part], width: int) -> Text:
    """One limit of all subscriptions: a part for each, as wide as its weight; where that would be
    too narrow, a column for each, or for each few.
    """
    if not parts:
        return Text(FREE * width, style="dim")
    ends = [
        round(width * each / total)
        for total in [sum(weight for weight, _ in parts) or 1]
        for each in accumulate(weight for weight, _ in parts)
    ]
    sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    if min(sizes) < NARROWEST:
        return _columns([share for _, share in parts], width)
    line = Text()
    for (_, share), size in zip(parts, sizes, strict=True):
        line.append_text(bar(share, size - 1))
        line.append(" ")
    return line


def _columns(shares: Sequence[float | None], width: int) -> Text:
    """A column for each, as high as what it has used; of several in one cell the highest."""
    line = Text()
    has_gaps = len(shares) * _WIDE <= width
    for cell in range(width):
        begin = cell * len(shares) // width
        if has_gaps and (cell + 1) * len(shares) // width > begin:
            line.append(" ")
            continue
        end = max(begin + 1, (cell + 1) * len(shares) // width)
        known = [each for each in shares[begin:end] if each is not None]
        share = max(known, default=None)
        mark = _UNKNOWN if share is None else _EIGHTHS[min(7, max(0, int(share * 8)))]
        line.append(mark, style=colour(share))
    return line

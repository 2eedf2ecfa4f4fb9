"""A figure: what was measured, beside what it is compared with, in the same run.

A number alone says how fast the machine was that day. So each is taken in rounds together with a
yardstick, and what counts is the median of the rounds' ratios: whatever else the machine does
weighs on both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Figure:
    """The medians of one measurement."""

    name: str
    unit: str
    value: float
    yardstick: str
    """What ``base`` is of, in the same unit."""
    base: float
    ratio: float
    """The median of the rounds' ratios, which is not the ratio of the medians."""
    worst: float
    """The worst ratio of a round."""
    rounds: int
    better: Better = "lower"

    @classmethod
    def of(
        cls,
        name: str,
        unit: str,
        values: Sequence[float],
        yardstick: str,
        bases: Sequence[float],
        better: Better = "lower",
    ) -> Figure:
        """From what each round measured; an only base holds for all rounds."""
        bases = list(bases) * len(values) if len(bases) == 1 else bases
        ratios = [value / base for value, base in zip(values, bases, strict=True)]
        return cls(
            name=name,
            unit=unit,
            value=median(values),
            yardstick=yardstick,
            base=median(bases),
            ratio=median(ratios),
            worst=max(ratios) if better == "lower" else min(ratios),
            rounds=len(values),
            better=better,
        )

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    is_quick: bool

    @classmethod
    def full(cls) -> Effort:
        return cls(rounds=7, is_quick=False)

    @classmethod
    def quick(cls) -> Effort:
        return cls(rounds=3, is_quick=True)


@dataclass(frozen=True)
class Row:
    """Figures that are measured together."""

    name: str
    title: str
    measure: Callable[[Effort], Iterator[Figure]]


def interleaved(
    rounds: int, pause_seconds: float = 0, **ways: Callable[[], float]
) -> dict[str, list[float]]:
    """What each way gives in each round, with a pause before each. Every way goes first in turn; a
    first round, in which caches fill and connections are made, is left out.
    """
    names = list(ways)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            time.sleep(pause_seconds)
            value = ways[name]()
            if number:
                found[name].append(value)
    return found

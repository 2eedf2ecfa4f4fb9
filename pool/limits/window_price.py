"""The price of a percent of a window, learned from what the pool spent while the window filled.

Anthropic publishes no such price; it differs between plans, and changes. Between two observations
the growth is mostly 0 or 1 percent, which says little, so they are joined into strides of at least
three percent. The median of the strides' prices says roughly what is usual; of the strides that
agree with it the sums say the price. Why both: somebody who uses the account outside the pool makes
single strides look cheap, which spoils a ratio of sums and leaves a median alone, as long as it is
the lesser part of the strides; but a median of rounded steps is off by a tenth (runs of 0.9 percent
mostly show as 1), while in sums of adjoining strides the rounding cancels out. The median of all
pairs (Theil-Sen) has the same fault for a hundred times the work. What no estimate can separate is
use outside the pool that always keeps step with the pool's own: the percent looks cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from pool.limits.observations import Observation
from pool.usage.spending import Spending

STEP_PERCENT = 1.0
"""Utilization is reported in steps of this size."""
STRIDE_PERCENT = 3.0
_FLOAT_NOISE = 1e-6
_FULL = 100.0


class Confidence(StrEnum):
    """How far a learned price is to be trusted."""

    LOW = "low"
    """Fewer than five strides, or strides that contradict each other."""
    MEDIUM = "medium"
    HIGH = "high"
    """Fifteen strides or more, the middle half of which lies close together."""


_DEMANDS = ((Confidence.HIGH, 15, 0.3), (Confidence.MEDIUM, 5, 0.6))
"""Strides that are needed, and how wide the middle half of them may be, as a share of the price."""


@dataclass(frozen=True)
class WindowPrice:
    """Nano-dollars per percent of a window, with the middle half of the strides around it."""

    nano_usd_per_percent: int
    lower_quartile: int
    upper_quartile: int
    strides: int

    @property
    def confidence(self) -> Confidence:
        spread = (self.upper_quartile - self.lower_quartile) / self.nano_usd_per_percent
        met = (
            level for level, strides, wide in _DEMANDS if self.strides >= strides and spread <= wide
        )
        return next(met, Confidence.LOW)

    def percent_of(self, cost_nano_usd: int) -> float:
        """How much of the window an amount fills."""
        return cost_nano_usd / self.nano_usd_per_percent


@dataclass(frozen=True)
class _Stride:
    cost_nano_usd: int
    percent: float

    @property
    def price(self) -> int:
        return max(1, round(self.cost_nano_usd / self.percent))

    def agrees_with(self, price: int) -> bool:
        """Whether a step of rounding, and a quarter for other models, explain the difference."""
        return abs(self.percent - self.cost_nano_usd / price) <= STEP_PERCENT + self.percent / 4


def learned(observations: tuple[Observation, ...], spending: Spending) -> WindowPrice | None:
    """The price of a percent; None until a stride was seen to its end."""
    strides = sorted(_strides(observations, spending), key=lambda stride: stride.price)
    if not strides:
        return None
    last = len(strides) - 1
    usual = [each for each in strides if each.agrees_with(strides[last // 2].price)]
    cost, percent = sum(each.cost_nano_usd for each in usual), sum(each.percent for each in usual)
    return WindowPrice(
        nano_usd_per_percent=max(1, round(cost / percent)),
        lower_quartile=strides[last // 4].price,
        upper_quartile=strides[last - last // 4].price,
        strides=len(strides),
    )


def _strides(observations: tuple[Observation, ...], spending: Spending) -> Iterator[_Stride]:
    """A stride begins anew after a reset, where utilization was taken back, and where it grew
    though the pool spent nothing; none reaches to a full window, which fills no further.
    """
    if not observations:
        return
    start, cost = observations[0], 0
    for before, seen in pairwise(observations):
        spent = spending.after(before.settled_at, seen.settled_at)
        growth, reach = seen.percent - before.percent, seen.percent - start.percent
        cost += spent
        if not seen.is_of_the_period_of(before) or growth < 0 or (growth > 0 and not spent):
            start, cost = seen, 0
        elif seen.percent < _FULL and reach >= STRIDE_PERCENT - _FLOAT_NOISE:
            if cost > 0:  # an adjustment may have taken away what was spent
                yield _Stride(cost, reach)
            start, cost = seen, 0

"""Usage outside the pool: how much of a window filled without the pool's doing.

Somebody who uses the same account elsewhere fills the same windows. What the pool's records (its
runs, and the usage that was reported to it) do not explain was used outside: all that the window
grew while nothing was spent here, and, once the price of a percent is known well enough, what is
beyond the pool's own cost at that price. The second figure is a lower bound: the price is taken at
its cheapest and a step of rounding is given away, so that noise does not look like a stranger. A
run whose cost nobody could know counts as outside, for the records lack it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from pool.limits.observations import Observation
from pool.limits.window_price import STEP_PERCENT, Confidence, WindowPrice
from pool.money import usd
from pool.usage.spending import Spending

_CHEAPEST = 0.9
"""Of the price: runs of other models may be that much cheaper, whatever the quartile says."""


@dataclass(frozen=True)
class Outside:
    """Percent of a window that was used outside the pool since the window's start."""

    percent: float
    evidence: str
    since: datetime
    observed_at: datetime


def outside(
    observations: tuple[Observation, ...], spending: Spending, window_price: WindowPrice | None
) -> Outside | None:
    """Usage outside the pool in the period that was observed last; None where that is unknown.

    Zero is said only where a price shows it.
    """
    if not observations:
        return None
    last = observations[-1]
    period = tuple(takewhile(last.is_of_the_period_of, reversed(observations)))[::-1]
    idle = _grown_while_idle(period, spending)
    found = [] if idle == 0 else [(idle, f"grew by {idle:.0f}% while the pool spent nothing")]
    if window_price is not None and window_price.confidence is not Confidence.LOW:
        found.append(_unexplained(last, spending, window_price))
    if not found:
        return None
    percent, evidence = max(found)
    return Outside(round(percent, 1), evidence, last.starts_at, last.at)


def _grown_while_idle(period: Iterable[Observation], spending: Spending) -> float:
    """Percent by which the window rose between observations whose runs cost nothing, either."""
    grown, highest, since = 0.0, 0.0, None
    for seen in period:
        since = seen.starts_at if since is None else since
        if seen.percent > highest:
            if not spending.after(since, seen.settled_at):
                grown += seen.percent - highest
            highest = seen.percent
        since = seen.at
    return grown


def _unexplained(
    last: Observation, spending: Spending, window_price: WindowPrice
) -> tuple[float, str]:
    own = max(0, spending.after(last.starts_at, last.settled_at))
    cheapest = min(window_price.lower_quartile, _CHEAPEST * window_price.nano_usd_per_percent)
    unexplained = min(last.percent, 100.0) - own / cheapest - STEP_PERCENT
    evidence = (
        f"{last.percent:.0f}% is used; the pool's own {usd(own):.2f} USD explain "
        f"{window_price.percent_of(own):.1f}%, at most {own / cheapest:.1f}% "
        f"({window_price.confidence} confidence)"
    )
    return max(0.0, unexplained), evidence

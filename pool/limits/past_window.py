"""Past windows: what each left unused when it reset, which is headroom paid for and gone.

Nobody reports it. It follows from the last observation before the reset, and from what the pool
spent between the two, where the price of a percent is known; somebody else may have used more by
then. So one observation a window is all the history that is kept of it.
"""

from __future__ import annotations

from datetime import datetime

from pool.limits.observations import Observation
from pool.limits.window_price import WindowPrice
from pool.money import Usd, usd
from pool.usage.spending import Spending
from pool.values import Instant, Value

_FULL = 100.0


class PastWindow(Value):
    """A window that has reset."""

    ended_at: Instant
    unused_percent: float
    """At most so much: what was used outside the pool after ``observed_at`` is not known."""
    unused_usd: Usd | None
    """What that would have paid for; None where no price of a percent is known."""
    observed_at: Instant
    """When its figure was seen last."""


def past_window(
    last: Observation, price: WindowPrice | None, spending: Spending, now: datetime
) -> PastWindow | None:
    """What the window of an observation has left; None while it has not reset."""
    if now < last.resets_at:
        return None
    spent = max(0, spending.after(last.settled_at, last.resets_at))
    used = last.percent + (price.percent_of(spent) if price is not None else 0.0)
    unused = max(0.0, _FULL - used)
    worth = None if price is None else usd(round(unused * price.nano_usd_per_percent))
    return PastWindow(
        ended_at=last.resets_at,
        unused_percent=round(unused, 1),
        unused_usd=worth,
        observed_at=last.at,
    )

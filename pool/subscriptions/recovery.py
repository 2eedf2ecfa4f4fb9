"""The rows that a subscription starts from, read in one snapshot. What becomes of them is decided
in ``actors/subscription``.
"""

from __future__ import annotations

from pydantic import Field

from pool.executions.row import ExecutionRow
from pool.limits.windows import Window
from pool.subscriptions.consequences.standing import Standing
from pool.usage.totals import LifetimeTotal
from pool.values import Instant, Value


class Recovery(Value):
    """What an activation starts from."""

    epoch: int
    costs: tuple[tuple[Instant, int], ...]
    """``(timestamp, cost in nano-dollars)`` of the records since the asked instant."""
    open: tuple[ExecutionRow, ...]
    """Executions that have not ended, oldest first."""
    standing: Standing = Standing()
    windows: dict[str, Window] = Field(default_factory=dict)
    totals: LifetimeTotal = LifetimeTotal()
    recent_costs: tuple[int, ...] = ()
    """Nano-dollars of the last (up to 50) executions that spent something, oldest first."""
    last_session_id: str | None = None
    last_request_at: Instant | None = None
    first_used_at: Instant | None = None
    """The start of the first block in which something was spent."""
    uncertain: int = 0

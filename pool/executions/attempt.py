"""An attempt: one run of the CLI for an execution."""

from __future__ import annotations

from pool.executions.process_way import ProcessWay
from pool.money import Usd
from pool.values import Value


class Attempt(Value):
    """One run of the CLI for an execution, as it is shown."""

    subscription_id: str
    outcome: str
    reason: str | None = None
    cost_usd: Usd
    partial: bool = False
    """The cost is a lower bound: of a run that was cut off, what was seen of its answers."""
    process: ProcessWay | None = None
    """Where its process came from; null where no process had it, or was not noted."""
    node: str | None = None
    """The node that it was run on, as ``GET /v1/nodes`` names it; null where that was not noted."""

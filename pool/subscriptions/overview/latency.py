"""How long a step of executions took, in percentiles."""

from __future__ import annotations

from typing import Literal

from pool.values import Value

Step = Literal["dispatch", "queue_wait", "run"]


class Latency(Value):
    """Of one step, since the parts of the pool that count it last began."""

    step: Step
    """From a request to its admission; from a request to the start of its run; the run itself."""
    count: int
    p50_seconds: float
    p90_seconds: float
    p99_seconds: float

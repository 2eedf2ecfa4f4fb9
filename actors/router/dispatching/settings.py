"""What dispatching takes from configuration."""

from __future__ import annotations

from pool.routing.policy import RoutingPolicy
from pool.values import Value


class DispatchSettings(Value):
    """What dispatching takes from configuration."""

    policy: RoutingPolicy = RoutingPolicy()
    default_model: str
    models: tuple[str, ...] = ()
    """Patterns of those that may be named; empty for all that is offered."""
    timeout_seconds: float

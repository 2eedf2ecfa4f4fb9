"""The policy of routing: what is best among subscriptions, and how long a request may wait.

It is what ranking takes from configuration.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pool.subscriptions.admission import AdmissionLimits
from pool.subscriptions.health import HealthWeights
from pool.values import Value


class Strategy(StrEnum):
    """What is best among the subscriptions of a tier that have a free slot."""

    HEALTHIEST = "healthiest"
    USE_BEFORE_RESET = "use_before_reset"
    """The subscription whose window resets next and would waste most of its headroom, while it
    is healthy enough; else the healthiest."""


class RoutingSettings(Value):
    """``[routing]`` of the configuration."""

    strategy: Strategy = Strategy.HEALTHIEST
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    """Runs of one execution, each on another subscription, as long as none gave output."""
    queue_timeout_seconds: Annotated[float, Field(gt=0, le=86400)] = 600
    """How long a request may wait for a slot, unless it says so itself."""
    max_report_age_seconds: Annotated[float, Field(gt=0, le=3600)] = 60
    """A subscription whose last report is older is not considered."""
    without_node_seconds: Annotated[float, Field(gt=0, le=86400)] = 300
    """How long a subscription that no node can have keeps what waits there: a machine that is
    started anew, or a pod that finds no place, is back by then, or somebody has to see to it."""


class RoutingPolicy(Value):
    """What ranking takes from configuration."""

    limits: AdmissionLimits = AdmissionLimits()
    weights: HealthWeights = HealthWeights()
    settings: RoutingSettings = RoutingSettings()

"""A subscription's public snapshot: what routers rank by and what people see.

A report is a value of one instant (``observed_at``). The subscription alone makes it; whoever holds
a copy knows its age. Every percentage says whether it comes from the pool's own records
(``local``) or from a window that Anthropic reported (``window``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from pool.executions.outcome import FailureKind
from pool.limits.forecast import SubscriptionForecast
from pool.limits.usage_reading import ExtraUsage
from pool.limits.windows import WindowSource
from pool.money import Usd
from pool.subscriptions.consequences.model_refusals import ModelRefusal
from pool.subscriptions.health import Health
from pool.usage.expected_cost import ExpectedCost
from pool.usage.records import UsageReport
from pool.usage.totals import BlockReport
from pool.values import Instant, Value


class SubscriptionState(StrEnum):
    AVAILABLE = "available"
    APPROACHING = "approaching"
    LIMITED = "limited"
    COOLDOWN = "cooldown"
    PAUSED = "paused"
    DRAINING = "draining"
    NEEDS_LOGIN = "needs_login"


Source = Literal["local", "window"]
Presence = Literal["awake", "asleep", "away"]
"""Whether a subscription's actor runs. One that is asleep begins work as any other does; its actor
comes up for it. One that is away was lost with its process or its node: it takes nothing until it
is back, and its figures are the last that it told."""


class WeeklyReport(Value):
    """The last seven days, and what running work and uncertain executions have reserved."""

    used_usd: Usd
    reserved_usd: Usd
    budget_usd: Usd
    percent: float
    """Local: used of budget. A fresh ``seven_day`` window stands in ``windows``."""


class WindowReport(Value):
    """One of Anthropic's windows as last seen. ``utilization`` 1.0 is all of it."""

    utilization: float | None
    utilization_at: Instant | None = None
    """When the figure was seen, where that was before ``observed_at``."""
    resets_at: Instant | None
    status: str
    models: str | None = None
    """The family of models that it holds for, or the model that met it; null for all."""
    source: WindowSource = "rate_limit_event"
    observed_at: Instant
    age_seconds: float
    fresh: bool
    """Whether it still counts: neither reset nor too old."""


class Totals(Value):
    """Everything ever recorded, also what retention has removed since."""

    executions: int
    records: int
    usage: UsageReport


class Report(Value):
    """A subscription at one instant."""

    id: str
    email: str | None
    kind: str
    state: SubscriptionState
    state_reason: str
    state_until: Instant | None
    """When the state lifts by the clock alone, if it does."""
    presence: Presence = "awake"
    """Of one that is asleep all figures are as exact: they are functions of time alone by then."""
    idle_since: Instant | None = None
    """Since when it has had nothing to do; null while something runs or waits."""
    cooldown_cause: FailureKind | None = None
    """Why it rests after failures, while it does."""
    unproved: FailureKind | None = None
    """Why it rested, where that time is over and no run has shown since that it works again."""
    login_expires_at: Instant | None = None
    """The end of its login, which only signing in again moves; null where nobody knows it."""
    refused_models: tuple[ModelRefusal, ...] = ()
    """Models that it was refused, each until an instant."""
    current_block: BlockReport
    weekly: WeeklyReport
    expected_block_usd: Usd
    windows: dict[str, WindowReport] = Field(default_factory=dict)
    limits_read_at: Instant | None = None
    """When the windows were last read without a run; null where they were not yet."""
    limits_unreadable: str | None = None
    """Why they cannot be read without a run: then they are known from runs alone."""
    extra_usage: ExtraUsage | None = None
    """Paid usage beyond the windows, as of ``limits_read_at``."""
    weekly_percent: float
    """The percentage that counts: the larger of the local one and a fresh ``seven_day`` window."""
    weekly_source: Source
    block_percent: float
    block_source: Source
    health: Health
    burn_rate_usd_per_hour: Usd
    """Of the last hour, exponentially weighted."""
    forecast: SubscriptionForecast
    typical_cost_usd: Usd
    """What the latest runs have cost on average."""
    expected_costs: tuple[ExpectedCost, ...] = ()
    """What a run is expected to cost, by model: the least that a request reserves."""
    running: int
    queued: int
    waiting_for_caller: int = 0
    """Executions whose caller is to give results of its tools: they hold no slot."""
    uncertain: int
    """Ended executions whose cost nobody could know."""
    uncertain_usd: Usd
    """Held for them until their block is over; part of ``weekly.reserved_usd``."""
    max_concurrent: int
    capacity: int
    """How many may run at this instant: ``max_concurrent``, or fewer while it is fresh, and one
    while it proves itself after a cooldown."""
    max_queued: int
    weight: float
    tier: int = 1
    reserve_percent: float = 0
    """The share of its windows that is kept for whoever else uses the account."""
    allow_overage: bool = False
    models: dict[str, str] = Field(default_factory=dict)
    """What its CLI offers, and what each name runs as; empty until that is known."""
    last_request_at: Instant | None
    session_id: str | None
    totals: Totals
    observed_at: Instant
    node: str | None = None
    """The node that it is on, by the name that ``GET /v1/nodes`` gives it."""
    build: str | None = None
    """The version of the code that its actor came up with; null for one that is asleep."""
    epoch: int
    version: int
    """Grows with every change; with ``epoch`` it orders the reports of a subscription."""

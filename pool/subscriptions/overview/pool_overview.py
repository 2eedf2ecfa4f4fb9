"""The pool at one glance: the sum of its subscriptions' reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from pool.money import Usd
from pool.subscriptions.overview.attention import Notice, notices
from pool.subscriptions.overview.latency import Latency
from pool.subscriptions.overview.verdict import Verdict, pool_dry_at, serves, verdict
from pool.subscriptions.report import Report, SubscriptionState
from pool.values import Instant, Value


class Forecast(Value):
    """What the present burn rate leads to."""

    burn_rate_usd_per_hour: Usd
    projected_block_usd: Usd
    """What the current block will have cost at its end, over all subscriptions."""
    weekly_headroom_usd: Usd
    """Budget, less what was used and what is reserved, over the subscriptions that take work."""
    exhausted_at: Instant | None
    """When the headroom ends at this rate; None where nothing burns or it lasts beyond a year. From
    the pool's own records alone."""
    dry_at: Instant | None
    """When the last subscription that takes work has used up a limit, each at its own rate; now
    where none takes work, None where one of them lasts. Windows of Anthropic's count."""


class Overview(Value):
    """Totals and states of all subscriptions that have sent a report."""

    subscriptions: int
    unheard: tuple[str, ...]
    """Those that were not since the router began: their figures are missing in the sums. Those of
    one that cannot come up are in them, as its ledger has them."""
    states: dict[SubscriptionState, int]
    block_cost_usd: Usd
    weekly_used_usd: Usd
    weekly_reserved_usd: Usd
    weekly_budget_usd: Usd
    total_cost_usd: Usd
    executions: int
    records: int
    running: int
    queued: int
    uncertain: int
    uncertain_usd: Usd
    healthiest: str | None
    forecast: Forecast
    verdict: Verdict
    attention: tuple[Notice, ...]
    """What somebody should look at, the most urgent first."""
    latency: tuple[Latency, ...] = ()
    """How long the steps of executions took, of those that were taken since the last start."""
    observed_at: Instant
    oldest_report_age_seconds: float


_YEAR = timedelta(days=365)


def _forecast(reports: Sequence[Report], now: datetime) -> Forecast:
    burn = sum((each.burn_rate_usd_per_hour for each in reports), Decimal(0))
    headroom = sum(
        (
            each.weekly.budget_usd - each.weekly.used_usd - each.weekly.reserved_usd
            for each in reports
            if serves(each)
        ),
        Decimal(0),
    )
    lasts = timedelta(hours=min(float(headroom / burn), 1e5)) if burn else _YEAR
    return Forecast(
        burn_rate_usd_per_hour=burn,
        projected_block_usd=sum(
            (each.forecast.projected_block_usd for each in reports), Decimal(0)
        ),
        weekly_headroom_usd=max(headroom, Decimal(0)),
        exhausted_at=now + max(lasts, timedelta(0)) if lasts < _YEAR else None,
        dry_at=pool_dry_at(reports, now),
    )


def overview(
    reports: Sequence[Report],
    now: datetime,
    unheard: tuple[str, ...] = (),
    latency: tuple[Latency, ...] = (),
) -> Overview:
    """Add reports up, at ``now``."""

    def total(figures: list[Decimal]) -> Decimal:
        return sum(figures, Decimal(0))

    serving = [each for each in reports if serves(each)]
    best = max(serving, key=lambda each: each.health.score, default=None)
    ages = [(now - each.observed_at).total_seconds() for each in reports]
    return Overview(
        subscriptions=len(reports),
        unheard=unheard,
        states=dict(Counter(each.state for each in reports)),
        block_cost_usd=total([each.current_block.cost_usd for each in reports]),
        weekly_used_usd=total([each.weekly.used_usd for each in reports]),
        weekly_reserved_usd=total([each.weekly.reserved_usd for each in reports]),
        weekly_budget_usd=total([each.weekly.budget_usd for each in reports]),
        total_cost_usd=total([each.totals.usage.cost_usd for each in reports]),
        executions=sum(each.totals.executions for each in reports),
        records=sum(each.totals.records for each in reports),
        running=sum(each.running for each in reports),
        queued=sum(each.queued for each in reports),
        uncertain=sum(each.uncertain for each in reports),
        uncertain_usd=total([each.uncertain_usd for each in reports]),
        healthiest=best.id if best else None,
        forecast=_forecast(reports, now),
        verdict=verdict(reports, now),
        attention=notices(reports, unheard, now),
        latency=latency,
        observed_at=now,
        oldest_report_age_seconds=round(max(ages, default=0.0), 3),
    )

"""A subscription's state made into its report."""

from __future__ import annotations

from datetime import datetime, timedelta

from pool.executions.tools.client_tools import ToolSettings
from pool.limits.forecast import Prospect, forecast
from pool.limits.windows import is_fresh
from pool.money import nano_usd, usd
from pool.subscriptions.admission import AdmissionLimits
from pool.subscriptions.consequences.standing import unproved
from pool.subscriptions.health import HealthWeights, Vitals, assess
from pool.subscriptions.report import Report, Totals, WeeklyReport, WindowReport
from pool.subscriptions.state import State, typical_cost
from pool.subscriptions.status import WindowReading, capacity, read, status_of
from pool.usage.blocks import block_at
from pool.usage.records import usage_report
from pool.usage.spending import burn_rate, weekly_total
from pool.usage.totals import BlockReport
from pool.values import Value


class SubscriptionPolicy(Value):
    """What a subscription takes from configuration."""

    limits: AdmissionLimits = AdmissionLimits()
    weights: HealthWeights = HealthWeights()
    max_attempts: int = 5
    """Runs of one execution, over all subscriptions."""
    tags: tuple[str, ...] = ()
    """Keys of metadata that usage is kept by."""
    tools: ToolSettings = ToolSettings()


def _windows(state: State, now: datetime, max_age: timedelta) -> dict[str, WindowReport]:
    return {
        name: WindowReport(
            **window.model_dump(),
            age_seconds=max(0.0, round((now - window.observed_at).total_seconds(), 3)),
            fresh=is_fresh(window, now, max_age),
        )
        for name, window in sorted(state.windows.items())
    }


def _vitals(state: State, reading: WindowReading, burn: int, in_doubt: int) -> Vitals:
    return Vitals(
        weekly_percent=reading.weekly,
        weekly_source=reading.weekly_source,
        block_percent=reading.block,
        block_source=reading.block_source,
        running=len(state.slots.running),
        queued=len(state.slots.waiting),
        burn_usd_per_hour=float(usd(burn)),
        recent_failures=state.standing.consecutive_failures,
        uncertain=state.uncertain,
        held_in_doubt_usd=float(usd(in_doubt)),
    )


def report(state: State, policy: SubscriptionPolicy, now: datetime) -> Report:
    """The subscription at ``now``."""
    spec, block = state.spec, block_at(now)
    max_age = timedelta(seconds=policy.limits.window_max_age_seconds)
    used = weekly_total(state.spending, now)
    block_cost = state.spending.within(block.starts_at, block.ends_at)
    burn = burn_rate(state.spending, now)
    in_doubt = state.held_in_doubt(now)
    reserved = state.slots.reserved_nano_usd + in_doubt
    reading = read(state, used, block_cost, now, max_age)
    status = status_of(state, reading, policy.limits, now)
    prospect = Prospect(
        spending=state.spending,
        burn_nano_usd_per_hour=burn,
        block=block,
        block_nano_usd=block_cost,
        budget_nano_usd=nano_usd(spec.weekly_budget_usd),
        reserved_nano_usd=reserved,
        windows_bind=not spec.allow_overage,
        window_max_age=max_age,
    )
    return Report(
        id=spec.id,
        email=spec.email,
        kind=spec.kind,
        state=status.state,
        state_reason=status.reason,
        state_until=status.until,
        presence="asleep" if state.is_asleep else "awake",
        idle_since=None if state.slots.is_any else state.idle_since,
        cooldown_cause=status.cooldown_cause,
        unproved=unproved(state.standing, now),
        login_expires_at=state.login_expires_at,
        refused_models=tuple(each for each in state.standing.refused_models if now < each.until),
        current_block=BlockReport(
            id=block.id,
            starts_at=block.starts_at,
            ends_at=block.ends_at,
            cost_usd=usd(block_cost),
            percent=round(reading.block_local, 3),
        ),
        weekly=WeeklyReport(
            used_usd=usd(used),
            reserved_usd=usd(reserved),
            budget_usd=spec.weekly_budget_usd,
            percent=round(reading.weekly_local, 3),
        ),
        expected_block_usd=spec.expected_block_usd,
        windows=_windows(state, now, max_age),
        limits_read_at=state.limits_read_at,
        limits_unreadable=state.limits_unreadable,
        extra_usage=state.extra_usage,
        weekly_percent=round(reading.weekly, 3),
        weekly_source=reading.weekly_source,
        block_percent=round(reading.block, 3),
        block_source=reading.block_source,
        health=assess(_vitals(state, reading, burn, in_doubt), policy.weights),
        burn_rate_usd_per_hour=usd(burn),
        forecast=forecast(prospect, state.studies, now),
        typical_cost_usd=usd(typical_cost(state)),
        expected_costs=tuple(state.costs.expected.values()),
        running=len(state.slots.running),
        queued=len(state.slots.waiting),
        waiting_for_caller=len(state.slots.parked),
        uncertain=state.uncertain,
        uncertain_usd=usd(in_doubt),
        max_concurrent=spec.max_concurrent,
        capacity=capacity(state, policy.limits, now),
        max_queued=spec.max_queued,
        weight=spec.weight,
        tier=spec.effective_tier,
        reserve_percent=spec.reserve_percent,
        allow_overage=spec.allow_overage,
        models=state.models,
        last_request_at=state.last_request_at,
        session_id=state.last_session_id,
        totals=Totals(
            executions=state.totals.executions,
            records=state.totals.records,
            usage=usage_report(state.totals.usage),
        ),
        observed_at=now,
        node=state.node,
        build=state.build,
        epoch=state.epoch,
        version=state.version,
    )

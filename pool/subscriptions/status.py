"""The status of a subscription at an instant: the percentages that count, and its state.

Where Anthropic reported a fresh window it counts with the pool's own records, and the larger
percentage wins; each says where it comes from. A state has a reason, and a time at which it lifts
by the clock alone, if it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pool.executions.outcome import FailureKind
from pool.limits.windows import FIVE_HOUR, SEVEN_DAY, percent_of
from pool.money import nano_usd
from pool.subscriptions.admission import AdmissionLimits
from pool.subscriptions.consequences.standing import Cooldown, active_cooldown, is_proving
from pool.subscriptions.report import Source, SubscriptionState
from pool.subscriptions.state import State


@dataclass(frozen=True)
class WindowReading:
    """The percentages that count, and where they come from."""

    weekly_local: float
    weekly: float
    weekly_source: Source
    block_local: float
    block: float
    block_source: Source


def _larger(local: float, window: float | None) -> tuple[float, Source]:
    return (window, "window") if window is not None and window >= local else (local, "local")


def read(
    state: State, used: int, block_cost: int, now: datetime, max_age: timedelta
) -> WindowReading:
    weekly_local = 100 * used / nano_usd(state.spec.weekly_budget_usd)
    block_local = 100 * block_cost / nano_usd(state.spec.expected_block_usd)
    weekly, weekly_source = _larger(
        weekly_local, percent_of(state.windows, SEVEN_DAY, now, max_age)
    )
    block, block_source = _larger(block_local, percent_of(state.windows, FIVE_HOUR, now, max_age))
    return WindowReading(weekly_local, weekly, weekly_source, block_local, block, block_source)


@dataclass(frozen=True)
class Status:
    state: SubscriptionState
    reason: str
    until: datetime | None = None
    cooldown_cause: FailureKind | None = None


def _cooling(cooldown: Cooldown) -> Status:
    needs_login = cooldown.cause is FailureKind.AUTHENTICATION
    named = SubscriptionState.NEEDS_LOGIN if needs_login else SubscriptionState.COOLDOWN
    reason = f"{cooldown.cause}: {cooldown.evidence}"
    return Status(named, reason, cooldown.until, cooldown.cause)


def _limited(
    state: State, reading: WindowReading, limits: AdmissionLimits, now: datetime
) -> Status | None:
    ceiling = limits.new_work_percent
    if reading.weekly_source == "local" and reading.weekly >= ceiling:
        threshold = int(nano_usd(state.spec.weekly_budget_usd) * ceiling / 100)
        return Status(
            SubscriptionState.LIMITED,
            f"{reading.weekly:.1f}% of the weekly budget is used; new work ends at {ceiling:.0f}%",
            state.spending.falls_below(threshold, now),
        )
    if state.spec.allow_overage:
        return None
    kept = min(ceiling, 100 - state.spec.reserve_percent)
    for name, percent, source in (
        (SEVEN_DAY, reading.weekly, reading.weekly_source),
        (FIVE_HOUR, reading.block, reading.block_source),
    ):
        if source == "window" and percent >= kept:
            return Status(
                SubscriptionState.LIMITED,
                f"Anthropic reports {percent:.1f}% of the {name} window as used; "
                f"new work ends at {kept:.0f}%",
                state.windows[name].resets_at,
            )
    return None


def _stopped(state: State, now: datetime) -> Status | None:
    """Stopped by its disk, by an operator, or by a cooldown."""
    if state.store_problem is not None:
        return Status(SubscriptionState.COOLDOWN, state.store_problem)
    if state.suspended:
        return Status(SubscriptionState.DRAINING, "the service is stopping")
    if state.retired:
        return Status(SubscriptionState.DRAINING, "it was removed from the pool")
    if state.standing.paused:
        return Status(SubscriptionState.PAUSED, "paused by an operator; resume it to use it")
    if state.standing.draining:
        return Status(
            SubscriptionState.DRAINING, "draining: it ends what it has and takes nothing new"
        )
    cooldown = active_cooldown(state.standing, now)
    return _cooling(cooldown) if cooldown is not None else None


def status_of(
    state: State, reading: WindowReading, limits: AdmissionLimits, now: datetime
) -> Status:
    """The state at ``now``: what stops it first, then how close it is to a limit."""
    stopped = _stopped(state, now) or _limited(state, reading, limits, now)
    if stopped is not None:
        return stopped
    busiest = max(reading.weekly, reading.block if reading.block_source == "window" else 0.0)
    if busiest >= limits.approaching_percent:
        return Status(SubscriptionState.APPROACHING, f"{busiest:.1f}% of a limit is used")
    if is_proving(state.standing, now):
        return Status(SubscriptionState.AVAILABLE, "its cooldown has ended; one request goes first")
    return Status(SubscriptionState.AVAILABLE, "has headroom")


def capacity(state: State, limits: AdmissionLimits, now: datetime) -> int:
    """How many may run at ``now``.

    Fewer than the subscription's slots while it is fresh (its first days, counted from its first
    use), and one while it proves itself after a cooldown.
    """
    slots = state.spec.max_concurrent
    days = 0 if state.first_used_at is None else max(0, (now - state.first_used_at).days)
    if days < len(limits.ramp_slots):
        slots = min(slots, limits.ramp_slots[days])
    return min(slots, 1) if is_proving(state.standing, now) else slots

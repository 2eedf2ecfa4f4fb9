"""Whether a subscription takes a piece of work: yes, later, or no with a reason and a time.

One rule for two readers. The owner judges a report made that instant and reserves in the same step,
which is what counts (G6); a router judges the reports it remembers, to ask the right owner first.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from pool.report import Report, SubscriptionState
from pool.value import Instant, Value


class AdmissionLimits(Value):
    """Percentages at which work is refused; the larger of local and reported percentage counts."""

    approaching_percent: float = 80.0
    new_work_percent: float = 85.0
    running_session_percent: float = 98.0
    window_max_age_seconds: float = 6 * 3600.0


class RefusalCause(StrEnum):
    PAUSED = "paused"
    DRAINING = "draining"
    NEEDS_LOGIN = "needs_login"
    COOLDOWN = "cooldown"
    LIMITED = "limited"
    BUDGET = "budget"
    QUEUE_FULL = "queue_full"
    STORE = "store"
    """The owner cannot make anything durable."""
    STALE_REPORT = "stale_report"
    """The router has not heard from it for too long."""

    @property
    def is_exhaustion(self) -> bool:
        """Whether waiting helps: answered with 429 rather than 503."""
        return self in {
            RefusalCause.COOLDOWN,
            RefusalCause.LIMITED,
            RefusalCause.BUDGET,
            RefusalCause.QUEUE_FULL,
        }


class Refusal(Value):
    """A no, with its cause, the evidence as a sentence, and when it lifts."""

    cause: RefusalCause
    detail: str
    until: Instant | None = None


class Ask(Value):
    """What admission needs to know of a request."""

    goes_on: bool
    """It belongs to a session that already runs on this subscription."""
    reserve_usd: Decimal
    session_busy: bool = False
    """Another turn of its session is running: it may only wait."""


class Run(Value):
    """Admitted: a slot is free, start now."""


class Wait(Value):
    """Admitted to the queue: every slot is taken."""


Admission = Run | Wait | Refusal

_BLOCKING = {
    SubscriptionState.PAUSED: RefusalCause.PAUSED,
    SubscriptionState.DRAINING: RefusalCause.DRAINING,
    SubscriptionState.NEEDS_LOGIN: RefusalCause.NEEDS_LOGIN,
    SubscriptionState.COOLDOWN: RefusalCause.COOLDOWN,
}


def _over_percentage(report: Report, ask: Ask, limits: AdmissionLimits) -> Refusal | None:
    ceiling = limits.running_session_percent if ask.goes_on else limits.new_work_percent
    worst = max(
        ("week", report.weekly_percent, report.weekly_source),
        ("block", report.block_percent if report.block_source == "window" else 0.0, "window"),
        key=lambda reading: reading[1],
    )
    name, percent, source = worst
    if percent < ceiling:
        return None
    what = "work of running sessions" if ask.goes_on else "new work"
    return Refusal(
        cause=RefusalCause.LIMITED,
        detail=f"{percent:.1f}% of the {name} is used ({source}); {what} ends at {ceiling:.0f}%",
        until=report.state_until,
    )


def _over_budget(report: Report, ask: Ask) -> Refusal | None:
    weekly = report.weekly
    needed = weekly.used_usd + weekly.reserved_usd + ask.reserve_usd
    if needed <= weekly.budget_usd:
        return None
    return Refusal(
        cause=RefusalCause.BUDGET,
        detail=(
            f"used {weekly.used_usd} + reserved {weekly.reserved_usd} + asked {ask.reserve_usd} USD"
            f" is more than the weekly budget of {weekly.budget_usd} USD"
        ),
        until=report.state_until,
    )


def refusal(report: Report, ask: Ask, limits: AdmissionLimits) -> Refusal | None:
    """Why this subscription cannot take the request at all, or None."""
    cause = _BLOCKING.get(report.state)
    if cause is not None:
        return Refusal(cause=cause, detail=report.state_reason, until=report.state_until)
    return _over_percentage(report, ask, limits) or _over_budget(report, ask)


def admit(report: Report, ask: Ask, limits: AdmissionLimits) -> Admission:
    """Run now, wait in the queue, or a refusal."""
    refused = refusal(report, ask, limits)
    if refused is not None:
        return refused
    if report.running < report.max_concurrent and report.queued == 0 and not ask.session_busy:
        return Run()
    if report.queued < report.max_queued:
        return Wait()
    return Refusal(
        cause=RefusalCause.QUEUE_FULL,
        detail=f"{report.running} running and {report.queued} waiting fill every place",
    )

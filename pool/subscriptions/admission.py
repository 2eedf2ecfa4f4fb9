"""Admission: whether a subscription takes a request now, later, or not, with a reason and a time.

One rule for two readers. A subscription judges its own report of that instant and reserves in the
same step, which is what counts (G6); a router judges the reports that it remembers, to try the
right subscription first.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field

from pool.limits.windows import IN_USE, OVERAGE, REJECTED, holds_for, models_of
from pool.subscriptions.consequences.model_refusals import about
from pool.subscriptions.consequences.standing import OF_A_LIMIT
from pool.subscriptions.report import Report, SubscriptionState, WindowReport
from pool.values import Instant, Value


class AdmissionLimits(Value):
    """Percentages at which work is refused; the larger of local and reported percentage counts."""

    approaching_percent: float = 80.0
    new_work_percent: float = 85.0
    running_session_percent: float = 98.0
    window_max_age_seconds: float = 6 * 3600.0
    ramp_slots: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=30)] = ()
    """How many runs at a time a fresh subscription may have on its first day, its second, ...;
    afterwards, and if this is empty, all of its ``max_concurrent``."""


class RefusalCause(StrEnum):
    PAUSED = "paused"
    DRAINING = "draining"
    NEEDS_LOGIN = "needs_login"
    COOLDOWN = "cooldown"
    FAILING = "failing"
    """It rests after failures that no headroom would mend."""
    MODEL = "model"
    """It was refused this model, or this variant of it."""
    LIMITED = "limited"
    OVERAGE = "overage"
    """Its windows are used up and real money is being spent, which it does not allow."""
    BUDGET = "budget"
    QUEUE_FULL = "queue_full"
    BUSY = "busy"
    """It has no free slot, and the request does not wait there yet."""
    SESSION_BUSY = "session_busy"
    """Another turn of the session runs, and the request does not wait for it."""
    ATTEMPTED = "attempted"
    """The execution was tried there already."""
    OTHER_WANTED = "other_wanted"
    """The request names another subscription, or its key allows others only."""
    STORE = "store"
    """The subscription cannot make anything durable."""
    STALE_REPORT = "stale_report"
    """The router has had no report of it for too long."""

    @property
    def is_exhaustion(self) -> bool:
        """Whether waiting helps: answered with 429 rather than 503."""
        return self in {
            RefusalCause.COOLDOWN,
            RefusalCause.LIMITED,
            RefusalCause.OVERAGE,
            RefusalCause.BUDGET,
            RefusalCause.QUEUE_FULL,
            RefusalCause.BUSY,
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
    yielding_usd: Decimal = Decimal(0)
    """Of what is reserved already: what gives way to it, and what is its own."""
    model: str | None = None
    """Limits of single models hold for it alone."""
    asked_for: str | None = None
    """The model as the request names it, which may be an alias."""
    prompt_bytes: int = 0
    session_busy: bool = False
    """Another turn of its session is running or waiting here: it may only wait behind it."""
    waits_for_session: bool = True
    may_wait: bool = True
    """False: take it only if it can run at once, since another subscription may be free."""


class Run(Value):
    """Admitted: a slot is free, start now."""


class Wait(Value):
    """Admitted to the queue: every slot is taken, or its session is at work."""

    reserves: bool = True
    """False where the budget has no room for it by now: it reserves when its turn has come."""


Admission = Run | Wait | Refusal

_BLOCKING = {
    SubscriptionState.PAUSED: RefusalCause.PAUSED,
    SubscriptionState.DRAINING: RefusalCause.DRAINING,
    SubscriptionState.NEEDS_LOGIN: RefusalCause.NEEDS_LOGIN,
    SubscriptionState.COOLDOWN: RefusalCause.COOLDOWN,
}
_ORDERS = {RefusalCause.PAUSED, RefusalCause.DRAINING}
"""Of an operator: they keep new work out."""


class _Reading(NamedTuple):
    """One percentage that counts for a request."""

    name: str
    percent: float
    source: str
    until: Instant | None


def _readings(report: Report, ask: Ask) -> Iterator[_Reading]:
    """The local week, and every fresh window that holds for the request's model.

    A subscription that may spend beyond its windows is bounded by its own budget alone.
    """
    yield _Reading("week", report.weekly.percent, "local", report.state_until)
    if report.allow_overage:
        return
    for name, window in report.windows.items():
        models = window.models or models_of(name, None)  # earlier releases did not note it
        if name != OVERAGE and window.fresh and holds_for(models, ask.model):
            yield _Reading(f"{name} window", _percent(window), "window", window.resets_at)


def _percent(window: WindowReport) -> float:
    if window.status == REJECTED:
        return 100.0
    return 100 * (window.utilization or 0.0)


def _over_percentage(report: Report, ask: Ask, limits: AdmissionLimits) -> Refusal | None:
    ceiling = limits.running_session_percent if ask.goes_on else limits.new_work_percent
    kept = 100 - report.reserve_percent  # of Anthropic's windows; the budget is the pool's own
    ceilings = {"local": ceiling, "window": min(ceiling, kept)}
    over = [each for each in _readings(report, ask) if each.percent >= ceilings[each.source]]
    if not over:
        return None
    # All of them have to lift: the last one counts, and one that does not say when, most of all.
    last = max(over, key=lambda each: (each.until is None, each.until or report.observed_at))
    what = "work of running sessions" if ask.goes_on else "new work"
    why = f" ({report.reserve_percent:g}% are reserved)" if ceilings[last.source] < ceiling else ""
    return Refusal(
        cause=RefusalCause.LIMITED,
        detail=f"{last.percent:.1f}% of the {last.name} is used ({last.source}); "
        f"{what} ends at {ceilings[last.source]:.0f}%{why}",
        until=last.until,
    )


def _over_its_models(report: Report, ask: Ask) -> Refusal | None:
    refused = about(report.refused_models, ask.asked_for, ask.prompt_bytes, report.observed_at)
    if refused is None:
        return None
    length = f" with prompts of {refused.at_least_bytes} bytes or more"
    return Refusal(
        cause=RefusalCause.MODEL,
        detail=f"it was refused {refused.model}{length if refused.at_least_bytes else ''}: "
        f"{refused.evidence}",
        until=refused.until,
    )


def _over_the_windows(report: Report) -> Refusal | None:
    overage = report.windows.get(OVERAGE)
    if overage is None or overage.status != IN_USE or not overage.fresh or report.allow_overage:
        return None
    return Refusal(
        cause=RefusalCause.OVERAGE,
        detail="its limit is used up, and what runs there is billed as overage: "
        "set allow_overage where that is wanted",
        until=overage.resets_at,
    )


def room(report: Report) -> Decimal:
    """What the weekly budget has room for, in dollars, over what is used and reserved."""
    weekly = report.weekly
    return weekly.budget_usd - weekly.used_usd - weekly.reserved_usd


def _over_budget(report: Report, ask: Ask) -> Refusal | None:
    if ask.reserve_usd - ask.yielding_usd <= room(report):
        return None
    weekly = report.weekly
    reserved = weekly.reserved_usd - ask.yielding_usd
    return Refusal(
        cause=RefusalCause.BUDGET,
        detail=(
            f"used {weekly.used_usd} + reserved {reserved} + asked {ask.reserve_usd} USD"
            f" is more than the weekly budget of {weekly.budget_usd} USD"
        ),
        until=report.state_until,
    )


def refusal(report: Report, ask: Ask, limits: AdmissionLimits) -> Refusal | None:
    """Why this subscription cannot take the request at all, or None."""
    return _blocked(report) or _over_a_limit(report, ask, limits)


def refusal_to_start(report: Report, ask: Ask, limits: AdmissionLimits) -> Refusal | None:
    """Why something that waits here cannot start, or None. An order that keeps new work out lets
    what waits have its turn, though not beyond any limit.
    """
    blocked = _blocked(report)
    if blocked is not None and blocked.cause not in _ORDERS:
        return blocked
    return _over_a_limit(report, ask, limits)


def _blocked(report: Report) -> Refusal | None:
    cause = _BLOCKING.get(report.state)
    if cause is RefusalCause.COOLDOWN and report.cooldown_cause not in OF_A_LIMIT:
        cause = RefusalCause.FAILING
    if cause is None:
        return None
    return Refusal(cause=cause, detail=report.state_reason, until=report.state_until)


def _over_a_limit(report: Report, ask: Ask, limits: AdmissionLimits) -> Refusal | None:
    return (
        _over_its_models(report, ask)
        or _over_percentage(report, ask, limits)
        or _over_the_windows(report)
        or _over_budget(report, ask)
    )


def admit(report: Report, ask: Ask, limits: AdmissionLimits) -> Admission:
    """Run now, wait in the queue, or a refusal.

    A turn whose session is at work here waits for its end whatever the subscription's state:
    nowhere else could it go on, and if the subscription cannot take it then, the session moves.
    What the budget has no room for is not reserved meanwhile (G6).
    """
    if ask.session_busy and not ask.waits_for_session:
        detail = "another turn of this session is running or waiting: ask again after its end"
        return Refusal(cause=RefusalCause.SESSION_BUSY, detail=detail)
    refused = None if ask.session_busy else refusal(report, ask, limits)
    if refused is not None:
        return refused
    is_free = report.running < report.capacity and report.queued == 0
    if is_free and not ask.session_busy:
        return Run()
    if not ask.may_wait and not ask.session_busy:
        return Refusal(cause=RefusalCause.BUSY, detail=f"all {report.capacity} slots are taken")
    if report.queued < report.max_queued:
        return Wait(reserves=_over_budget(report, ask) is None)
    return Refusal(
        cause=RefusalCause.QUEUE_FULL,
        detail=f"{report.running} running and {report.queued} waiting fill every place",
    )

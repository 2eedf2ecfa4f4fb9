"""Quotas of a key: whether it may have a request run now, or a refusal with a reason and a time.

Two questions. ``forbidden`` asks what will not change by waiting: the model, the subscription, the
tools, a price above the key's budgets; it names the field. ``allowed`` asks what will: the rate,
how many run, what was spent. It counts what is reserved as spent, and is asked inside the
transaction that writes the reservation, so that no number of requests at once comes past a budget.

A day's budget is that of the calendar day in UTC, a week's that of the last seven days. What was
spent is kept by the hour, so that a year of requests takes no longer to add up than a day of them;
the oldest hour of a week counts until all of it is out.

What a run costs is known when it has ended. Until then it holds what runs like it have cost by the
pool's own records; a price that its caller names may raise that, never lower it. A run that costs
more than it holds is counted in full. So a budget is overdrawn at most by what the executions that
ran or waited when the last one was admitted have cost beyond what they held; ``max_concurrent``
bounds how many those are. One of them goes beyond a price of its own (``max_budget_usd``,
``max_request_usd``) by no more than one call of the model, where it uses tools; without tools it is
one call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from pool.errors import KeyLimited, OverBudget, RateLimited, TooManyAtOnce
from pool.executions.request import ExecutionRequest
from pool.executions.tools.permissions import not_granted
from pool.keys.api_keys import KeyLimits, KeySpec, KeyStanding
from pool.money import nano_usd, usd
from pool.usage.expected_cost import Floor
from pool.usage.spending import WEEK
from pool.values import Instant, Value

HOUR = timedelta(hours=1)


class LimitCause(StrEnum):
    RATE = "rate"
    CONCURRENCY = "concurrency"
    DAILY_BUDGET = "daily_budget"
    WEEKLY_BUDGET = "weekly_budget"


class Limited(Value):
    """A no for now, with its cause, the evidence as a sentence, and when it lifts."""

    cause: LimitCause
    detail: str
    until: Instant | None = None
    """None where it hangs on when running work ends."""


class ForbiddenField(Value):
    """A no for good: the field of the request that the key does not cover, and why."""

    field: str
    problem: str


class Charge(Value):
    """What a request holds of its key's limits, from before it is placed until it has ended."""

    execution_id: str
    key_id: str
    amount_nano_usd: int
    at: Instant


class Reservation(Value):
    """A charge that is to be made, and the key whose limits it is judged by."""

    charge: Charge
    key: KeySpec
    assumed_nano_usd: int = 0
    """What it may come to by assumption, as long as too little is known; see ``charged``."""


class Settled(Value):
    """What a request cost in the end, and when that was."""

    cost_nano_usd: int
    at: Instant
    held_until: Instant | None = None
    """Its cost is in doubt: until then the rest of its reservation is held."""


class HourSpent(Value):
    """Nano-dollars of one hour of a key."""

    starts_at: Instant
    cost_nano_usd: int


class Account(Value):
    """What the limits of a key are judged by."""

    next_at: Instant | None = None
    """When the next request would be due at an even pace; it moves on with every request."""
    running: int = 0
    reserved_nano_usd: int = 0
    """Held for what runs or waits, and for what is in doubt."""
    hours: tuple[HourSpent, ...] = ()
    """What was spent, at least in the last seven days; oldest first."""


def hour_of(at: datetime) -> datetime:
    """The first instant of the hour that a cost is kept in."""
    return at.replace(minute=0, second=0, microsecond=0)


def oldest_hour(now: datetime) -> datetime:
    """The hour that the oldest cost of the last seven days is kept in."""
    return hour_of(now - WEEK)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _since(hours: Iterable[HourSpent], start: datetime) -> int:
    return sum(each.cost_nano_usd for each in hours if start <= each.starts_at)


def spent_today(account: Account, now: datetime) -> int:
    return _since(account.hours, _midnight(now))


def spent_this_week(account: Account, now: datetime) -> int:
    return _since(account.hours, oldest_hour(now))


def standing(account: Account, now: datetime) -> KeyStanding:
    """The account as it is shown."""
    return KeyStanding(
        running=account.running,
        today_usd=usd(spent_today(account, now)),
        week_usd=usd(spent_this_week(account, now)),
        reserved_usd=usd(account.reserved_nano_usd),
    )


# -- what waiting does not change ----------------------------------------------------------------


def price_limit(limits: KeyLimits, request: ExecutionRequest) -> Decimal | None:
    """What the run may cost: as the request says, or else the key; None where neither does."""
    asked = request.max_budget_usd
    return limits.max_request_usd if asked is None else asked


def reserved_amount(
    limits: KeyLimits, request: ExecutionRequest, least: Floor, spent_nano_usd: int = 0
) -> int:
    """Nano-dollars to hold for a request of which earlier attempts have spent so much: what runs
    like it have cost, or its price limit where that is more.
    """
    price = price_limit(limits, request)
    return max(0 if price is None else nano_usd(price), spent_nano_usd + least.seen)


def limited_price(limits: KeyLimits, request: ExecutionRequest) -> ExecutionRequest:
    """The request with the price limit at which its run is to be ended early.

    The CLI looks at it between two calls of the model. A run without tools is one call: nothing of
    it could be saved, and its answer, which is paid for by then, would be lost. So there the limit
    of a key decides what is held, and ends nothing that the caller has not asked to be ended.
    """
    if not request.uses_tools:
        return request
    return request.model_copy(update={"max_budget_usd": price_limit(limits, request)})


def forbidden(
    key: KeySpec,
    request: ExecutionRequest,
    *,
    default_model: str,
    runs_as: Collection[str] = frozenset(),
    home: str | None = None,
) -> ForbiddenField | None:
    """The first field of a request that the key does not cover. ``runs_as`` is what its model
    stands for, if that is an alias, ``home`` where its session lives, if it has one.
    """
    return (
        _model(key, request.model or default_model, runs_as)
        or _subscription(key, request.subscription_id)
        or _session(key, home)
        or _machine(key, request)
        or _price(key, request)
    )


def _model(key: KeySpec, model: str, runs_as: Collection[str]) -> ForbiddenField | None:
    if key.covers_model(model, runs_as):
        return None
    problem = f"{model!r} is not among the models of this key ({', '.join(key.models)})"
    return ForbiddenField(field="model", problem=problem)


def _subscription(key: KeySpec, wanted: str | None) -> ForbiddenField | None:
    if wanted is None or key.covers_subscription(wanted):
        return None
    problem = f"{wanted!r} is not open to this key: leave subscription_id out"
    return ForbiddenField(field="subscription_id", problem=problem)


def _session(key: KeySpec, home: str | None) -> ForbiddenField | None:
    if home is None or key.covers_subscription(home):
        return None
    problem = f"it lives on {home!r}, which is not open to this key: begin a new session"
    return ForbiddenField(field="session_id", problem=problem)


def _machine(key: KeySpec, request: ExecutionRequest) -> ForbiddenField | None:
    missing = not_granted(request.tools, request.agent, key.grant)
    return missing and ForbiddenField(field=missing.field, problem=missing.problem)


def _price(key: KeySpec, request: ExecutionRequest) -> ForbiddenField | None:
    price = price_limit(key, request)
    if price is None:
        return None
    ceilings = {
        "max_request_usd": key.max_request_usd,
        "daily_budget_usd": key.daily_budget_usd,
        "weekly_budget_usd": key.weekly_budget_usd,
    }
    for name, ceiling in ceilings.items():
        if ceiling is not None and price > ceiling:
            problem = f"{price} USD is more than the key's {name} of {ceiling} USD: ask for less"
            return ForbiddenField(field="max_budget_usd", problem=problem)
    return None


# -- what waiting changes ------------------------------------------------------------------------


def allowed(
    limits: KeyLimits, account: Account, amount_nano_usd: int, now: datetime
) -> Limited | None:
    """Why the key may not have a request run now that reserves so much; None where it may."""
    return (
        _too_many(limits, account)
        or _too_fast(limits, account, now)
        or over_budget(limits, account, amount_nano_usd, now)
    )


def over_budget(
    limits: KeyLimits, account: Account, amount_nano_usd: int, now: datetime
) -> Limited | None:
    """Why the key's budgets have no room for so much; None where they have."""
    return _over_day(limits, account, amount_nano_usd, now) or _over_week(
        limits, account, amount_nano_usd, now
    )


def charged(wanted: Reservation, account: Account) -> Charge:
    """The charge as it is made. Raises a ``KeyLimited`` where the key's limits leave no room."""
    charge = _with_what_is_assumed(wanted, account)
    no = allowed(wanted.key, account, charge.amount_nano_usd, charge.at)
    if no is not None:
        raise limited(wanted, no)
    return charge


def topped_up(wanted: Reservation, account: Account, held_nano_usd: int) -> Charge | None:
    """The charge of an execution that holds so much already; None where that is enough. Raises a
    ``KeyLimited`` where the key's budgets leave no room for more.
    """
    others = account.reserved_nano_usd - held_nano_usd
    account = account.model_copy(update={"reserved_nano_usd": others})
    charge = _with_what_is_assumed(wanted, account)
    if charge.amount_nano_usd <= held_nano_usd:
        return None
    no = over_budget(wanted.key, account, charge.amount_nano_usd, charge.at)
    if no is not None:
        raise limited(wanted, no)
    return charge


def _with_what_is_assumed(wanted: Reservation, account: Account) -> Charge:
    """Where nothing else is held of the key, what is assumed comes to no more than what is left of
    its budgets: while it is not known what requests cost, those of a small key run one by one.
    """
    charge, limits = wanted.charge, wanted.key
    spent = (spent_today(account, charge.at), spent_this_week(account, charge.at))
    budgets = zip(limits.budgets_usd, spent, strict=True)
    left = [nano_usd(budget) - used for budget, used in budgets if budget is not None]
    room = [each for each in left if each > 0 and not account.reserved_nano_usd]
    assumed = min([wanted.assumed_nano_usd, *room])
    return charge.model_copy(update={"amount_nano_usd": max(charge.amount_nano_usd, assumed)})


def limited(reservation: Reservation, no: Limited) -> KeyLimited:
    """The refusal as the caller gets it."""
    match no.cause:
        case LimitCause.RATE:
            error: type[KeyLimited] = RateLimited
        case LimitCause.CONCURRENCY:
            error = TooManyAtOnce
        case LimitCause.DAILY_BUDGET | LimitCause.WEEKLY_BUDGET:
            error = OverBudget
        case never:
            assert_never(never)
    name, execution_id = reservation.key.name, reservation.charge.execution_id
    return error(name, execution_id, no.cause.value, no.detail, no.until)


def paced(limits: KeyLimits, account: Account, now: datetime) -> datetime | None:
    """``Account.next_at`` once a request was allowed; None for a key without a rate."""
    pace = limits.pace
    return None if pace is None else max(account.next_at or now, now) + pace[0]


def _too_many(limits: KeyLimits, account: Account) -> Limited | None:
    if limits.max_concurrent is None or account.running < limits.max_concurrent:
        return None
    detail = f"{account.running} executions run or wait; the key may have {limits.max_concurrent}"
    return Limited(cause=LimitCause.CONCURRENCY, detail=detail)


def _too_fast(limits: KeyLimits, account: Account, now: datetime) -> Limited | None:
    """The token bucket, as one instant: at most ``burst`` requests are ahead of an even pace."""
    if limits.pace is None or account.next_at is None:
        return None
    each, burst = limits.pace
    free_at = account.next_at - (burst - 1) * each
    if free_at <= now:
        return None
    detail = f"the key may make {limits.requests_per_minute:g} requests a minute, {burst} at once"
    return Limited(cause=LimitCause.RATE, detail=detail, until=free_at)


def _over(name: str, budget_usd: Decimal, spent: int, account: Account, amount: int) -> str | None:
    if spent + account.reserved_nano_usd + amount <= nano_usd(budget_usd):
        return None
    if amount > nano_usd(budget_usd) and not account.reserved_nano_usd:
        return (
            f"a request like this one holds {usd(amount)} USD, since such requests have cost that, "
            f"and the key's whole {name} budget is {budget_usd} USD: ask a smaller model, or for "
            "less, or have the budget raised"
        )
    return (
        f"used {usd(spent)} + reserved {usd(account.reserved_nano_usd)} + asked {usd(amount)} USD "
        f"is more than the key's {name} budget of {budget_usd} USD"
    )


def _over_day(limits: KeyLimits, account: Account, amount: int, now: datetime) -> Limited | None:
    budget = limits.daily_budget_usd
    if budget is None:
        return None
    detail = _over("daily", budget, spent_today(account, now), account, amount)
    if detail is None:
        return None
    fits_tomorrow = _over("daily", budget, 0, account, amount) is None
    until = _midnight(now) + timedelta(days=1) if fits_tomorrow else None
    return Limited(cause=LimitCause.DAILY_BUDGET, detail=detail, until=until)


def _over_week(limits: KeyLimits, account: Account, amount: int, now: datetime) -> Limited | None:
    budget = limits.weekly_budget_usd
    if budget is None:
        return None
    detail = _over("weekly", budget, spent_this_week(account, now), account, amount)
    if detail is None:
        return None
    until = _week_relief(account, nano_usd(budget) - account.reserved_nano_usd - amount, now)
    return Limited(cause=LimitCause.WEEKLY_BUDGET, detail=detail, until=until)


def _week_relief(account: Account, room: int, now: datetime) -> datetime | None:
    """When so many hours are out of the week that what is left of it fits into ``room``."""
    hours = [each for each in account.hours if oldest_hour(now) <= each.starts_at]
    left = sum(each.cost_nano_usd for each in hours)
    for each in hours:
        left -= each.cost_nano_usd
        if left <= room:
            return each.starts_at + HOUR + WEEK
    return None

"""Quotas of a key: whether it may have a request run now, or a refusal with a reason and a time.

What waiting does not change is asked before (``forbidden``). Here it is the rate, how many run, and
what was spent. What is reserved counts as spent, and this is asked inside the transaction that
writes the reservation, so that no number of requests at once comes past a budget.

A run that costs more than it holds (``request_price``) is counted in full. So a budget is overdrawn
at most by what the executions that ran or waited when the last one was admitted have cost beyond
what they held; ``max_concurrent`` bounds how many those are. One of them goes beyond a price of its
own (``max_budget_usd``, ``max_request_usd``) by no more than one call of the model, where it uses
tools; without tools it is one call.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from pool.errors import KeyLimited, OverBudget, RateLimited, TooManyAtOnce
from pool.keys.account import (
    Account,
    Charge,
    Reservation,
    midnight,
    oldest_hour,
    spent_this_week,
    spent_today,
)
from pool.keys.api_keys import KeyLimits
from pool.money import nano_usd, usd
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
    until = midnight(now) + timedelta(days=1) if fits_tomorrow else None
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

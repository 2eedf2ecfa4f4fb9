"""What a key does not cover: a refusal that waiting does not change, naming the field."""

from __future__ import annotations

from collections.abc import Collection

from pool.executions.request import ExecutionRequest
from pool.executions.tools.permissions import not_granted
from pool.keys.api_keys import KeySpec
from pool.keys.request_price import price_limit
from pool.values import Value


class ForbiddenField(Value):
    """A no for good: the field of the request that the key does not cover, and why."""

    field: str
    problem: str


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

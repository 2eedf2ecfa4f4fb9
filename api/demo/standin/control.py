"""Steering and watching the stand-in from another process, under `/_standin/`.

The same verbs as in Python. Bodies name a credential by its raw `token`; answers show fingerprints
only.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from api.demo.standin.behaviour import Behaviour
from api.demo.standin.quota import Quota
from api.demo.standin.standin import Standin


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BehaviourOrder(_Body):
    """`next` is queued; `always`, when present, becomes the standing rule (null: takes it away)."""

    token: str | None = None
    next: tuple[Behaviour, ...] = ()
    always: Behaviour | None = None


class QuotaOrder(_Body):
    """Limits for the account of `token`, or for every account."""

    token: str | None = None
    quota: Quota


class AccountOrder(_Body):
    """Credentials that belong to one account."""

    name: str = Field(min_length=1)
    tokens: tuple[str, ...]


class AllowOrder(_Body):
    """The only credentials accepted; null accepts any."""

    tokens: tuple[str, ...] | None


def control_routes(standin: Standin) -> APIRouter:
    """The routes that steer `standin`."""
    routes = APIRouter(prefix="/_standin")
    _watching(routes, standin)
    _steering(routes, standin)
    return routes


def _watching(routes: APIRouter, standin: Standin) -> None:
    @routes.get("/bill")
    def bill(credential: str | None = None, limit: int = 1_000) -> dict[str, Any]:
        lines = [line for line in standin.bill.lines() if credential in (None, line.credential)]
        return {
            "total": standin.bill.total(),
            "by_credential": dict(standin.bill.by_credential()),
            "by_model": dict(standin.bill.by_model()),
            "lines": lines[-limit:],
        }

    @routes.get("/requests")
    def requests(credential: str | None = None, limit: int = 100) -> dict[str, Any]:
        found = [each for each in standin.requests.all() if credential in (None, each.credential)]
        return {"requests": found[-limit:], "stalled": standin.stalled}


def _steering(routes: APIRouter, standin: Standin) -> None:
    @routes.post("/behaviour", status_code=204)
    def behaviour(order: BehaviourOrder) -> None:
        try:
            standin.next(*order.next, token=order.token)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        if "always" in order.model_fields_set:
            standin.always(order.always, token=order.token)

    @routes.post("/quota", status_code=204)
    def quota(order: QuotaOrder) -> None:
        standin.set_quota(order.quota, token=order.token)

    @routes.post("/account", status_code=204)
    def account(order: AccountOrder) -> None:
        standin.account(order.name, *order.tokens)

    @routes.post("/allow", status_code=204)
    def allow(order: AllowOrder) -> None:
        if order.tokens is None:
            standin.allow_anyone()
        else:
            standin.allow(*order.tokens)

    @routes.post("/release", status_code=204)
    def release() -> None:
        standin.release()

    @routes.post("/reset", status_code=204)
    def reset() -> None:
        standin.reset()

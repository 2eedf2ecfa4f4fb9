"""``/healthz`` and ``/readyz``: what a supervisor asks.

Liveness never touches the pool: a pool in trouble is not cured by restarting the door to it.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter

from api.web.problems.kinds import NotReady
from api.web.problems.problem import documented
from api.web.request.arguments import Client
from pool.values import Value

routes = APIRouter(tags=["probes"])

PATIENCE_SECONDS = 3.0
"""Shorter than the timeouts that probes come with, so that the reason arrives."""


class Alive(Value):
    status: Literal["ok"] = "ok"


class Ready(Value):
    status: Literal["ready"] = "ready"
    subscriptions: int


@routes.get("/healthz")
async def healthz() -> Alive:
    """The process answers."""
    return Alive()


@routes.get("/readyz", responses=documented(503))
async def readyz(client: Client) -> Ready:
    """The router answers, and at least one subscription has sent a report."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            heard_from = await client.heard_from()
    except TimeoutError:
        raise NotReady(f"the router did not answer within {PATIENCE_SECONDS:g} s") from None
    if not heard_from:
        raise NotReady("no subscription has sent a report: it starts, or none is configured")
    return Ready(subscriptions=heard_from)

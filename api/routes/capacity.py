"""``/v1/capacity``: how many further requests the pool can start now, for launchers and CI."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.web.authentication import MayRead, ways_to_present_a_key
from api.web.problems.problem import documented
from api.web.request.arguments import Client
from pool.routing.capacity import MOST_ASKED, Capacity
from pool.usage.model_names import ModelId

routes = APIRouter(
    prefix="/v1/capacity",
    tags=["pool"],
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 404, 422, 500, 503),
)


@routes.get("")
async def capacity(
    client: Client,
    caller: MayRead,
    model: Annotated[ModelId | None, Query(description="Absent: the pool's own.")] = None,
    n: Annotated[int, Query(ge=1, le=MOST_ASKED, description="How many are to start.")] = 1,
) -> Capacity:
    """How many of `n` further requests would start at once, and, where those are fewer, why and
    when more can. Nothing is reserved. Subscriptions that the caller's key may not use are
    left out; its budgets and its rate are not looked at.
    """
    return await client.capacity(model, n=n, caller=caller.name)

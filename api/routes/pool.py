"""``/v1/pool``: everything at one glance."""

from __future__ import annotations

from fastapi import APIRouter

from api.web.authentication import MayRead, ways_to_present_a_key
from api.web.problems.problem import documented
from api.web.request.arguments import Client
from pool.subscriptions.overview.pool_overview import Overview

routes = APIRouter(
    prefix="/v1/pool",
    tags=["pool"],
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 500, 503),
)


@routes.get("")
async def pool(client: Client, _: MayRead) -> Overview:
    """Totals, states and forecast of the whole pool."""
    return await client.pool()

"""``/v1/alerts``: the alerts, and whether they arrived."""

from __future__ import annotations

from fastapi import APIRouter

from api.web.authentication import MayReadAll, ways_to_present_a_key
from api.web.problems.problem import documented
from api.web.request.arguments import Client, Cursor, Limit
from pool.alerts.delivery import ListedAlert
from pool.storage.paging import Page

routes = APIRouter(
    prefix="/v1/alerts",
    tags=["pool"],
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 422, 500, 503),
)


@routes.get("")
async def alerts(
    client: Client, _: MayReadAll, limit: Limit = 50, cursor: Cursor = None
) -> Page[ListedAlert]:
    """Limits that were crossed and what else happened, newest first, each with its deliveries. They
    are about everybody: for `read_all`.
    """
    return await client.alerts(limit=limit, cursor=cursor)

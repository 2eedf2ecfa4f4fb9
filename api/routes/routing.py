"""``/v1/route``: where a request would go now, and why."""

from __future__ import annotations

from fastapi import APIRouter

from api.web.authentication import MayRead, ways_to_present_a_key
from api.web.problems import documented
from api.web.request.arguments import Client
from api.web.request.body import JsonRoute
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing

routes = APIRouter(
    prefix="/v1/route",
    tags=["executions"],
    route_class=JsonRoute,
    dependencies=ways_to_present_a_key,
    responses=documented(400, 401, 403, 404, 413, 415, 422, 429, 500, 503),
)


@routes.post("")
async def route(request: ExecutionRequest, client: Client, _: MayRead) -> Routing:
    """Say where a request would go now: every subscription with its score, what that is made of,
    or why it refuses and until when. The best stands first; nothing is run, reserved or noted.

    Where nobody could take it, the answer is the 429 or 503 that the execution would get. Limits of
    the caller's own key are not looked at.
    """
    return await client.route(request)

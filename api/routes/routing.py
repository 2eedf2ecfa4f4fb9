"""``/v1/route``: where a request would go now, and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.web.authentication import MayRead, ways_to_present_a_key
from api.web.problems.problem import documented
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
async def route(
    request: ExecutionRequest,
    client: Client,
    caller: MayRead,
    *,
    all_candidates: Annotated[
        bool, Query(description="List every subscription, however many there are.")
    ] = False,
) -> Routing:
    """Say where a request would go now: the subscriptions, each with its score, what that is made
    of, or why it refuses and until when. The best stands first; nothing is run, reserved or noted.

    Of more than eight subscriptions the best eight are told, and how many others could take it or
    refuse, by cause; with `all_candidates` every one of them.

    Where nobody could take it, the answer is the 429 or 503 that the execution would get. Limits of
    the caller's own key (rate, budgets) are not looked at; what it may not use is refused.
    """
    return await client.route(request, all_candidates=all_candidates, caller=caller.name)

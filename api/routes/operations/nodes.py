"""``/v1/nodes``: the machines of the pool, and which subscriptions are where."""

from __future__ import annotations

from fastapi import APIRouter

from api.web.authentication import MayReadAll, ways_to_present_a_key
from api.web.problems.problem import documented
from api.web.request.arguments import Client
from pool.nodes.overview import NodeList

routes = APIRouter(
    prefix="/v1/nodes",
    tags=["pool"],
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 500, 503),
)


@routes.get("")
async def nodes(client: Client, _: MayReadAll) -> NodeList:
    """The nodes of the pool's Ray, each with its name for good, its address, and the subscriptions
    that are there; and the subscriptions that no node can have as they are configured, with the
    reason. They are about machines: for `read_all`.
    """
    return await client.nodes()

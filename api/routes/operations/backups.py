"""``/v1/backups``: copies of a running pool."""

from __future__ import annotations

from fastapi import APIRouter

from api.web.authentication import MayAdminister, ways_to_present_a_key
from api.web.problems.problem import documented
from api.web.request.arguments import Client
from pool.storage.backup import Backup

routes = APIRouter(
    prefix="/v1/backups",
    tags=["pool"],
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 500, 501, 503),
)


@routes.post("", status_code=201)
async def back_up(client: Client, _: MayAdminister) -> Backup:
    """Copy every store into a new folder below the data directory, while the pool goes on. 501 for
    a pool in PostgreSQL, which has tools of its own.
    """
    return await client.backup()

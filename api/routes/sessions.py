"""``/v1/sessions``: the conversations, where they live and where they have been."""

from __future__ import annotations

from fastapi import APIRouter

from api.web.authentication import MayAct, MayLook, ways_to_present_a_key
from api.web.problems.problem import documented
from api.web.request.arguments import Client, Cursor, Limit
from api.web.request.body import JsonRoute
from pool.executions.request import SessionId, SubscriptionId
from pool.executions.session import Session
from pool.storage.paging import Page

routes = APIRouter(
    prefix="/v1/sessions",
    tags=["sessions"],
    route_class=JsonRoute,
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 422, 500, 503),
)


@routes.get("")
async def sessions(
    client: Client,
    _: MayLook,
    limit: Limit = 50,
    cursor: Cursor = None,
    subscription_id: SubscriptionId | None = None,
) -> Page[Session]:
    """The sessions of the key's tenant, or for `read_all` everybody's, those used last first; with
    `subscription_id`, those that live there.
    """
    return await client.sessions(limit=limit, cursor=cursor, subscription_id=subscription_id)


@routes.get("/{session_id}", responses=documented(404))
async def session(session_id: SessionId, client: Client, _: MayLook) -> Session:
    """One session, with every move to another subscription that it has made."""
    return await client.session(session_id)


@routes.delete("/{session_id}", status_code=204, responses=documented(404, 409))
async def forget(session_id: SessionId, client: Client, _: MayAct) -> None:
    """Remove a session and its transcripts, wherever it has been; what its turns cost stays
    recorded. 409 while one of them is at work.
    """
    await client.forget_session(session_id)

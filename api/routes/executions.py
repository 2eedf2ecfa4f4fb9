"""``/v1/executions``: run a prompt, and see what became of it.

A waiting request only waits: the run belongs to its subscription, and goes on when the caller
hangs up, unless that was asked for.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.body import JsonRoute
from api.keys import MayExecute, MayRead, ways_to_present_a_key
from api.problems import Responses, documented, served
from api.routes.arguments import Client, Cursor, IdempotencyKey, Limit
from api.waiting import awaited
from pool.execution import (
    Execution,
    ExecutionRequest,
    ExecutionStatus,
    SessionId,
    SubscriptionId,
)
from pool.store.protocol import Page

routes = APIRouter(
    prefix="/v1/executions",
    tags=["executions"],
    route_class=JsonRoute,
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 422, 500, 503),
)

Wait = Annotated[
    float, Query(ge=0, le=60, description="Answer once it has ended, or after so many seconds.")
]
_ACCEPTED: Responses = {202: {"model": Execution, "description": "`background` was asked for"}}


@routes.post("", responses={**_ACCEPTED, **documented(400, 404, 413, 415, 429)})
async def execute(
    request: ExecutionRequest,
    http: Request,
    response: Response,
    client: Client,
    caller: MayExecute,
    key: IdempotencyKey = None,
) -> Execution:
    """Run a prompt on the healthiest subscription, and answer when it has ended, however it ended:
    `status` and `error` say how. With `background`, answer 202 as soon as it is admitted.
    """
    execution = await client.start(request, idempotency_key=key, caller=caller.name)
    if not request.background:
        return served(await awaited(execution, request, http, client))
    response.status_code = 202
    response.headers["Location"] = f"/v1/executions/{execution.id}"
    return execution


@routes.get("", responses=documented(404))
async def executions(
    *,
    client: Client,
    _: MayRead,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: ExecutionStatus | None = None,
    session_id: SessionId | None = None,
    subscription_id: SubscriptionId | None = None,
) -> Page[Execution]:
    """Executions, newest first."""
    return await client.executions(
        limit=limit,
        cursor=cursor,
        status=status,
        session_id=session_id,
        subscription_id=subscription_id,
    )


@routes.get("/{execution_id}", responses=documented(404))
async def execution(
    execution_id: str, client: Client, _: MayRead, wait_seconds: Wait = 0
) -> Execution:
    """One execution, as it is now; with `wait_seconds`, once it has ended or they have passed."""
    return await client.result(execution_id, wait_seconds=wait_seconds)


@routes.post("/{execution_id}/cancel", responses=documented(404))
async def cancel(execution_id: str, client: Client, _: MayExecute) -> Execution:
    """Stop it, and answer when it has stopped. One that has ended stays as it is."""
    return await client.cancel(execution_id)

"""``/v1/executions``: run a prompt, and see what became of it.

A waiting request only waits, and a streaming one only looks on: the run belongs to its
subscription, and goes on when the caller hangs up, unless that was asked for.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from api.web.authentication import MayAct, MayExecute, MayLook, ways_to_present_a_key
from api.web.problems.problem import Responses, documented
from api.web.problems.turned_away import served
from api.web.request.arguments import Client, Cursor, IdempotencyKey, Limit, PathId
from api.web.request.body import JsonRoute
from api.web.stream.sse import STREAM, resumed, streamed
from api.web.stream.waiting import awaited
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest, SessionId, SubscriptionId
from pool.executions.status import ShownStatus
from pool.executions.tools.client_tools import ToolResultsRequest
from pool.storage.paging import Page

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
_CURSOR = r"^[0-9]{1,4}-([0-9]{1,15}(\.[0-9]{1,6})?|end)$"
After = Annotated[
    str | None, Query(pattern=_CURSOR, description="The `id` of the last event that came.")
]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", pattern=_CURSOR, description="The same; it goes before `after`."),
]
Raw = Annotated[bool, Query(description="With the CLI's own messages, as events `raw`.")]
_ACCEPTED: Responses = {202: {"model": Execution, "description": "`background` was asked for"}}


@routes.post(
    "",
    response_model=Execution,
    responses={**STREAM, **_ACCEPTED, **documented(400, 404, 413, 415, 429)},
)
async def execute(
    request: ExecutionRequest,
    http: Request,
    response: Response,
    client: Client,
    caller: MayExecute,
    key: IdempotencyKey = None,
) -> Execution | Response:
    """Run a prompt on the healthiest subscription, and answer when it has ended, however it ended:
    `status` and `error` say how. With `background`, answer 202 as soon as it is admitted.

    With `stream`, answer with its events as soon as it is admitted: `id` is a cursor, `event` the
    type and `data` the JSON of what happened; the last one, `result`, holds the whole execution.
    Where the model calls some of the request's `client_tools`, the answer is one that is
    `waiting_for_caller`, and the last event is that.
    Hanging up stops nothing: go on at `/v1/executions/{id}/events`; `X-Execution-Id` has the id.
    With `cancel_on_disconnect` the run is stopped instead.
    """
    execution = await client.start(request, idempotency_key=key, caller=caller.name)
    if request.stream and not request.background:
        return streamed(client, execution, request, http)
    if not request.background:
        return served(await awaited(execution, request, http, client))
    response.status_code = 202
    response.headers["Location"] = f"/v1/executions/{execution.id}"
    return execution


@routes.get("", responses=documented(404))
async def executions(
    *,
    client: Client,
    _: MayLook,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: ShownStatus | None = None,
    session_id: SessionId | None = None,
    subscription_id: SubscriptionId | None = None,
) -> Page[Execution]:
    """Executions, newest first: those of the key's tenant; everybody's for `read_all`."""
    return await client.executions(
        limit=limit,
        cursor=cursor,
        status=status,
        session_id=session_id,
        subscription_id=subscription_id,
    )


@routes.get("/{execution_id}", responses=documented(404))
async def execution(
    execution_id: PathId, client: Client, _: MayLook, wait_seconds: Wait = 0
) -> Execution:
    """One execution, as it is now; with `wait_seconds`, once it has ended or they have passed."""
    return await client.result(execution_id, wait_seconds=wait_seconds)


@routes.get(
    "/{execution_id}/events",
    response_class=Response,
    responses={**STREAM, 204: {"description": "The last event was seen"}, **documented(404)},
)
async def events(
    *,
    execution_id: PathId,
    http: Request,
    client: Client,
    _: MayLook,
    last_event_id: LastEventId = None,
    after: After = None,
    raw: Raw = False,
) -> Response:
    """What happened since an event, and what happens until the end, as in a POST with `stream`.

    Ask from the beginning or from any event, while it runs or up to 10 minutes after its end;
    later the text comes in one piece. Any number may look on; hanging up stops nothing.
    """
    return await resumed(client, execution_id, last_event_id or after, http, raw=raw)


@routes.post(
    "/{execution_id}/tool_results",
    response_model=Execution,
    responses={**STREAM, **_ACCEPTED, **documented(400, 404, 409, 413, 415, 429)},
)
async def tool_results(
    execution_id: PathId,
    given: ToolResultsRequest,
    http: Request,
    response: Response,
    client: Client,
    _: MayAct,
) -> Execution | Response:
    """Give an execution that is `waiting_for_caller` the results of all its `tool_calls`, and
    answer once it waits again or has ended; with `background` at once, with `stream` with the
    events that follow. The same results, sent again, are the same answer.

    Results that come when it has ended without them, for it waits no longer than
    `tools.wait_seconds`, are gone on from by another execution, which is the answer then: it
    `continues` the first.
    """
    execution = await client.tool_results(execution_id, given.results)
    ids = [each.tool_use_id for each in given.results]
    request = ExecutionRequest(prompt="-", background=given.background, stream=given.stream)
    if given.stream and not given.background:
        after = execution.cursor_after(ids)
        return streamed(client, execution, request, http, after=after)
    if not given.background:
        return served(await awaited(execution, request, http, client))
    response.status_code = 202
    response.headers["Location"] = f"/v1/executions/{execution.id}"
    return execution


@routes.post("/{execution_id}/cancel", responses=documented(404))
async def cancel(execution_id: PathId, client: Client, _: MayAct) -> Execution:
    """Stop one of your own, or with `admin` any, and answer when it has stopped. One that has ended
    stays as it is.
    """
    return await client.cancel(execution_id)

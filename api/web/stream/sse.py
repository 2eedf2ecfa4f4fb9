"""Events of executions as ``text/event-stream``.

An event's ``id`` is its cursor, ``event`` its type, ``data`` the JSON of what happened. A comment
every 15 s keeps proxies from closing a quiet stream. Who hangs up and asks again with
``Last-Event-ID`` gets exactly the rest; what runs goes on meanwhile, unless its caller wanted it to
end with the connection. What goes wrong after the stream began is an event ``error`` that
carries a problem: the connection ends after it, and the cursor of the event before still holds.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter
from sse_starlette import EventSourceResponse, ServerSentEvent

from actors.client.client import PoolClient
from api.web.problems.problem import Responses, problem_of
from api.web.stream.event_schema import event_schema
from api.web.stream.revocation import while_open
from api.web.stream.waiting import abandon
from pool.errors import PoolError
from pool.executions.execution import Execution
from pool.executions.progress import Event, Progress, WaitsForCaller
from pool.executions.request import ExecutionRequest

HEARTBEAT_SECONDS = 15.0
MEDIA_TYPE = "text/event-stream"

# At DEBUG it logs every chunk, and with them the answers.
logging.getLogger("sse_starlette").setLevel(logging.INFO)

STREAM: Responses = {200: {"content": {MEDIA_TYPE: {"schema": event_schema("Progress")}}}}
"""For the OpenAPI document: an event's ``id`` is the cursor, its ``data`` the progress."""


def event_schemas() -> dict[str, Any]:
    """What ``STREAM`` refers to, by name."""
    template = "#/components/schemas/{model}"
    adapter: TypeAdapter[Any] = TypeAdapter(Progress)
    schema = adapter.json_schema(ref_template=template, mode="serialization")
    known: dict[str, Any] = schema.pop("$defs")
    return {**known, "Progress": schema}


def streamed(
    client: PoolClient,
    execution: Execution,
    request: ExecutionRequest,
    http: Request,
    *,
    after: str | None = None,
) -> Response:
    """The events of an execution that was just admitted, from its beginning or from a cursor, until
    it has ended or waits for its caller.
    """
    events = while_open(_one_answer(client.events(execution.id, after=after)), http)
    return _stream(events, execution.id, lambda _: abandon(execution, request, client))


async def resumed(
    client: PoolClient, execution_id: str, after: str | None, http: Request, *, raw: bool
) -> Response:
    """The events of an execution after a cursor, or all. 204 where the last one was seen: that
    tells a browser not to ask again.
    """
    # Asked beforehand, so that what is wrong has its status.
    page = await client.progress(execution_id, after=after, raw=raw)
    if page.is_end and not page.events:
        return Response(status_code=204)
    events = client.events(execution_id, after=after, raw=raw)
    return _stream(while_open(events, http), execution_id)


def _stream(
    events: AsyncIterator[Event], execution_id: str, gone: Any = None
) -> EventSourceResponse:
    location = f"/v1/executions/{execution_id}"
    return EventSourceResponse(
        _shown(events),
        headers={"X-Execution-Id": execution_id, "Location": location},
        ping=HEARTBEAT_SECONDS,
        sep="\n",
        client_close_handler_callable=gone,
    )


async def _one_answer(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    async with aclosing(events):
        async for each in events:
            yield each
            if isinstance(each.progress, WaitsForCaller):
                return


async def _shown(events: AsyncIterator[Event]) -> AsyncIterator[ServerSentEvent]:
    try:
        async for each in events:
            yield ServerSentEvent(
                each.progress.model_dump_json(),
                event=each.progress.type,
                id=each.cursor,
                sep="\n",
            )
    except PoolError as error:
        problem = problem_of(error).model_dump_json(exclude_none=True)
        yield ServerSentEvent(problem, event="error", sep="\n")

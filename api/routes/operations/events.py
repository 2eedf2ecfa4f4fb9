"""``/v1/events``: what happens in the pool, as it happens.

An event's ``id`` is where to come back to, ``event`` its kind and ``data`` the JSON of what
happened: ids and figures, never prompts or answers. Who hangs up and asks again with
``Last-Event-ID`` gets exactly the rest, as long as it is kept; otherwise an event ``gap`` says
first that something may be missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import TypeAdapter
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.web.authentication import MayLook, ways_to_present_a_key
from api.web.problems.problem import Responses, documented, problem_of
from api.web.request.arguments import Client
from api.web.stream.event_schema import event_schema
from api.web.stream.revocation import while_open
from api.web.stream.sse import HEARTBEAT_SECONDS, MEDIA_TYPE
from pool.errors import PoolError
from pool.executions.request import SessionId, SubscriptionId
from pool.telemetry.events import EventFilter, PoolEvent, PoolEventKind, StoredEvent

routes = APIRouter(
    prefix="/v1/events",
    tags=["pool"],
    dependencies=ways_to_present_a_key,
    responses=documented(401, 403, 422, 500, 503),
)

_ID = r"^[0-9a-f]{1,32}-[0-9]{1,15}$"
After = Annotated[
    str | None, Query(pattern=_ID, description="The `id` of the last event that came.")
]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", pattern=_ID, description="The same; it goes before `after`."),
]
Kinds = Annotated[
    list[PoolEventKind] | None,
    Query(alias="kind", max_length=len(PoolEventKind), description="Only these; all without."),
]
Id = Annotated[str | None, Query(max_length=200)]

_STREAM: Responses = {200: {"content": {MEDIA_TYPE: {"schema": event_schema("PoolEvent")}}}}


def happening_schemas() -> dict[str, Any]:
    """What the document of this route refers to, by name."""
    template = "#/components/schemas/{model}"
    schema = TypeAdapter(PoolEvent).json_schema(ref_template=template, mode="serialization")
    known: dict[str, Any] = schema.pop("$defs")
    return {**known, "PoolEvent": schema}


@routes.get("", response_class=Response, responses=_STREAM)
async def events(
    *,
    http: Request,
    client: Client,
    _: MayLook,
    last_event_id: LastEventId = None,
    after: After = None,
    kinds: Kinds = None,
    subscription_id: SubscriptionId | None = None,
    execution_id: Id = None,
    session_id: SessionId | None = None,
) -> Response:
    """What happens from now on, or since an event, until you hang up; of what you ask for alone.
    Of executions, sessions and usage a key is told what is its tenant's, with `read_all`
    everybody's; of subscriptions and alerts with `read`.

    The newest 5,000 events are kept. An event `gap` says that something may be missing before it.
    """
    wanted = EventFilter(
        kinds=tuple(kinds or ()),
        subscription_id=subscription_id,
        execution_id=execution_id,
        session_id=session_id,
    )
    begin = last_event_id or after
    # Asked beforehand: what is wrong has its status, and nothing is missed while the answer begins.
    first = await client.happenings(after=begin, wanted=wanted)
    return EventSourceResponse(
        _told(while_open(client.watch(after=begin or first.cursor, wanted=wanted), http)),
        ping=HEARTBEAT_SECONDS,
        sep="\n",
    )


async def _told(events: AsyncIterator[StoredEvent]) -> AsyncIterator[ServerSentEvent]:
    try:
        async for event in events:
            happening = event.happening
            data = happening.model_dump_json()
            yield ServerSentEvent(data, event=happening.kind.value, id=event.id, sep="\n")
    except PoolError as error:
        problem = problem_of(error).model_dump_json(exclude_none=True)
        yield ServerSentEvent(problem, event="error", sep="\n")

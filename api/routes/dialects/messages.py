"""``POST /v1/messages``: the pool, as Anthropic's SDKs speak to their API."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from api.dialects.error_format import MessagesError, documented, messages_error
from api.dialects.messages.message import Message, message
from api.dialects.messages.request import MessagesBody, asked
from api.dialects.messages.stream import MessageEvent, MessageStream
from api.dialects.openapi import streamed as streamed_parts
from api.dialects.running import AnyCall, SessionHeader, answered, streamed, whole
from api.web.authentication import ways_to_present_a_key
from api.web.problems.problem import Problem
from api.web.request.body import RoomyJsonRoute
from api.web.request.request_id import request_id_of

routes = APIRouter(
    prefix="/v1/messages",
    tags=["dialects"],
    route_class=RoomyJsonRoute,
    dependencies=ways_to_present_a_key,
    responses=documented(
        MessagesError, 400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 499, 500, 503, 504, 529
    ),
)

Beta = Annotated[str | None, Header(alias="anthropic-beta")]


@routes.post("", response_model=Message, responses=streamed_parts(MessageEvent))
async def create(
    body: MessagesBody, call: AnyCall, session: SessionHeader = None, beta: Beta = None
) -> Response:
    """Anthropic's Messages. What becomes of each field stands in api/dialects/README.md; fields
    that are ignored are named in the header `X-Pool-Ignored`.
    """
    request = asked(body, session_id=session, beta=beta)

    def shaped(problem: Problem) -> dict[str, Any]:
        return messages_error(problem, request_id_of(call.http.scope)).model_dump(mode="json")

    if request.stream:
        return await streamed(call, request, MessageStream(request), shaped)
    reply = await answered(call, request)
    return whole(reply, request, message(reply, request))

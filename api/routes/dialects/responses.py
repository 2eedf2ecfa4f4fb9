"""``/v1/responses``: the pool, as OpenAI's SDKs and agents speak to their newer API."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api.dialects.error_format import ChatError, chat_error, documented
from api.dialects.openapi import streamed as streamed_parts
from api.dialects.responses import response as responses
from api.dialects.responses.earlier import session_after, with_references
from api.dialects.responses.request import ResponsesBody, asked
from api.dialects.responses.retrieved import retrieved
from api.dialects.responses.stream import ResponseEvent, ResponseStream
from api.dialects.running import AnyCall, SessionHeader, answered, streamed, whole
from api.web.authentication import MayLook, ways_to_present_a_key
from api.web.problems.problem import Problem
from api.web.request.arguments import Client
from api.web.request.body import RoomyJsonRoute

routes = APIRouter(
    prefix="/v1/responses",
    tags=["dialects"],
    route_class=RoomyJsonRoute,
    dependencies=ways_to_present_a_key,
    responses=documented(
        ChatError, 400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 499, 500, 503, 504
    ),
)

ResponseId = Annotated[str, Path(max_length=200, description="The response's id.")]


def _shaped(problem: Problem) -> dict[str, Any]:
    return chat_error(problem).model_dump(mode="json")


@routes.post("", response_model=responses.Response, responses=streamed_parts(ResponseEvent))
async def create(body: ResponsesBody, call: AnyCall, session: SessionHeader = None) -> Response:
    """OpenAI's Responses. What becomes of each field stands in api/dialects/README.md; fields that
    are ignored are named in the header `X-Pool-Ignored`.
    """
    if body.previous_response_id is not None and not body.has_results:
        session = await session_after(call.client, body.previous_response_id)
    request = asked(await with_references(call.client, body), session_id=session)
    if request.stream:
        return await streamed(call, request, ResponseStream(request, body), _shaped)
    reply = await answered(call, request)
    return whole(reply, request, responses.response(reply, request, body))


@routes.get("/{response_id}")
async def one(response_id: ResponseId, client: Client, _: MayLook) -> responses.Response:
    """A response as it was given, for whoever may see its execution; `in_progress` while that runs,
    `failed` or `cancelled` where it has no answer. What it was asked for is not told again.
    """
    return await retrieved(client, response_id)

"""``POST /v1/chat/completions``: the pool, as OpenAI's SDKs speak to their API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from api.dialects.chat.completion import ChatCompletion, completion
from api.dialects.chat.request import ChatBody, asked
from api.dialects.chat.stream import ChatCompletionChunk, ChatStream
from api.dialects.error_format import ChatError, chat_error, documented
from api.dialects.openapi import streamed as streamed_parts
from api.dialects.running import AnyCall, SessionHeader, answered, streamed, whole
from api.web.authentication import ways_to_present_a_key
from api.web.problems.problem import Problem
from api.web.request.body import RoomyJsonRoute

routes = APIRouter(
    prefix="/v1/chat/completions",
    tags=["dialects"],
    route_class=RoomyJsonRoute,
    dependencies=ways_to_present_a_key,
    responses=documented(
        ChatError, 400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 499, 500, 503, 504
    ),
)


def _shaped(problem: Problem) -> dict[str, Any]:
    return chat_error(problem).model_dump(mode="json")


@routes.post("", response_model=ChatCompletion, responses=streamed_parts(ChatCompletionChunk))
async def create(body: ChatBody, call: AnyCall, session: SessionHeader = None) -> Response:
    """OpenAI's Chat Completions. What becomes of each field stands in api/dialects/README.md;
    fields that are ignored are named in the header `X-Pool-Ignored`.
    """
    request = asked(body, session_id=session)
    if request.stream:
        return await streamed(call, request, ChatStream(request), _shaped)
    reply = await answered(call, request)
    return whole(reply, request, completion(reply, request))

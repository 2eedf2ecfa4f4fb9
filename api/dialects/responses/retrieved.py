"""A response by its id alone: as it was given, or as far as it is by now.

It is made anew of its execution, which whoever may see that can read, as long as executions are
kept. What it was asked for is not shown with it, as it is not with an execution: instructions,
tools and the format of its text are told as if nothing had been asked.
"""

from __future__ import annotations

from typing import Literal

from actors.client.client import PoolClient
from api.dialects.answer.reply import execution_id_of, reply_name, reply_of
from api.dialects.request.request import DialectRequest
from api.dialects.responses.request import ResponsesBody
from api.dialects.responses.response import Response, ResponseFailure, begun, response
from pool.errors import AnswerRemoved, NotFound
from pool.executions.execution import Execution
from pool.executions.outcome import FailureKind
from pool.executions.status import ExecutionStatus

_PREFIX = "resp_"


async def retrieved(client: PoolClient, response_id: str) -> Response:
    """The response of an id. ``NotFound`` where the pool knows none, or not for whoever asks;
    ``AnswerRemoved`` where nobody may read it any more.
    """
    unknown = NotFound("response", response_id)
    name = response_id.removeprefix(_PREFIX)
    try:
        execution = await client.result(execution_id_of(name))
    except NotFound:
        raise unknown from None
    number = next((at for at in _replies(execution) if response_id == _id(execution, at)), None)
    if number is None:
        raise unknown
    if execution.content_removed_at is not None:
        raise AnswerRemoved(execution.id)
    return _response(execution, number)


def _replies(execution: Execution) -> range:
    """The numbers of its replies: those that have ended, and the one that is being made."""
    ended = len(execution.rounds)
    return range(ended if ended and execution.status.rests else ended + 1)


def _id(execution: Execution, number: int) -> str:
    return f"{_PREFIX}{reply_name(execution, number)}"


def _response(execution: Execution, number: int) -> Response:
    asked = DialectRequest(
        request=None, ignored=(), is_structured=execution.structured_output is not None
    )
    metadata = {name: each for name, each in execution.metadata.items() if name != "user"}
    user = execution.metadata.get("user")
    body = ResponsesBody(model=execution.model, input="", metadata=metadata, user=user)
    made = execution.rounds[number] if number < len(execution.rounds) else None
    if made is not None and made.tool_calls:
        return response(reply_of(execution, asked, number), asked, body)
    told = begun(execution, number, asked, body)
    if not execution.status.is_final:
        return told.model_copy(update={"background": True})
    error = execution.error
    if error is None or error.type == FailureKind.REFUSAL:
        return response(reply_of(execution, asked, number), asked, body)
    is_cancelled = execution.status is ExecutionStatus.CANCELLED
    status: Literal["cancelled", "failed"] = "cancelled" if is_cancelled else "failed"
    failure = None if is_cancelled else ResponseFailure(message=error.message)
    return told.model_copy(update={"status": status, "error": failure})

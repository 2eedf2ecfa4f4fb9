"""Earlier responses, which a request may refer to instead of repeating them.

A response is an execution, and its id is made of that's. So whatever API process answered then, and
after any restart, the session that it belongs to and what it said are found as long as executions
are kept, and by those alone who may see them.
"""

from __future__ import annotations

import asyncio

from actors.client.client import PoolClient
from api.dialects.answer.reply import execution_id_of, reply_name
from api.dialects.responses.request import InputMessage, Item, ItemReference, ResponsesBody
from pool.errors import AnswerRemoved, InvalidRequest, NotFound
from pool.executions.execution import Execution
from pool.executions.status import ExecutionStatus

MAX_REFERENCES = 200
"""In one request: each is looked up."""


async def session_after(client: PoolClient, response_id: str) -> str:
    """The session that goes on from a response.

    A session goes on from its end alone. So ``InvalidRequest`` where it holds a later answer than
    the one that was named, as where nothing is known by that id.
    """
    field = "previous_response_id"
    execution = await _found(client, response_id, "resp_", field)
    if execution.status is ExecutionStatus.WAITING_FOR_CALLER:
        raise InvalidRequest(
            field, "has called tools: send their results as function_call_output, by their call_id"
        )
    session = execution.session_id
    latest = await client.executions(session_id=session, status=ExecutionStatus.SUCCEEDED, limit=1)
    if any(each.id > execution.id for each in latest.items):
        raise InvalidRequest(
            field,
            "is not the last one of its session, which remembers what was said since: send the id "
            "of the last response, or the whole conversation as input",
        )
    return session


async def with_references(client: PoolClient, body: ResponsesBody) -> ResponsesBody:
    """The body, with the answers that it refers to in their places."""
    if isinstance(body.input, str):
        return body
    if sum(isinstance(item, ItemReference) for item in body.input) > MAX_REFERENCES:
        raise InvalidRequest("input", f"holds more than {MAX_REFERENCES} references: send texts")
    items = await asyncio.gather(
        *(_resolved(client, item, f"input.{at}") for at, item in enumerate(body.input))
    )
    return body.model_copy(update={"input": items})


async def _resolved(client: PoolClient, item: Item, where: str) -> Item:
    if not isinstance(item, ItemReference):
        return item
    execution = await _found(client, item.id, "msg_", where)
    if execution.content_removed_at is not None:
        raise AnswerRemoved(execution.id)
    return InputMessage(role="assistant", content=_said(execution, item.id))


def _said(execution: Execution, message_id: str) -> str:
    """What an execution said in the message of this id."""
    for made in execution.rounds:
        if message_id == f"msg_{reply_name(execution, made.number)}":
            return made.text
    return execution.result or ""


async def _found(client: PoolClient, id_: str, prefix: str, where: str) -> Execution:
    unknown = InvalidRequest(where, "is no id of an answer that this pool knows")
    if not id_.startswith(prefix):
        raise unknown
    try:
        return await client.result(execution_id_of(id_.removeprefix(prefix)))
    except NotFound:
        raise unknown from None

"""Running a request of a dialect, and answering while or after it runs.

The SDKs repeat a request that timed out, and send no ``Idempotency-Key`` unless told to. So a
caller without a key takes its run along when it hangs up, as with the real APIs; one with a key
finds it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from starlette.responses import Response

from actors.client.client import PoolClient
from api.dialects.answer.reply import Reply, answerable, reply_of
from api.dialects.answer.shown import answer_headers
from api.dialects.conversations import conversation_after, history_of
from api.dialects.request.request import DialectRequest
from api.dialects.streamed_answer import (
    DialectEncoder,
    EventReader,
    StreamedAnswer,
    first_events,
    known,
)
from api.dialects.streamed_response import StreamedResponse
from api.web.authentication import MayExecute
from api.web.problems.problem import Problem, problem_for
from api.web.request.arguments import Client, IdempotencyKey
from api.web.stream.revocation import while_open
from api.web.stream.waiting import attended
from pool.errors import InvalidRequest, NotFound, PoolError
from pool.executions.execution import Execution
from pool.executions.progress import Ended
from pool.executions.request import ExecutionRequest, SessionId
from pool.values import Value

log = logging.getLogger(__name__)

NOTE_SECONDS = 1.0
"""How long the end of an answer waits until its conversation is noted: a commit, which takes
milliseconds; without it the next turn is told as a transcript."""

SessionHeader = Annotated[SessionId | None, Header(alias="X-Session-Id")]


@dataclass(frozen=True)
class Call:
    """A request on its way: who asks, and where the answer goes."""

    http: Request
    client: PoolClient
    caller: str
    key: str | None
    tenant: str | None = None

    async def abandon(self, execution: Execution) -> None:
        """What becomes of a run whose caller has hung up."""
        if self.key is None:
            await self.client.cancel(execution.id)


def _call(http: Request, client: Client, caller: MayExecute, key: IdempotencyKey = None) -> Call:
    return Call(http, client, caller.name, key, caller.reaches.tenant)


AnyCall = Annotated[Call, Depends(_call)]


@dataclass(frozen=True)
class _Started:
    """An execution, and the reply of it that is waited for."""

    execution: Execution
    number: int = 0
    after: str | None = None
    """The event after which that begins."""
    calls_tools: bool = False


async def answered(call: Call, asked: DialectRequest) -> Reply:
    """Run it to its end, or to calls of the caller's tools. Raises what becomes an error of the
    dialect.
    """
    started = await _started(call, asked)
    execution, client = started.execution, call.client
    work = (
        client.round_ended(execution.id, started.number)
        if started.calls_tools
        else client.ended(execution)
    )
    ended = await attended(work, call.http.receive, lambda: call.abandon(execution))
    reply = reply_of(ended, asked, started.number)
    await _remember(call, asked, reply)
    return reply


def whole(reply: Reply, asked: DialectRequest, answer: Value) -> Response:
    """A reply on its way out, in a dialect's shape."""
    headers = answer_headers(reply.execution, asked.ignored)
    return Response(answer.model_dump_json(), 200, headers, "application/json")


async def streamed(
    call: Call,
    asked: DialectRequest,
    encoder: DialectEncoder,
    shape: Callable[[Problem], dict[str, Any]],
) -> StreamedResponse:
    """Run it, and answer as it goes on. Raises where it ended before its first word."""
    started = await _started(call, asked)
    execution = started.execution
    events = while_open(call.client.events(execution.id, after=started.after), call.http)
    reader, abandon = EventReader(events), partial(call.abandon, execution)
    try:
        first = await attended(first_events(reader), call.http.receive, abandon)
        if isinstance(last := first[-1].progress if first else None, Ended):
            answerable(last.execution)
    except BaseException:
        await reader.close()
        raise
    for event in first:
        execution = known(execution, event)
    answer = StreamedAnswer(
        lambda reply: _remember(call, asked, reply),
        asked,
        encoder,
        lambda error: shape(problem_for(error, call.http.url.path)),
    )
    return StreamedResponse(
        answer.frames(execution, started.number, first, reader),
        answer.failure,
        abandon,
        answer_headers(execution, asked.ignored),
    )


async def _started(call: Call, asked: DialectRequest) -> _Started:
    if asked.request is None:
        return await _gone_on(call, asked)
    request = asked.request.model_copy(update={"stream": asked.stream})
    return _Started(await _begun(call, request), calls_tools=bool(request.client_tools))


async def _begun(call: Call, request: ExecutionRequest) -> Execution:
    """The execution of a request: in the session that holds its history, if there is one."""
    # One with a key has to come to the same again, whatever was answered meanwhile.
    history = history_of(request, call.caller, call.tenant) if call.key is None else None
    if history is not None:
        turn = request.model_copy(update={"messages": request.messages[-1:]})
        begun = await call.client.go_on(turn, history, caller=call.caller)
        if begun is not None:
            return begun
    return await call.client.start(request, idempotency_key=call.key, caller=call.caller)


async def _gone_on(call: Call, asked: DialectRequest) -> _Started:
    """The execution that made some calls, once it has their results: these or, where they came
    before, the same ones.
    """
    ids = [each.tool_use_id for each in asked.results]
    try:
        made = await call.client.execution_of_calls(ids)
        at_once = made.calls_beside(ids)
        beside = (each for each in asked.earlier_results if each.tool_use_id in at_once)
        execution = await call.client.tool_results(made.id, (*beside, *asked.results))
    except NotFound:
        named = ", ".join(map(repr, ids[:3]))
        raise InvalidRequest(
            asked.results_in, f"ends in results of calls that this pool has not made: {named}"
        ) from None
    except InvalidRequest as error:
        raise InvalidRequest(asked.results_in, error.problem) from None
    number = execution.round_after(ids)
    before = execution.rounds[number - 1].cursor if number else None
    return _Started(execution, number, before, calls_tools=True)


async def _remember(call: Call, asked: DialectRequest, reply: Reply) -> None:
    """Note which session holds the conversation up to an answer, if its caller has it as the
    session has: before the end of the answer, for the next turn may come with that.
    """
    is_other = bool(reply.calls) or reply.is_cut_off or reply.refusal is not None
    if asked.request is None or is_other or asked.stops:
        return
    conversation = conversation_after(asked.request, call.caller, call.tenant, reply.text)
    if conversation is None:
        return
    session_id, execution_id = reply.execution.session_id, reply.execution.id
    try:
        async with asyncio.timeout(NOTE_SECONDS):
            await call.client.conversation_answered(conversation, session_id, execution_id)
    except (PoolError, TimeoutError) as error:
        ids = {"execution_id": execution_id, "session_id": session_id}
        log.warning("conversation was not noted", extra={**ids, "problem": str(error)})

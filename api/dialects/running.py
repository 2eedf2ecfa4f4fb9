"""Running a request of a dialect, and answering while or after it runs.

The SDKs repeat a request that timed out, and send no ``Idempotency-Key`` unless told to. So a
caller without a key takes its run along when it hangs up, as with the real APIs; one with a key
finds it again.

A stream says nothing until there is something to say, or for ``HOLD_SECONDS``: what ends before its
first word is then an error with a status, which an SDK can act on, and not a broken stream.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Protocol

from fastapi import Depends, Header, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from actors.aiokit import end
from actors.client.client import PoolClient
from api.dialects.answer.reply import Reply, answerable, reply_of, round_reply
from api.dialects.answer.shown import answer_headers
from api.dialects.answer.streamed_calls import CallPiece, StreamedCalls
from api.dialects.conversations import conversation_after, history_of
from api.dialects.request.request import DialectRequest
from api.web.authentication import MayExecute
from api.web.problems import Problem, Stopping, problem_for
from api.web.request.arguments import Client, IdempotencyKey
from api.web.stream.revocation import while_open
from api.web.stream.waiting import attended
from pool.errors import InvalidRequest, NotFound, PoolError
from pool.executions.execution import Execution
from pool.executions.progress import (
    AnswerBegan,
    AttemptBegan,
    Ended,
    Event,
    Text,
    Thinking,
    ToolCalled,
    ToolCallPiece,
    ToolUse,
    WaitsForCaller,
    Withdrawn,
)
from pool.executions.request import ExecutionRequest, SessionId
from pool.values import Value

log = logging.getLogger(__name__)

HOLD_SECONDS = 10.0
HEARTBEAT_SECONDS = 15.0
"""Proxies give a silent connection up after 30-60 s."""
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


class DialectEncoder(Protocol):
    """Writes an answer, while it is made, as the events of a dialect."""

    heartbeat: bytes

    def begin(self, execution: Execution, number: int) -> bytes: ...

    def text(self, piece: str) -> bytes: ...

    def thinking(self, piece: Thinking) -> bytes: ...

    def call(self, piece: CallPiece) -> bytes: ...

    def end(self, reply: Reply) -> bytes: ...

    def failure(self, body: dict[str, Any]) -> bytes: ...


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
) -> EventStream:
    """Run it, and answer as it goes on. Raises where it ended before its first word."""
    started = await _started(call, asked)
    execution = started.execution
    events = while_open(call.client.events(execution.id, after=started.after), call.http)
    reader, abandon = _Reader(events), partial(call.abandon, execution)
    try:
        first = await attended(_first(reader), call.http.receive, abandon)
        if isinstance(last := first[-1].progress if first else None, Ended):
            answerable(last.execution)
    except BaseException:
        await reader.close()
        raise
    for event in first:
        execution = _known(execution, event)
    answer = _Answer(
        lambda reply: _remember(call, asked, reply),
        asked,
        encoder,
        lambda error: shape(problem_for(error, call.http.url.path)),
    )
    return EventStream(
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


def _known(execution: Execution, event: Event) -> Execution:
    """An execution, with what an event says of where it runs."""
    match event.progress:
        case AttemptBegan(subscription_id=subscription, session_id=session, model=model):
            known = {"subscription_id": subscription, "session_id": session, "model": model}
            return execution.model_copy(update=known)
        case AnswerBegan() as begun:
            tokens = begun.model_dump(exclude={"type"})
            return execution.model_copy(update={"usage": execution.usage.model_copy(update=tokens)})
        case Ended(execution=ended):
            return ended
        case _:
            return execution


_LAST = Ended | WaitsForCaller
_WORDS = Text | Thinking | ToolUse | ToolCallPiece | ToolCalled | _LAST
"""What a stream begins with, once there is one of these."""


class _Reader:
    """Events one after the other, and time that passes without one."""

    def __init__(self, events: AsyncGenerator[Event, None]) -> None:
        self._events = events
        self._next: asyncio.Task[Event] | None = None

    async def next(self, seconds: float) -> Event | None:
        """The next event; None where none came for so long."""
        if self._next is None:
            self._next = asyncio.create_task(self._read())
        await asyncio.wait({self._next}, timeout=max(0.0, seconds))
        if not self._next.done():
            return None
        read, self._next = self._next, None
        return await read

    async def close(self) -> None:
        if self._next is not None:
            await end([self._next])
        await self._events.aclose()

    async def _read(self) -> Event:
        return await anext(self._events)


async def _first(reader: _Reader) -> list[Event]:
    """What comes up to the first sign of an answer, or in ``HOLD_SECONDS``."""
    until = time.monotonic() + HOLD_SECONDS
    first: list[Event] = []
    while (event := await reader.next(until - time.monotonic())) is not None:
        first.append(event)
        if isinstance(event.progress, _WORDS):
            break
    return first


class _Answer:
    """An answer in a dialect's voice, frame by frame."""

    def __init__(
        self,
        remember: Callable[[Reply], Awaitable[None]],
        asked: DialectRequest,
        encoder: DialectEncoder,
        shape: Callable[[Exception], dict[str, Any]],
    ) -> None:
        self._remember = remember
        self._asked = asked
        self._encoder = encoder
        self._shape = shape
        self._calls = StreamedCalls()
        self._spoke_at = time.monotonic()

    async def frames(
        self, execution: Execution, number: int, first: Sequence[Event], reader: _Reader
    ) -> AsyncGenerator[bytes, None]:
        """Everything from the first frame to the last, which is the end or a failure."""
        try:
            yield self._spoken(self._encoder.begin(execution, number))
            for event in first:
                yield await self._frame(event, execution, number)
            last = first[-1] if first else None
            while last is None or not isinstance(last.progress, _LAST):
                left = self._spoke_at + HEARTBEAT_SECONDS - time.monotonic()
                last = await reader.next(left)
                execution = execution if last is None else _known(execution, last)
                yield await self._frame(last, execution, number)
        except Exception as error:  # noqa: BLE001 - whatever it is, the stream must not just end
            yield self.failure(error)
        finally:
            await reader.close()

    def failure(self, error: Exception) -> bytes:
        return self._encoder.failure(self._shape(error))

    async def _frame(self, event: Event | None, execution: Execution, number: int) -> bytes:
        frame = b""
        match event.progress if event is not None else None:
            case None:
                frame = self._encoder.heartbeat
            case Text(text=text):
                frame = self._encoder.text(text)
            case Thinking() as thinking:
                frame = self._encoder.thinking(thinking)
            case ToolCallPiece(id=call_id, name=name, partial_json=piece):
                frame = self._encoder.call(self._calls.hear(call_id, name, piece))
            case Withdrawn(tool_call_ids=call_ids):
                self._calls.withdraw(call_ids, execution.id)
            case WaitsForCaller(round=made):
                frame = await self._end(round_reply(execution, made, self._asked))
            case Ended(execution=ended):
                frame = await self._end(reply_of(ended, self._asked, number))
            case _:
                pass
        return self._spoken(frame)

    async def _end(self, reply: Reply) -> bytes:
        await self._remember(reply)
        rest = b"".join(map(self._encoder.call, self._calls.rest(reply.calls)))
        return rest + self._encoder.end(reply)

    def _spoken(self, frame: bytes) -> bytes:
        if frame:
            self._spoke_at = time.monotonic()
        return frame


class EventStream(StreamingResponse):
    """Frames on their way to a caller who may hang up, from a service that may stop."""

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        failure: Callable[[Exception], bytes],
        abandon: Callable[[], Awaitable[None]],
        headers: Mapping[str, str],
    ) -> None:
        quiet = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(frames, headers={**quiet, **headers}, media_type="text/event-stream")
        self._frames = frames
        self._failure = failure
        self._abandon = abandon

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        try:
            with suppress(ClientDisconnect):
                await attended(self._write(send), receive, self._abandon)
        except asyncio.CancelledError:
            # Only uvicorn cancels, at its end; a stream that just ended would pass for an answer.
            await send(_body(self._failure(Stopping()), is_last=True))
            raise

    async def _write(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async with aclosing(self._frames):
            async for frame in self._frames:
                if frame:
                    await send(_body(frame))
        await send(_body(b"", is_last=True))


def _body(frame: bytes, *, is_last: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": frame, "more_body": not is_last}

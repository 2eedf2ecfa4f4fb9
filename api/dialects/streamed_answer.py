"""A streamed answer: the events of an execution as they come, told frame by frame in a dialect.

A stream says nothing until there is something to say, or for ``HOLD_SECONDS``: what ends before its
first word is then an error with a status, which an SDK can act on, and not a broken stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Protocol

from actors.aiokit import end
from api.dialects.answer.reply import Reply, reply_of, round_reply
from api.dialects.answer.streamed_calls import CallPiece, StreamedCalls
from api.dialects.request.request import DialectRequest
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

HOLD_SECONDS = 10.0
HEARTBEAT_SECONDS = 15.0
"""Proxies give a silent connection up after 30-60 s."""


class DialectEncoder(Protocol):
    """Writes an answer, while it is made, as the events of a dialect."""

    heartbeat: bytes

    def begin(self, execution: Execution, number: int) -> bytes: ...

    def text(self, piece: str) -> bytes: ...

    def thinking(self, piece: Thinking) -> bytes: ...

    def call(self, piece: CallPiece) -> bytes: ...

    def end(self, reply: Reply) -> bytes: ...

    def failure(self, body: dict[str, Any]) -> bytes: ...


def known(execution: Execution, event: Event) -> Execution:
    """An execution, with what an event says of where it runs."""
    match event.progress:
        case AttemptBegan(subscription_id=subscription, session_id=session, model=model):
            place = {"subscription_id": subscription, "session_id": session, "model": model}
            return execution.model_copy(update=place)
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


class EventReader:
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


async def first_events(reader: EventReader) -> list[Event]:
    """What comes up to the first sign of an answer, or in ``HOLD_SECONDS``."""
    until = time.monotonic() + HOLD_SECONDS
    first: list[Event] = []
    while (event := await reader.next(until - time.monotonic())) is not None:
        first.append(event)
        if isinstance(event.progress, _WORDS):
            break
    return first


class StreamedAnswer:
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
        self, execution: Execution, number: int, first: Sequence[Event], reader: EventReader
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
                execution = execution if last is None else known(execution, last)
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

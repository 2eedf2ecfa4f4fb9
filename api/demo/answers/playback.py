"""Giving an answer to the client in time: delays, chunks, silence, and connections that break.

Before the client has seen how an answer ends, the bill is settled. When the client leaves or the
answer is cut, the output tokens billed are the share of the content that had been sent, as with a
model that stops generating. Every wait ends when the client goes away, so a killed CLI is on the
bill within a moment.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.demo.answers.answer import sse
from api.demo.answers.problems import Problem
from api.demo.standin.standin import Plan, Refused, Standin

_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_JSON = {"content-type": "application/json"}


class _Ended(Exception):
    """The connection is gone, from either side."""


class Playback(Response):
    """The response to a message request; does what its plan says when the server calls it."""

    def __init__(
        self, standin: Standin, plan: Plan | Refused, *, stream: bool, organization: str
    ) -> None:
        super().__init__()
        self._standin, self._plan, self._stream = standin, plan, stream
        self._common = {"request-id": plan.request_id, "anthropic-organization-id": organization}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play the answer to its end or to the end of the connection, whichever comes first."""
        wire = _Wire(scope, receive, send)
        try:
            match self._plan:
                case Refused():
                    await self._refuse(wire, self._plan)
                case Plan():
                    await self._answer(wire, self._plan)
        except _Ended:
            pass
        finally:
            wire.done()

    async def _refuse(self, wire: _Wire, refused: Refused) -> None:
        await wire.pause(refused.delay_seconds)
        headers = {**_JSON, **self._common, **refused.problem.headers}
        body = json.dumps(refused.problem.body(refused.request_id)).encode()
        await wire.start(refused.problem.status, {**headers, "content-length": str(len(body))})
        await wire.send(body, last=True)

    async def _answer(self, wire: _Wire, plan: Plan) -> None:
        begun = False
        try:
            await wire.pause(plan.behaviour.delay_seconds)
            if plan.behaviour.kind == "drop":
                await wire.cut()
            begun = True
        finally:
            if not begun:
                self._standin.abandon(plan)
        self._standin.begin(plan)
        sent = _Sent(plan)
        try:
            await (
                self._events(wire, plan, sent) if self._stream else self._whole(wire, plan, sent)
            )
        finally:
            if not sent.settled:
                self._cut(plan, sent)

    async def _whole(self, wire: _Wire, plan: Plan, sent: _Sent) -> None:
        await wire.pause(plan.behaviour.seconds)
        sent.deltas = sent.of // 2
        if plan.behaviour.kind == "error_event":
            self._cut(plan, sent)
            await self._refuse(wire, Refused(Problem(529), plan.request_id))
            return
        await self._half_way(wire, plan, sent)
        self._complete(plan, sent)
        body = json.dumps(plan.answer.message()).encode()
        length = {"content-length": str(len(body))}
        await wire.start(200, {**_JSON, **self._common, **plan.headers, **length})
        await wire.send(body, last=True)

    async def _events(self, wire: _Wire, plan: Plan, sent: _Sent) -> None:
        await wire.start(200, {**_SSE, **self._common, **plan.headers})
        half, pause = sent.of // 2, plan.behaviour.seconds / (sent.of or 1)
        for event in plan.answer.events(plan.behaviour.chunks):
            if event["type"] == "message_delta":
                self._complete(plan, sent)
            await wire.send(sse(event))
            is_delta = event["type"] == "content_block_delta"
            sent.deltas += is_delta
            if is_delta:
                await wire.pause(pause)
            if (is_delta and sent.deltas == half) or (not half and event["type"] == "ping"):
                await self._half_way(wire, plan, sent)
        await wire.send(b"", last=True)

    async def _half_way(self, wire: _Wire, plan: Plan, sent: _Sent) -> None:
        match plan.behaviour.kind:
            case "cut":
                self._cut(plan, sent)
                await wire.cut()
            case "stall":
                await self._stall(wire, plan.behaviour.max_stall_seconds)
            case "error_event":
                self._cut(plan, sent)
                error: dict[str, Any] = Problem(529).body(plan.request_id)
                await wire.send(sse({"type": "error", "error": error["error"]}), last=True)
                raise _Ended
            case _:
                pass

    async def _stall(self, wire: _Wire, seconds: float) -> None:
        gate = self._standin.gate()
        try:
            if not await wire.wait_for(gate, seconds):
                await wire.cut()
        finally:
            self._standin.forget(gate)

    def _complete(self, plan: Plan, sent: _Sent) -> None:
        self._standin.settle(plan, "completed", plan.answer.usage.output_tokens)
        sent.settled = True

    def _cut(self, plan: Plan, sent: _Sent) -> None:
        self._standin.settle(plan, "cut", sent.output_tokens())
        sent.settled = True


class _Sent:
    """How much of an answer has left."""

    def __init__(self, plan: Plan) -> None:
        self.of = plan.answer.deltas(plan.behaviour.chunks)
        self.deltas = 0
        self.settled = False
        self._output_tokens = plan.answer.usage.output_tokens

    def output_tokens(self) -> int:
        """The share of the output tokens that goes with what has been sent; at least one once the
        answer began.
        """
        share = self._output_tokens * self.deltas // (self.of or 1)
        return max(share, min(1, self._output_tokens))


class _Wire:
    """The connection: everything that waits on it raises `_Ended` once it is gone."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._transport: asyncio.Transport | None = scope.get("state", {}).get("transport")
        self._send = send
        self._gone = asyncio.ensure_future(_disconnected(receive))

    def done(self) -> None:
        self._gone.cancel()

    async def start(self, status: int, headers: dict[str, str]) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def send(self, body: bytes, *, last: bool = False) -> None:
        await asyncio.sleep(0)  # lets a disconnect that is already known be seen
        if self._gone.done():
            raise _Ended
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})

    async def pause(self, seconds: float) -> None:
        if seconds:
            await asyncio.wait({self._gone}, timeout=seconds)
        if self._gone.done():
            raise _Ended

    async def wait_for(self, gate: asyncio.Event, seconds: float) -> bool:
        opened = asyncio.ensure_future(gate.wait())
        try:
            await asyncio.wait(
                {self._gone, opened}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            opened.cancel()
        if self._gone.done():
            raise _Ended
        return gate.is_set()

    async def cut(self) -> None:
        """Close the connection after what was written, and end."""
        if self._transport is None:
            raise RuntimeError("only the server of api.demo.server can cut connections")
        self._transport.close()
        await asyncio.wait({self._gone}, timeout=5)  # a closed transport reports within a loop turn
        raise _Ended


async def _disconnected(receive: Receive) -> None:
    message: Message = {}
    while message.get("type") != "http.disconnect":
        message = await receive()

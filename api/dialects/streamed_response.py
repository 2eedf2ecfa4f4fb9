"""A streamed answer on its way out: to a caller who may hang up, from a service that may stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.web.problems.kinds import Stopping
from api.web.stream.waiting import attended


class StreamedResponse(StreamingResponse):
    """The frames of an answer, and what becomes of its run when its caller is gone."""

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

"""One connection to the HTTP server: how long a request may take to arrive.

uvicorn waits for ever for a head that was begun, and for a body that nobody reads. Here each has
its time: who opens connections and dribbles bytes is cut off, and takes nobody's place.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from api.web.request.body import BODY_SECONDS
from api.web.request.head import HEADERS

KEEP_ALIVE_SECONDS = 120
"""For an idle connection. A client that uses one just as it is closed loses its request, and may
not send a POST again: so it is kept for longer than clients and proxies keep theirs (75 to 90 s).
"""
TOLD_KEEP_ALIVE_SECONDS = 75
"""What answers say of it: some clients, Node's among them, keep one for as long as it says,
or for ever."""
HEAD_SECONDS = 20.0
"""From the opening, or the first byte of a later request, to the end of the headers."""
MESSAGE_SECONDS = BODY_SECONDS + 15.0
"""From the end of the headers to the end of the body, refused or not: what is left of a refused one
is read and dropped, since who is still sending would lose the answer to a connection that closes.
Longer than ``BODY_SECONDS``, after which there is an answer that says so."""

READ_BYTES = 16_384
"""What is read of a connection before others have their turn. All that was read is parsed at once:
a quarter of a megabyte, as asyncio reads it, in chunks of a byte took 0.3 s of everybody's time."""

_BAD_REQUEST = b"this is no HTTP request that can be read: mend it, or send fewer headers"


class Connection(H11Protocol):
    """uvicorn's protocol, with deadlines for what comes."""

    _stage: Any = None
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined] # of asyncio's own transports
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch(is_resting=self.conn.their_state is h11.IDLE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose next request came together with the end of the
        answer before is not idle, though nobody has stopped its timer.
        """
        cycle: RequestResponseCycle | None = self.cycle  # None at first, whatever uvicorn declares
        if cycle is None or cycle.response_complete:
            super().timeout_keep_alive_handler()

    def _watch(self, *, is_resting: bool = False) -> None:
        """Set a deadline where the other side's turn begins, and leave it while that lasts. While
        it rests between two requests, uvicorn's own timer runs.
        """
        stage = None if is_resting else self.conn.their_state
        if stage is self._stage:
            return
        self._stage = stage
        self._forget_deadline()
        limits = {h11.IDLE: HEAD_SECONDS, h11.SEND_BODY: MESSAGE_SECONDS}
        if stage is not None and (seconds := limits.get(stage)) is not None:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's name and words
        """Answer that it is no HTTP, as safely as everything else, where that can be done."""
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.abort()
            return
        headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        headers_ = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        start = h11.Response(status_code=400, headers=[*headers, *headers_], reason=b"Bad Request")
        for event in (start, h11.Data(data=_BAD_REQUEST), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

"""The head of a request and of every answer.

What comes: bounded, address and headers together. What goes: headers that keep browsers from
guessing, framing, caching and telling others. A route that knows better sets its own; other
origins are never let in (no CORS), which a test holds.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pool.errors import PoolError

MAX_HEAD_BYTES = 32_768
"""Of the address and all headers: room for a key, a trace and a cursor several times over."""

_LENGTHS = {b"content-length", b"transfer-encoding"}

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""What an answer carries unless its route says something else."""


class HeadTooLarge(PoolError):
    """An address and headers of more bytes than this service reads."""

    limit: int

    def __str__(self) -> str:
        return f"the address and headers are larger than {self.limit} bytes: send less"


class AmbiguousLength(PoolError):
    """A request that says twice, in two ways, where its body ends."""

    def __str__(self) -> str:
        return (
            "the request has a Content-Length beside a Transfer-Encoding, and whoever stands "
            "between may go by the other one: send one of them"
        )


class HeadLimit:
    """Refuses a head that is too large, or of two meanings, whichever HTTP server read it."""

    def __init__(self, app: ASGIApp, limit: int = MAX_HEAD_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
            size += sum(len(name) + len(value) for name, value in scope["headers"])
            if size > self._limit:
                raise HeadTooLarge(self._limit)
            if {name.lower() for name, _ in scope["headers"]} >= _LENGTHS:
                raise AmbiguousLength
        await self._app(scope, receive, send)


class SecurityHeaders:
    """Puts ``HEADERS`` on every answer that does not have them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, guarded)

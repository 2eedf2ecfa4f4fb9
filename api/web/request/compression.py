"""Bodies that come compressed: unpacked as they are read, in slices, never beyond the limit.

What ``BodyLimit`` counts is what comes over the line; here what it turns into is counted too, so
that a small body that unpacks to gigabytes costs one slice of memory.
"""

from __future__ import annotations

import zlib
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.web.request.body import MAX_BODY_BYTES, BodyTooLarge
from pool.errors import BadField

SLICE_BYTES = 64_000
CODINGS = ("gzip", "deflate")
"""What the standard library reads."""
_HEADER = "Content-Encoding"


class UnknownCoding(BadField):
    """A body in a coding that is not read here."""


class BrokenCoding(BadField):
    """A body that is not coded as its header says."""


class ContentCoding:
    """Unpacks what comes, for the application behind it."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        coding = _coding(scope) if scope["type"] == "http" else ""
        if coding not in {"", "identity"}:
            receive = _Unpacking(coding, receive, self._limit).next
        await self._app(scope, receive, send)


def _coding(scope: Scope) -> str:
    sent = ",".join(Headers(scope=scope).getlist("content-encoding"))
    return sent.strip().lower().removeprefix("x-")


class _Unpacking:
    """One body on its way: each call unpacks at most a slice."""

    def __init__(self, coding: str, receive: Receive, limit: int) -> None:
        if coding not in CODINGS:
            known = " or ".join(CODINGS)
            raise UnknownCoding(_HEADER, f"send the body as it is, or as {known}")
        self._coding = coding
        self._receive = receive
        self._left = limit
        self._limit = limit
        self._packed = b""
        self._unpacker: Any = None
        self._is_all = False
        """Nothing more comes over the line."""
        self._has_ended = False

    async def next(self) -> Message:
        if self._has_ended:
            return await self._receive()
        needed = 1 if self._unpacker else 2  # what tells the two kinds of deflate apart
        while len(self._packed) < needed and not self._is_all:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._packed += message.get("body", b"")
            self._is_all = not message.get("more_body", False)
        slice_ = self._unpacked()
        self._left -= len(slice_)
        if self._left < 0:
            raise BodyTooLarge(self._limit)
        self._has_ended = self._is_all and not self._packed and not slice_
        if self._has_ended and self._unpacker is not None and not self._unpacker.eof:
            raise self._broken()
        return {"type": "http.request", "body": slice_, "more_body": not self._has_ended}

    def _broken(self) -> BrokenCoding:
        return BrokenCoding(
            _HEADER, f"the body is no whole {self._coding}: mend it, or send it plain"
        )

    def _unpacked(self) -> bytes:
        if self._unpacker is None:
            if not self._packed:
                return b""
            self._unpacker = zlib.decompressobj(_window(self._coding, self._packed))
        try:
            slice_: bytes = self._unpacker.decompress(self._packed, SLICE_BYTES)
        except zlib.error:
            raise self._broken() from None
        self._packed = self._unpacker.unconsumed_tail
        if self._unpacker.unused_data:
            raise self._broken()
        return slice_


def _window(coding: str, begins: bytes) -> int:
    """How zlib learns what comes. As ``deflate`` some send zlib's format, as they should, and
    others the bare stream.
    """
    if coding == "gzip":
        return zlib.MAX_WBITS + 16
    is_zlib = begins[0] & 0x0F == 8 and int.from_bytes(begins[:2].ljust(2, b"\0")) % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS

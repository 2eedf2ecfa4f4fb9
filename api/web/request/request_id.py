"""An id for every request, in every answer: what a caller quotes when it asks what went wrong.

It is made here and never taken from the caller. Two header names, because each of the official
SDKs reads its own.
"""

from __future__ import annotations

import os
from typing import cast

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.telemetry import logs

HEADERS = ("request-id", "x-request-id")


def new_request_id() -> str:
    return f"req_{os.urandom(12).hex()}"


def request_id_of(scope: Scope) -> str:
    """The id of a request that went through ``RequestIds``."""
    return cast("str", scope["state"]["request_id"])


class RequestIds:
    """The layer around all others: it names the request before anything can fail."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id_ = scope.setdefault("state", {})["request_id"] = new_request_id()
        logs.about(request_id=id_)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in HEADERS:
                    headers[name] = id_
            await send(message)

        await self._app(scope, receive, named)

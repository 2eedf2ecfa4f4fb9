"""Reading request bodies: bounded, declared as JSON, and parsed strictly.

The framework would take JSON of any type and size, ``NaN``, lone surrogates, and nesting that ends
in a recursion error. Here each of these is refused for what it is, before a model looks at it, and
no message repeats anything of the body: it may be a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from email.message import Message as Headers
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pool.errors import PoolError

MAX_BODY_BYTES = 2_000_000
"""Twice the longest prompt, since JSON escapes what it must."""


class BodyTooLarge(PoolError):
    """A body of more bytes than this service reads."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the body is larger than {self.limit} bytes: send less"


class NotJson(PoolError):
    """A body that is declared as something else than JSON."""

    def __str__(self) -> str:
        return "the body must be JSON: send it with Content-Type: application/json"


class BrokenJson(PoolError):
    """A body that cannot be parsed."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"the body is no valid JSON: {self.problem}"


class BodyLimit:
    """Refuses a body by its announced length, and by what really comes."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._limit:
            raise BodyTooLarge(self._limit)
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._limit:
                raise BodyTooLarge(self._limit)
            return message

        return counted


class _JsonRequest(Request):
    """A request whose body was read and parsed."""

    def __init__(self, request: Request, body: bytes, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._body, self._json = body, value


def _is_json(content_type: str) -> bool:
    headers = Headers()
    headers["content-type"] = content_type
    return headers.get_content_type() == "application/json"


async def _parsed(request: Request) -> Request:
    if not _is_json(request.headers.get("content-type", "")):
        raise NotJson
    body = await request.body()
    if not body.strip():
        raise BrokenJson("it is empty")
    try:
        return _JsonRequest(request, body, from_json(body, allow_inf_nan=False))
    except ValueError as error:  # says what was expected and where, never what stood there
        raise BrokenJson(str(error)) from None


class JsonRoute(APIRoute):
    """A route that parses its body, if it takes one, before the framework does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(await _parsed(request) if self.body_field else request)

        return handler

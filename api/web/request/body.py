"""Reading request bodies: bounded, in time, declared as JSON, and parsed strictly.

The framework would take JSON of any type and size, ``NaN``, lone surrogates, names that stand
twice, and nesting that ends in a recursion error. Here each of these is refused for what it is,
before a model looks at it, and no message repeats anything of the body: it may be a prompt.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from email.message import Message as Headers
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pool.errors import PoolError

MAX_BODY_BYTES = 10_000_000
"""As much as the CLI reads: images in base64, and the longest prompt beside them."""
MAX_VALUES = 20_000
"""Names and values in a body. What is wrong with each of them is found before any is reported: a
hundred thousand took four seconds, in which nobody else was answered."""
MOST_VALUES = 200_000
"""Where a body is a long list by nature: conversations, and exports of telemetry."""
MAX_NESTING = 64
"""Levels of objects and lists. A stored row stays readable: the parser stops at 200."""
BODY_SECONDS = 60.0
"""For the largest body over a line of 1.5 megabits a second."""


class BodyTooLarge(PoolError):
    """A body of more bytes than this service reads."""

    limit: int

    def __str__(self) -> str:
        return f"the body is larger than {self.limit} bytes: send less"


class BodyTooSlow(PoolError):
    """A body that did not come to its end in time."""

    seconds: float

    def __str__(self) -> str:
        return f"the body did not arrive within {self.seconds:g} s: send it again, in one go"


class BodyTooIntricate(PoolError):
    """A body that is nested deeper, or holds more values, than anything this service takes."""

    problem: str

    def __str__(self) -> str:
        return f"the body {self.problem}: simplify it"


class NotJson(PoolError):
    """A body that is declared as something else than JSON."""

    def __str__(self) -> str:
        return "the body must be JSON: send it with Content-Type: application/json"


class BrokenJson(PoolError):
    """A body that cannot be parsed."""

    problem: str

    def __str__(self) -> str:
        return f"the body is no valid JSON: {self.problem}"


class BodyLimit:
    """Refuses a body by its announced length, by what really comes, and by how long it takes."""

    def __init__(
        self, app: ASGIApp, limit: int = MAX_BODY_BYTES, seconds: float = BODY_SECONDS
    ) -> None:
        self._app = app
        self._limit = limit
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._limit:
            raise BodyTooLarge(self._limit)
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        came, more = 0, True
        until = asyncio.get_running_loop().time() + self._seconds

        async def counted() -> Message:
            nonlocal came, more
            message = await (self._in_time(receive, until) if more else receive())
            more = message.get("more_body", False)
            came += len(message.get("body", b""))
            if came > self._limit:
                raise BodyTooLarge(self._limit)
            return message

        return counted

    async def _in_time(self, receive: Receive, until: float) -> Message:
        try:
            async with asyncio.timeout_at(until):
                return await receive()
        except TimeoutError:
            raise BodyTooSlow(self._seconds) from None


# -- JSON ----------------------------------------------------------------------------------------

_OPENING, _CLOSING = b"[{", b"]}"
_NO_MARKS = bytes(set(range(256)) - set(_OPENING + _CLOSING + b","))


def _measure(body: bytes, max_values: int) -> None:
    """Raise ``BodyTooIntricate`` before anything is built of a body, valid or not.

    Linear, whatever it is given: the largest body takes less than 0.1 s. Strings are what stands
    between every other quote, once escaped ones are out; a value has two strings at most, its
    name's and its own, so that quotes are bounded before strings are known.
    """
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 4 * (max_values + 1):
        raise BodyTooIntricate(f"holds more than {max_values} values")
    marks = b"".join(plain.split(b'"')[::2]).translate(None, _NO_MARKS)
    closed = sum(marks.count(mark) for mark in (b"]", b"}"))
    if len(marks) - closed > max_values:  # a value follows its comma, or what it is the first of
        raise BodyTooIntricate(f"holds more than {max_values} values")
    depth = 0
    for mark in marks[: 2 * max_values]:  # what is longer closes more than it opens
        depth += (mark in _OPENING) - (mark in _CLOSING)
        if depth > MAX_NESTING:
            raise BodyTooIntricate(f"is nested deeper than {MAX_NESTING} levels")


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object none of whose names stands twice: readers differ in which of the two counts."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is larger than any that can be told")
    return number


def _value(body: bytes) -> Any:
    """What a body that was measured holds."""
    try:
        from_json(body, allow_inf_nan=False)  # strict in all but what the next line refuses
        return json.loads(body, object_pairs_hook=_named_once, parse_float=_finite)
    except ValueError as error:  # says what was expected and where, never what stood there
        raise BrokenJson(str(error)) from None


async def _json(body: bytes, max_values: int) -> Any:
    """The same in steps between which others have their turn: no thread could give it to them,
    since each is one call that holds the interpreter.
    """
    if not body or body.isspace():
        raise BrokenJson("it is empty")
    _measure(body, max_values)
    await asyncio.sleep(0)
    value = _value(body)
    await asyncio.sleep(0)
    return value


class _JsonRequest(Request):
    """A request whose body was read and parsed."""

    def __init__(self, request: Request, body: bytes, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._body, self._json = body, value


def _is_json(content_type: str) -> bool:
    headers = Headers()
    headers["content-type"] = content_type
    return headers.get_content_type() == "application/json"


async def _parsed(request: Request, max_values: int) -> Request:
    if not _is_json(request.headers.get("content-type", "")):
        raise NotJson
    body = await request.body()
    return _JsonRequest(request, body, await _json(body, max_values))


class JsonRoute(APIRoute):
    """A route that parses its body, if it takes one, before the framework does."""

    max_values = MAX_VALUES

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(
                await _parsed(request, self.max_values) if self.body_field else request
            )

        return handler


class RoomyJsonRoute(JsonRoute):
    """A route for long lists, whose reading stops at the first thing that is wrong."""

    max_values = MOST_VALUES

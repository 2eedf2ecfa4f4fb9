"""The layer in which errors become answers, and how they leave."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import cast

from fastapi import Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.web.problems.kinds import Stopping, kind_of
from api.web.problems.problem import MEDIA_TYPE, Problem, problem_for
from api.web.request.compression import CODINGS, UnknownCoding
from api.web.request.head import AmbiguousLength
from pool.errors import Exhausted, KeyLimited, PoolError

ErrorFormat = Callable[[Scope, Problem, Mapping[str, str]], Response]
"""Puts a problem into the shape that the callers of an address expect."""


def _tell(_: Scope, problem: Problem, headers: Mapping[str, str]) -> Response:
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, headers, media_type=MEDIA_TYPE)


def response(scope: Scope, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """A problem on its way out, in the shape of its address."""
    tell = cast("ErrorFormat", scope.get("state", {}).get("tell", _tell))
    return tell(scope, problem, headers or {})


def _retry_after(error: PoolError, now: datetime) -> int | None:
    """Whole seconds until asking again may help."""
    retry_at = error.retry_at if isinstance(error, Exhausted | KeyLimited) else None
    if retry_at is None:
        return kind_of(error).retry_after_seconds
    return max(1, math.ceil((retry_at - now).total_seconds()))


def _headers(error: Exception, now: datetime) -> dict[str, str]:
    if not isinstance(error, PoolError):
        return {}
    headers = {"WWW-Authenticate": "Bearer"} if kind_of(error).status == 401 else {}
    if isinstance(error, AmbiguousLength):  # what follows may be meant as another request
        headers["Connection"] = "close"
    if isinstance(error, UnknownCoding):
        headers["Accept-Encoding"] = ", ".join(CODINGS)
    seconds = _retry_after(error, now)
    return headers if seconds is None else {**headers, "Retry-After": str(seconds)}


class Answering:
    """The layer in which every error becomes a problem, or the error of its address's dialect."""

    def __init__(
        self,
        app: ASGIApp,
        clock: Callable[[], datetime],
        error_format_of: Callable[[Scope], ErrorFormat | None],
    ) -> None:
        self._app = app
        self._clock = clock
        self._error_format_of = error_format_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False
        self._choose_error_format(scope)

        async def watched(message: Message) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if began:
                raise
            # Only uvicorn cancels, at its end, and this is the last thing its task does.
            await self._answer(scope, Stopping())(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            answer = self._answer(scope, error)
            if not began:
                await answer(scope, receive, send)

    def _answer(self, scope: Scope, error: Exception) -> Response:
        problem = problem_for(error, str(scope.get("path")))
        return response(scope, problem, _headers(error, self._clock()))

    def _choose_error_format(self, scope: Scope) -> None:
        tell = self._error_format_of(scope)
        if tell is not None:
            scope.setdefault("state", {})["tell"] = tell

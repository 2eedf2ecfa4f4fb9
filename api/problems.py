"""How errors are told over HTTP: RFC 9457 problems, and one table from errors to statuses.

A problem says what happened, to what, and what to do next. It never repeats a value that was sent:
that may be a prompt. What nobody expected is a 500 without details; the log has the place where it
happened, and no values either.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.body import BodyTooLarge, BrokenJson, NotJson
from api.keys import Forbidden, Foreign, Unauthorized
from pool.errors import (
    BadField,
    Conflict,
    Exhausted,
    KeyReused,
    NotFound,
    PeerLost,
    PoolError,
    StoreError,
    Unavailable,
)
from pool.execution import Execution
from pool.outcome import FailureKind
from pool.value import Value

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
MAX_FIELD = 200


class NotReady(PoolError):
    """The process lives, but the pool behind it cannot be used yet."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class Stopping(PoolError):
    """The service ends while a request still waits; what it asked for goes on."""

    def __str__(self) -> str:
        return (
            "the service is stopping, and what runs goes on: ask again with the same "
            "Idempotency-Key, or look for it under /v1/executions"
        )


class FieldProblem(Value):
    """What is wrong with one field, by its dotted path."""

    field: str
    problem: str


class Problem(Value):
    """The body of every answer that is an error."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    errors: tuple[FieldProblem, ...] | None = None
    execution_id: str | None = None
    reason: str | None = None


class Kind(NamedTuple):
    """How one class of errors is told."""

    status: int
    type: str
    title: str
    retry_after_seconds: int | None = None
    """Where asking again later may help and nobody knows when."""


KINDS: dict[type[PoolError], Kind] = {
    BrokenJson: Kind(400, "broken-json", "The body is no valid JSON"),
    Unauthorized: Kind(401, "unauthorized", "A key is needed"),
    Foreign: Kind(403, "foreign", "This pool answers its own machine alone"),
    Forbidden: Kind(403, "forbidden", "The key does not allow this"),
    NotFound: Kind(404, "not-found", "Nothing is known by this id"),
    Conflict: Kind(409, "conflict", "It does not fit the present state"),
    BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    NotJson: Kind(415, "not-json", "The body must be JSON"),
    BadField: Kind(422, "invalid-request", "The request cannot be accepted"),
    KeyReused: Kind(422, "key-reused", "The Idempotency-Key was used for another request"),
    Exhausted: Kind(429, "exhausted", "No subscription has headroom", 30),
    Unavailable: Kind(503, "unavailable", "No subscription is usable", 30),
    PeerLost: Kind(503, "peer-lost", "A part of the pool does not answer", 2),
    StoreError: Kind(503, "store-error", "The pool cannot keep anything at the moment", 5),
    Stopping: Kind(503, "stopping", "The service is stopping", 5),
    NotReady: Kind(503, "not-ready", "The pool is not ready", 2),
    PoolError: Kind(500, "internal-error", "Something went wrong"),
}
"""Subclasses share the line of the nearest class that has one."""

_HTTP = {
    404: Kind(404, "no-such-route", "There is nothing at this address"),
    405: Kind(405, "method-not-allowed", "This address does not take this method"),
}
_HINTS = {404: "see /docs for all there is", 405: "see the Allow header, or /docs"}
_UNEXPECTED = Kind(500, "internal-error", "Something went wrong")
_INVALID = KINDS[BadField]


def kind_of(error: PoolError) -> Kind:
    """The line of the table that an error falls under."""
    return next(KINDS[each] for each in type(error).__mro__ if each in KINDS)


def _problem(kind: Kind, detail: str, **extra: Any) -> Problem:
    return Problem(
        type=f"urn:claude-pool:{kind.type}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        **extra,
    )


def problem_of(error: PoolError) -> Problem:
    """An error as it is told to its caller."""
    known = ("field", "execution_id", "reason")
    extra = {name: getattr(error, name) for name in known if hasattr(error, name)}
    return _problem(kind_of(error), str(error), **extra)


def _retry_after(error: PoolError, now: datetime) -> int | None:
    """Whole seconds until asking again may help."""
    retry_at = error.retry_at if isinstance(error, Exhausted) else None
    if retry_at is None:
        return kind_of(error).retry_after_seconds
    return max(1, math.ceil((retry_at - now).total_seconds()))


def _headers(error: PoolError, now: datetime) -> dict[str, str]:
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else {}
    seconds = _retry_after(error, now)
    return headers if seconds is None else {**headers, "Retry-After": str(seconds)}


def response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """A problem on its way out."""
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, headers, media_type=MEDIA_TYPE)


# -- what ended without an answer ----------------------------------------------------------------

_EXHAUSTED = {FailureKind.USAGE_LIMIT, FailureKind.RATE_LIMITED}
_UNUSABLE = {
    FailureKind.AUTHENTICATION,
    FailureKind.CREDIT_EXHAUSTED,
    FailureKind.OVERLOADED,
    FailureKind.NOT_STARTED,
}


def served(execution: Execution) -> Execution:
    """An ended execution, unless its seat turned it away before any output.

    Then ``Exhausted`` or ``Unavailable`` with its id. It has ended all the same, so asking again
    takes a new idempotency key.
    """
    error = execution.error
    if error is None:
        return execution
    reason = f"{error.type}: {error.message} (ask again as a new request)"
    if error.type in _EXHAUSTED:
        raise Exhausted(execution.id, reason, error.retry_at)
    if error.type in _UNUSABLE:
        raise Unavailable(execution.id, reason)
    return execution


# -- what the framework finds --------------------------------------------------------------------


def _field(location: Sequence[int | str]) -> str:
    path = ".".join(str(part) for part in location[1:]) or str(location[0])
    return path if len(path) <= MAX_FIELD else path[:MAX_FIELD] + "..."


def _field_problem(error: dict[str, Any]) -> FieldProblem:
    problem = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        problem = "is not a known field: remove it or mend its name"
    return FieldProblem(field=_field(error["loc"]), problem=problem)


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    found = [_field_problem(each) for each in error.errors()]
    detail = "; ".join(f"{each.field}: {each.problem}" for each in found[:3])
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    errors = tuple(found[:MAX_ERRORS])
    return response(_problem(_INVALID, detail + more, field=found[0].field, errors=errors))


async def _refused(_: Request, error: HTTPException) -> Response:
    status = error.status_code
    kind = _HTTP.get(status, Kind(status, "http-error", "The request cannot be answered"))
    headers = dict(error.headers) if error.headers else None
    return response(_problem(kind, _HINTS.get(status, str(error.detail))), headers)


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    RequestValidationError: _invalid,
    HTTPException: _refused,
}


class Answering:
    """The outermost layer: every error leaves as a problem."""

    def __init__(self, app: ASGIApp, clock: Callable[[], datetime]) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

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
        if isinstance(error, PoolError) and kind_of(error).status != 500:
            return response(problem_of(error), _headers(error, self._clock()))
        log.error("request failed", exc_info=error, extra={"path": scope.get("path")})
        return response(_problem(_UNEXPECTED, "nothing more can be told here; the log has it"))


Responses = dict[int | str, dict[str, Any]]


def documented(*statuses: int) -> Responses:
    """Problem responses for the OpenAPI document."""
    titles = {kind.status: kind.title for kind in reversed([*KINDS.values(), *_HTTP.values()])}
    return {status: {"model": Problem, "description": titles[status]} for status in statuses}

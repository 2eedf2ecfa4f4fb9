"""Problems: errors over HTTP by RFC 9457, and one table from errors to statuses.

A problem says what happened, to what, and what to do next. It never repeats a value that was sent:
that may be a prompt. What nobody expected is a 500 without details; the log has the place where it
happened, and no values either.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.web.addresses import hint, method_hint
from api.web.authentication import Forbidden, Foreign, OperatorNeeded, Unauthorized
from api.web.dialect_errors import RunFailed, Unsupported
from api.web.guesses import TooManyGuesses
from api.web.request.body import BodyTooIntricate, BodyTooLarge, BodyTooSlow, BrokenJson, NotJson
from api.web.request.compression import CODINGS, BrokenCoding, UnknownCoding
from api.web.request.head import AmbiguousLength, HeadTooLarge
from pool.errors import (
    ActorLost,
    AnswerRemoved,
    BadField,
    Conflict,
    Exhausted,
    KeyEnded,
    KeyLimited,
    KeyReused,
    ModelRefused,
    NotFound,
    NotPermitted,
    NotSupported,
    OverBudget,
    PoolError,
    RateLimited,
    SessionGone,
    StoreError,
    TooManyAtOnce,
    Unavailable,
    UnknownModel,
)
from pool.executions.execution import Execution
from pool.executions.outcome import FailureKind
from pool.executions.schemas.answer_schema import place_inside
from pool.values import Value

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:claude-pool:"
MAX_ERRORS = 20
MAX_FIELD = 200


class NotReady(PoolError):
    """The process lives, but the pool behind it cannot be used yet."""

    problem: str

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
    """The answer to one class of errors."""

    status: int
    type: str
    title: str
    retry_after_seconds: int | None = None
    """Where asking again later may help and nobody knows when."""


KINDS: dict[type[PoolError], Kind] = {
    BrokenJson: Kind(400, "broken-json", "The body is no valid JSON"),
    AmbiguousLength: Kind(400, "ambiguous-length", "The request's length is given twice"),
    BrokenCoding: Kind(400, "broken-coding", "The body is not coded as its header says"),
    Unauthorized: Kind(401, "unauthorized", "A key is needed"),
    KeyEnded: Kind(401, "key-ended", "The key opens nothing any more"),
    OperatorNeeded: Kind(403, "operator-needed", "This takes the operator's key"),
    Foreign: Kind(403, "foreign", "This pool answers its own machine alone"),
    Forbidden: Kind(403, "forbidden", "The key does not allow this"),
    NotPermitted: Kind(403, "not-permitted", "The key does not cover this"),
    SessionGone: Kind(404, "session-not-found", "The session cannot be gone on with"),
    NotFound: Kind(404, "not-found", "Nothing is known by this id"),
    ModelRefused: Kind(404, "model-refused", "No subscription may use this model"),
    BodyTooSlow: Kind(408, "body-too-slow", "The body did not arrive in time", 1),
    Conflict: Kind(409, "conflict", "It does not fit the present state"),
    UnknownModel: Kind(404, "model-not-found", "No subscription has this model"),
    AnswerRemoved: Kind(410, "answer-removed", "The answer is not kept any more"),
    BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    BodyTooIntricate: Kind(413, "body-too-intricate", "The body is nested too deep or too full"),
    NotJson: Kind(415, "not-json", "The body must be JSON"),
    UnknownCoding: Kind(415, "unknown-coding", "The body's coding is not read here"),
    BadField: Kind(422, "invalid-request", "The request cannot be accepted"),
    Unsupported: Kind(422, "unsupported", "The pool cannot do this"),
    HeadTooLarge: Kind(431, "head-too-large", "The address and headers are too large"),
    KeyReused: Kind(422, "key-reused", "The Idempotency-Key was used for another request"),
    Exhausted: Kind(429, "exhausted", "No subscription has headroom", 30),
    RunFailed: Kind(502, "run-failed", "The run ended without an answer"),
    TooManyGuesses: Kind(429, "too-many-guesses", "Too many unknown keys came from here", 1),
    RateLimited: Kind(429, "rate-limited", "The key makes requests too fast", 1),
    TooManyAtOnce: Kind(429, "too-many-at-once", "The key has as much running as it may", 2),
    OverBudget: Kind(429, "over-budget", "The key has spent its budget", 30),
    KeyLimited: Kind(429, "key-limited", "The key has no allowance left", 30),
    Unavailable: Kind(503, "unavailable", "No subscription is usable", 30),
    ActorLost: Kind(503, "peer-lost", "A part of the pool does not answer", 2),
    StoreError: Kind(503, "store-error", "The pool cannot keep anything at the moment", 5),
    Stopping: Kind(503, "stopping", "The service is stopping", 5),
    NotReady: Kind(503, "not-ready", "The pool is not ready", 2),
    NotSupported: Kind(501, "not-supported", "This pool cannot do that"),
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
        type=f"{TYPE_PREFIX}{kind.type}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        **extra,
    )


def problem_of(error: PoolError) -> Problem:
    """An error as its caller gets it."""
    known = ("field", "execution_id", "reason")
    extra = {name: getattr(error, name) for name in known if getattr(error, name, None)}
    return _problem(kind_of(error), str(error), **extra)


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


def problem_for(error: Exception, path: str) -> Problem:
    """Any error as its caller gets it. The unexpected is logged, and shown without details."""
    if isinstance(error, PoolError) and kind_of(error).status != 500:
        return problem_of(error)
    log.error("request failed", exc_info=error, extra={"path": path})
    return _problem(_UNEXPECTED, "nothing more can be told here; the log has it")


ErrorFormat = Callable[[Scope, Problem, Mapping[str, str]], Response]
"""Puts a problem into the shape that the callers of an address expect."""


def _tell(_: Scope, problem: Problem, headers: Mapping[str, str]) -> Response:
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, headers, media_type=MEDIA_TYPE)


def response(scope: Scope, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """A problem on its way out, in the shape of its address."""
    tell = cast("ErrorFormat", scope.get("state", {}).get("tell", _tell))
    return tell(scope, problem, headers or {})


# -- what ended without an answer ----------------------------------------------------------------

_EXHAUSTED = {
    FailureKind.USAGE_LIMIT,
    FailureKind.RATE_LIMITED,
    FailureKind.SPEND_LIMIT,
    FailureKind.QUEUE_TIMEOUT,
}
_UNUSABLE = {
    FailureKind.AUTHENTICATION,
    FailureKind.ACCESS_DENIED,
    FailureKind.ACCOUNT_DISABLED,
    FailureKind.CREDIT_EXHAUSTED,
    FailureKind.STARTUP_FAILED,
    FailureKind.OVERLOADED,
    FailureKind.NOT_STARTED,
    FailureKind.SESSION_NOT_MOVED,
}


def served(execution: Execution) -> Execution:
    """An ended execution, unless it was turned away before any output: by its subscription, by one
    that does not have its model while others could not be asked, or since its session is gone.

    Then ``Exhausted``, ``Unavailable`` or ``SessionGone`` with its id. It has ended all the same,
    so asking again takes a new idempotency key.
    """
    error = execution.error
    if error is None:
        return execution
    if error.type == FailureKind.SESSION_NOT_FOUND:
        raise SessionGone(execution.id, error.message)
    reason = f"{error.type}: {error.message} (ask again as a new request)"
    if error.type in _EXHAUSTED or error.others == "exhausted":
        raise Exhausted(execution.id, reason, error.retry_at)
    if error.type in _UNUSABLE or error.others == "unavailable":
        raise Unavailable(execution.id, reason)
    return execution


# -- what the framework finds --------------------------------------------------------------------

_NO_OBJECT = frozenset({"model_type", "model_attributes_type", "dict_type"})


def _sent_place(error: Mapping[str, Any], body: Any) -> list[str]:
    """Where an error lies in what was sent. Between its steps stand branches of unions, tags and
    functions that only this code knows: they are no part of the body, and are left out.
    """
    source, *steps = error["loc"]
    if source != "body":
        return [str(step) for step in steps or [source]]
    place: list[int | str] = []
    part = body
    for at, step in enumerate(steps):
        is_lacking = error["type"] == "missing" and at == len(steps) - 1
        if isinstance(part, dict) and (step in part or is_lacking):
            place, part = [*place, step], part.get(step)
        elif isinstance(part, list) and isinstance(step, int) and step < len(part):
            place, part = [*place, step], part[step]
    return [str(step) for step in [*place, *place_inside(error)] or [source]]


def _field_problem(error: Mapping[str, Any], body: Any) -> FieldProblem:
    path = ".".join(_sent_place(error, body))
    problem = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        problem = "is not a known field: remove it or mend its name"
    if error["type"] in _NO_OBJECT:
        problem = "should be an object"
    field = path if len(path) <= MAX_FIELD else path[:MAX_FIELD] + "..."
    return FieldProblem(field=field, problem=problem)


def _found(error: RequestValidationError) -> list[FieldProblem]:
    """What is wrong, each thing once. Where something fits a branch of a union but for a part of
    it, that part is what is wrong.
    """
    found = dict.fromkeys(_field_problem(each, error.body) for each in error.errors())
    around = {each.field[: dot.start()] for each in found for dot in re.finditer(r"\.", each.field)}
    return [each for each in found if each.field not in around]


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    found = _found(error)
    detail = "; ".join(f"{each.field}: {each.problem}" for each in found[:3])
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    errors = tuple(found[:MAX_ERRORS])
    problem = _problem(_INVALID, detail + more, field=found[0].field, errors=errors)
    return response(request.scope, problem)


async def _refused(request: Request, error: HTTPException) -> Response:
    status = error.status_code
    kind = _HTTP.get(status, Kind(status, "http-error", "The request cannot be answered"))
    headers = dict(error.headers) if error.headers else None
    hinted = None
    if status == 404:
        hinted = hint(request.url.path, request.headers)
    elif status == 405:
        hinted = method_hint(request.url.path, request.method)
    detail = hinted or _HINTS.get(status, str(error.detail))
    return response(request.scope, _problem(kind, detail), headers)


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    RequestValidationError: _invalid,
    HTTPException: _refused,
}


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


Responses = dict[int | str, dict[str, Any]]


def documented(*statuses: int) -> Responses:
    """Problem responses for the OpenAPI document."""
    titles = {kind.status: kind.title for kind in reversed([*KINDS.values(), *_HTTP.values()])}
    return {status: {"model": Problem, "description": titles[status]} for status in statuses}

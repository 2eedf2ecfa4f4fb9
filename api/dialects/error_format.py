"""Errors in each dialect's own shape, with the status that makes its SDK raise the right class.

A problem of the service keeps its status but where the spoken API has a better one: what is wrong
with a body is a 400 there, subscriptions that are all unusable are Anthropic's 529, and an unknown
model is a 404. 422 is left for what is well said and cannot be done. ``x-should-retry: false``
keeps an SDK from paying twice for a run that would end the same, and from sleeping for hours over a
limit; ``Retry-After`` says how long in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from api.web.addresses import Dialect, dialect_of
from api.web.problems.answering import ErrorFormat
from api.web.problems.kinds import KINDS, Kind
from api.web.problems.problem import TYPE_PREFIX, Problem
from api.web.request.request_id import request_id_of
from pool.executions.outcome import FailureKind
from pool.values import Value

MAX_RETRY_AFTER_SECONDS = 120
"""Longer, and an SDK is asked not to wait: Anthropic's would sleep for whatever it gets."""

# -- shapes --------------------------------------------------------------------------------------


class PoolProblem(Value):
    """The ``pool`` field of an error, an extension: the pool's own name for what happened."""

    type: str
    field: str | None = None
    execution_id: str | None = None
    reason: str | None = None


class MessagesErrorPart(Value):
    type: str
    message: str


class MessagesError(Value):
    """An error in the shape of Anthropic's API."""

    type: Literal["error"] = "error"
    error: MessagesErrorPart
    request_id: str
    pool: PoolProblem


class ChatErrorPart(Value):
    message: str
    type: str
    param: str | None
    code: str | None
    pool: PoolProblem


class ChatError(Value):
    """An error in the shape of OpenAI's API."""

    error: ChatErrorPart


class ModelsError(Value):
    """An error as both SDKs read it."""

    type: Literal["error"] = "error"
    error: ChatErrorPart
    request_id: str


SHAPES = frozenset(each.__name__ for each in (MessagesError, ChatError, ModelsError))
"""Their names in the OpenAPI document."""

# -- statuses and types --------------------------------------------------------------------------

_RUNS = {
    FailureKind.MODEL_NOT_FOUND: 404,
    FailureKind.NOT_ENTITLED: 403,
    FailureKind.INVALID_REQUEST: 400,
    FailureKind.CONTEXT_FULL: 400,
    FailureKind.ANSWER_TOO_LONG: 400,
    FailureKind.CLI_USAGE: 400,
    FailureKind.TIMEOUT: 504,
    FailureKind.CANCELLED: 499,
}
"""A run that failed, by its reason; any other is a 500."""
_MAY_PASS = (
    FailureKind.SERVER_ERROR,
    FailureKind.CONNECTION,
    FailureKind.INTERRUPTED,
    FailureKind.KILLED,
)
"""Runs that may end otherwise the next time."""
_MESSAGES_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_CHAT_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CHAT_CODES = {"unauthorized": "invalid_api_key"}


def messages_status(problem: Problem) -> int:
    """The status that Anthropic's API would answer with."""
    return 529 if _name(problem) == "unavailable" else chat_status(problem)


def chat_status(problem: Problem) -> int:
    """The status that OpenAI's API would answer with."""
    match _name(problem):
        case "invalid-request":
            return 400
        case "run-failed":
            return next((_RUNS[each] for each in _RUNS if each == problem.reason), 500)
        case _:
            return problem.status


def _messages_type(status: int) -> str:
    return _MESSAGES_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def _chat_type(status: int) -> str:
    return _CHAT_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def _name(problem: Problem) -> str:
    return problem.type.removeprefix(TYPE_PREFIX)


def _pool(problem: Problem) -> PoolProblem:
    return PoolProblem(
        type=problem.type,
        field=problem.field,
        execution_id=problem.execution_id,
        reason=problem.reason,
    )


# -- bodies --------------------------------------------------------------------------------------


def messages_error(problem: Problem, request_id: str) -> MessagesError:
    """A problem in Anthropic's shape."""
    type_ = _messages_type(messages_status(problem))
    return MessagesError(
        error=MessagesErrorPart(type=type_, message=problem.detail),
        request_id=request_id,
        pool=_pool(problem),
    )


def chat_error(problem: Problem) -> ChatError:
    """A problem in OpenAI's shape."""
    return ChatError(error=_chat_part(problem, _chat_type(chat_status(problem))))


def models_error(problem: Problem, request_id: str) -> ModelsError:
    """A problem in a shape that both SDKs read: which of them asks is not always known."""
    part = _chat_part(problem, _messages_type(chat_status(problem)))
    return ModelsError(error=part, request_id=request_id)


def _chat_part(problem: Problem, type_: str) -> ChatErrorPart:
    name = _name(problem)
    code = _CHAT_CODES.get(name, name.replace("-", "_"))
    return ChatErrorPart(
        message=problem.detail, type=type_, param=problem.field, code=code, pool=_pool(problem)
    )


# -- answers -------------------------------------------------------------------------------------


def _tell_messages(scope: Scope, problem: Problem, headers: Mapping[str, str]) -> Response:
    body = messages_error(problem, request_id_of(scope))
    return _response(body, messages_status(problem), problem, headers)


def _tell_chat(_: Scope, problem: Problem, headers: Mapping[str, str]) -> Response:
    return _response(chat_error(problem), chat_status(problem), problem, headers)


def _tell_models(scope: Scope, problem: Problem, headers: Mapping[str, str]) -> Response:
    body = models_error(problem, request_id_of(scope))
    return _response(body, chat_status(problem), problem, headers)


_ERROR_FORMATS: dict[Dialect, ErrorFormat] = {
    "messages": _tell_messages,
    "chat": _tell_chat,
    "models": _tell_models,
}


def error_format_of(scope: Scope) -> ErrorFormat | None:
    """The format of the errors of a request; None where they are problems."""
    dialect = dialect_of(str(scope.get("path")), Headers(scope=scope))
    return None if dialect is None else _ERROR_FORMATS[dialect]


def _response(body: Value, status: int, problem: Problem, headers: Mapping[str, str]) -> Response:
    retry = {} if _may_be_asked_again(problem, headers) else {"x-should-retry": "false"}
    return Response(
        body.model_dump_json(), status, {**headers, **retry}, media_type="application/json"
    )


def _may_be_asked_again(problem: Problem, headers: Mapping[str, str]) -> bool:
    if _name(problem) == "run-failed":
        return problem.reason in _MAY_PASS
    return int(headers.get("Retry-After", 0)) <= MAX_RETRY_AFTER_SECONDS


# -- documents -----------------------------------------------------------------------------------


def documented(model: type[Value], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error responses of a dialect for the OpenAPI document."""
    return {status: {"model": model, "description": _titles(status)} for status in statuses}


def _titles(status: int) -> str:
    return _messages_type(status).replace("_", " ").capitalize()


def table() -> str:
    """What each problem of the pool is in each dialect, as it stands in README.md."""
    lines = []
    for kind in KINDS.values():
        problem = _example(kind)
        if kind.type == "run-failed":
            named = (*_RUNS, *_MAY_PASS)
            lines += [_line(_example(kind, reason), reason) for reason in named]
            lines += [_line(problem, "any other reason")]
        else:
            lines.append(_line(problem, ""))
    return "\n".join(
        ("| what happened | Anthropic | OpenAI | `x-should-retry` |", "|---|---|---|---|", *lines)
    )


def _example(kind: Kind, reason: str | None = None) -> Problem:
    type_ = f"{TYPE_PREFIX}{kind.type}"
    return Problem(type=type_, title=kind.title, status=kind.status, detail="", reason=reason)


def _line(problem: Problem, reason: str) -> str:
    messages, chat = messages_status(problem), chat_status(problem)
    name = f"`{_name(problem)}`" + (f" ({reason})" if reason else "")
    again = "" if _may_be_asked_again(problem, {}) else "false"
    return (
        f"| {name} | {messages} `{_messages_type(messages)}` "
        f"| {chat} `{_chat_type(chat)}` | {again} |"
    )

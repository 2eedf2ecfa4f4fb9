"""A problem: an error as the body of an answer."""

from __future__ import annotations

import logging
from typing import Any

from api.web.problems.kinds import HTTP_KINDS, KINDS, Kind, kind_of
from pool.errors import PoolError
from pool.values import Value

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:claude-pool:"
_UNEXPECTED = Kind(500, "internal-error", "Something went wrong")


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


def problem_with(kind: Kind, detail: str, **extra: Any) -> Problem:
    """A problem of a kind."""
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
    return problem_with(kind_of(error), str(error), **extra)


def problem_for(error: Exception, path: str) -> Problem:
    """Any error as its caller gets it. The unexpected is logged, and shown without details."""
    if isinstance(error, PoolError) and kind_of(error).status != 500:
        return problem_of(error)
    log.error("request failed", exc_info=error, extra={"path": path})
    return problem_with(_UNEXPECTED, "nothing more can be told here; the log has it")


Responses = dict[int | str, dict[str, Any]]


def documented(*statuses: int) -> Responses:
    """Problem responses for the OpenAPI document."""
    titles = {kind.status: kind.title for kind in reversed([*KINDS.values(), *HTTP_KINDS.values()])}
    return {status: {"model": Problem, "description": titles[status]} for status in statuses}

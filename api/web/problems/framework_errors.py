"""What the framework refuses by itself: a body that does not fit, an address that there is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api.web.addresses import hint, method_hint
from api.web.problems.answering import response
from api.web.problems.kinds import HTTP_KINDS, KINDS, Kind
from api.web.problems.problem import FieldProblem, problem_with
from pool.errors import BadField
from pool.executions.schemas.answer_schema import place_inside
from pool.values import problem_in

MAX_ERRORS = 20
MAX_FIELD = 200
_HINTS = {404: "see /docs for all there is", 405: "see the Allow header, or /docs"}
_INVALID = KINDS[BadField]
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
    problem = problem_in(error)
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
    problem = problem_with(_INVALID, detail + more, field=found[0].field, errors=errors)
    return response(request.scope, problem)


async def _refused(request: Request, error: HTTPException) -> Response:
    status = error.status_code
    kind = HTTP_KINDS.get(status, Kind(status, "http-error", "The request cannot be answered"))
    headers = dict(error.headers) if error.headers else None
    hinted = None
    if status == 404:
        hinted = hint(request.url.path, request.headers)
    elif status == 405:
        hinted = method_hint(request.url.path, request.method)
    detail = hinted or _HINTS.get(status, str(error.detail))
    return response(request.scope, problem_with(kind, detail), headers)


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    RequestValidationError: _invalid,
    HTTPException: _refused,
}

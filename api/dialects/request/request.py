"""A request in either dialect, as the pool understands it.

Both dialects are read leniently: clients send optional fields that are newer than this file. What
is not declared in a body's model stands in its ``model_extra``, and ``field_support`` says what
becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from api.dialects.request.history import Turn, after_last_answer, images_of, prompt_of
from pool.errors import InvalidRequest
from pool.executions.content.image import Image
from pool.executions.request import ExecutionRequest
from pool.executions.schemas.answer_schema import place_inside
from pool.values import Value

MAX_MESSAGES = 10_000
MAX_PARTS = 1_000
MAX_STOPS = 20

StopSequence = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Lenient(BaseModel):
    """A part of a request: frozen, and open to fields that nobody here knows."""

    model_config = ConfigDict(frozen=True, extra="allow")


class DialectRequest(Value):
    """A request of either dialect, understood."""

    request: ExecutionRequest
    ignored: tuple[str, ...]
    """Names of fields that change nothing."""
    stops: tuple[str, ...] = ()
    stream: bool = False
    stream_usage: bool = False
    """Whether a stream of chunks ends with one that holds the usage."""


def extra_of(part: BaseModel) -> dict[str, Any]:
    """What was sent beyond the declared fields."""
    return part.model_extra or {}


def image(where: str, media_type: Any, data: Any) -> Image:
    """An image from what was sent. ``InvalidRequest`` names ``where``, and never the data."""
    try:
        return Image.model_validate({"media_type": media_type, "data": data})
    except ValidationError as error:
        raise InvalidRequest(where, _problem(error)) from None


def no_images_in(images: Sequence[Image], where: str) -> None:
    if images:
        raise InvalidRequest(where, "holds an image, which only turns can: show it in one")


def session_of(body: str | None, header: str | None) -> str | None:
    """The session to go on with, by the field or the header."""
    if body is not None and header is not None and body != header:
        raise InvalidRequest("session_id", "differs from the X-Session-Id header: send one of them")
    return body or header


def news_of(turns: Sequence[Turn], session_id: str | None) -> tuple[Turn, ...]:
    """The turns that are told: all, or in a session those that it has not heard."""
    if not turns or turns[-1].role != "user":
        raise InvalidRequest(
            "messages",
            "must end with a message of the user: an answer cannot be begun for the model",
        )
    if not turns[-1].text.strip() and not turns[-1].images:
        raise InvalidRequest(
            "messages", "end with an empty message: write what the model should do"
        )
    return tuple(turns) if session_id is None else after_last_answer(turns)


def execution_request(
    names: Mapping[str, str], turns: Sequence[Turn], **asked: Any
) -> ExecutionRequest:
    """The request to the pool. ``InvalidRequest`` tells of a field by its name in the dialect."""
    prompt, images = prompt_of(turns), images_of(turns)
    try:
        return ExecutionRequest(prompt=prompt, images=images, **asked)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        place = (names.get(field, field), *place_inside(first))
        raise InvalidRequest(".".join(map(str, place)), _problem(error)) from None


def _problem(error: ValidationError) -> str:
    return str(error.errors()[0]["msg"]).removeprefix("Value error, ")

"""A request in either dialect, as the pool understands it.

Both dialects are read leniently: clients send optional fields that are newer than this file. What
is not declared in a body's model stands in its ``model_extra``, and ``field_support`` says what
becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pool.errors import InvalidRequest
from pool.executions.content.image import Image
from pool.executions.content.turn import TextPart, Turn, joined
from pool.executions.request import ExecutionRequest
from pool.executions.schemas.answer_schema import place_inside
from pool.executions.tools.client_tools import ToolResult
from pool.values import Value, problem_in

MAX_MESSAGES = 10_000
MAX_PARTS = 1_000

_NOBODY_ASKED = Turn(role="user", content=(TextPart(text="(The assistant begins.)"),))
"""Before an answer that a conversation begins with, as a greeting: the API takes none that does."""


class Lenient(BaseModel):
    """A part of a request: frozen, and open to fields that nobody here knows."""

    model_config = ConfigDict(frozen=True, extra="allow")


class DialectRequest(Value):
    """A request of either dialect, understood."""

    request: ExecutionRequest | None
    """What is to run; None where the request brings ``results`` of calls, and a run goes on."""
    ignored: tuple[str, ...]
    """Names of fields that change nothing."""
    results: tuple[ToolResult, ...] = ()
    earlier_results: tuple[ToolResult, ...] = ()
    """Those that belong to them where the same answer made their calls."""
    results_in: str = "messages"
    """The field that they stand in."""
    is_structured: bool = False
    """Whether its answer is JSON of a schema."""
    shows_thinking: bool = False
    """Whether it asked to be shown what the model thinks."""
    stops: tuple[str, ...] = ()
    """Where the answer is cut by the pool; see ``model_settings.own_stops``."""
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
        raise InvalidRequest(where, problem_in(error.errors()[0])) from None


def session_of(body: str | None, header: str | None) -> str | None:
    """The session to go on with, by the field or the header."""
    if body is not None and header is not None and body != header:
        raise InvalidRequest("session_id", "differs from the X-Session-Id header: send one of them")
    return body or header


def text_of(text: str, where: str) -> TextPart:
    """A text that was said. ``InvalidRequest`` names ``where`` it cannot be sent."""
    try:
        return TextPart(text=text)
    except ValidationError as error:
        raise InvalidRequest(where, problem_in(error.errors()[0])) from None


def news_of(
    turns: Sequence[Turn], session_id: str | None, field: str = "messages"
) -> tuple[Turn, ...]:
    """The turns that are sent: all, or in a session those that it does not have."""
    if not turns or turns[-1].role != "user":
        raise InvalidRequest(
            field,
            "must end with a message of the user: an answer cannot be begun for the model",
        )
    if not joined(turns[-1:]):
        raise InvalidRequest(field, "end with an empty message: write what the model should do")
    if session_id is not None:
        return _after_last_answer(turns)
    found = joined(turns)
    return (_NOBODY_ASKED, *found) if found[0].role == "assistant" else found


def _after_last_answer(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns that a session does not have yet."""
    answers = [at for at, turn in enumerate(turns) if turn.role == "assistant"]
    return joined(turns[answers[-1] + 1 :] if answers else turns)


def execution_request(
    names: Mapping[str, str], turns: Sequence[Turn], **asked: Any
) -> ExecutionRequest:
    """The request to the pool. ``InvalidRequest`` names a field as the dialect does."""
    match turns:
        case [Turn(content=[TextPart(text=text)])]:
            said: dict[str, Any] = {"prompt": text}
        case _:
            said = {"messages": turns}
    try:
        return ExecutionRequest(**said, **asked)
    except ValidationError as error:
        first = error.errors()[0]
        field, *inside = map(str, first["loc"] or ("messages",))  # what does not fit together
        if field == "model_settings":
            field, *inside = inside
        else:
            inside = list(map(str, place_inside(first)))
        place = (names.get(field, field), *inside)
        raise InvalidRequest(".".join(map(str, place)), problem_in(first)) from None

"""Messages of either dialect, read into turns and system prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, assert_never

from pydantic import ValidationError

from api.dialects.request.field_support import Row, ignored, pass_over
from api.dialects.request.parts import (
    AnyPart,
    DocumentPart,
    ImagePart,
    OtherPart,
    RefusalPart,
    TextPart,
    ToolResultPart,
    ToolUsePart,
    document_of,
    image_of,
    unread,
)
from api.dialects.request.request import Lenient, execution_request, extra_of, news_of, text_of
from api.dialects.request.tools import shown, tool_result
from api.web.problems.dialect_errors import Unsupported
from pool.errors import InvalidRequest
from pool.executions.content import document, turn
from pool.executions.request import ExecutionRequest
from pool.executions.tools import client_tools
from pool.executions.tools.client_tools import ToolResult

Said = TypeVar("Said", turn.ToolUsePart, turn.ToolResultPart)
Role = Literal["system", "user", "assistant"]


class Reading:
    """What messages say, and the names of what is passed over. ``fields`` and ``kinds`` are the
    dialect's, of a message and of its parts; ``name`` is the field's that holds the messages.
    """

    def __init__(self, fields: Sequence[Row], kinds: Sequence[Row], name: str = "messages") -> None:
        self._fields = fields
        self._kinds = kinds
        self._name = name
        self._turns: list[turn.Turn] = []
        self.system: list[str] = []
        self.ignored: list[str] = []
        self.results: list[ToolResult] = []
        """Of calls that the last answer made. What is said after them goes with the last one."""
        self.earlier_results: list[ToolResult] = []
        """Of calls directly before: of the same answer, perhaps, where each call stands alone."""

    def take(
        self,
        message: Lenient,
        role: Role | None,
        content: str | Sequence[AnyPart],
        where: str,
        refusal: str | None = None,
    ) -> None:
        """Take the next message. Without a role it is what a nameless function answered."""
        if role == "assistant":
            is_a_call = all(isinstance(part, ToolUsePart) for part in _parts(content))
            self.earlier_results = [*self.earlier_results, *self.results] if is_a_call else []
            self.results = []
        self.ignored += ignored(extra_of(message), self._fields, self._name)
        said: list[turn.Part] = [text_of(refusal, where)] if refusal else []
        for at, part in enumerate(_parts(content)):
            said += self._said(part, f"{where}.content.{at}")
            if role == "user" and self.results and isinstance(part, TextPart | ImagePart):
                last = self.results[-1]
                more = (*last.content, shown(part, f"{where}.content.{at}"))
                self.results[-1] = last.model_copy(update={"content": more})
        match role:
            case "system":
                _nothing_shown_in(said, where)
                self.system.append("\n\n".join(each.text for each in said if each.type == "text"))
            case "user" | "assistant":
                self._add(role, said, where)
            case None:
                raise Unsupported(where, "tells what a nameless call gave: send role `tool`")
            case never:
                assert_never(never)

    def news(self, session_id: str | None) -> tuple[turn.Turn, ...]:
        """The turns that are sent: in a session those that it does not have."""
        turns = news_of(self._turns, session_id, self._name)
        if len(turns) < len(self._turns):
            self.ignored.append(f"{self._name}[before the last answer]")
        return turns

    def _add(self, role: Literal["user", "assistant"], said: list[turn.Part], where: str) -> None:
        if role == "assistant":
            _nothing_shown_in(said, where)
        content = tuple(said) or (turn.TextPart(text=""),)
        self._turns.append(turn.Turn(role=role, content=content))

    def _result(self, part: ToolResultPart, where: str) -> turn.ToolResultPart:
        is_error = bool(part.is_error)
        result = tool_result(where, part.tool_use_id, _parts(part.content), is_error=is_error)
        self.results.append(result)
        content = tuple(_told(each, where) for each in result.content)
        known = {"tool_use_id": part.tool_use_id, "is_error": is_error, "content": content}
        return _valid(turn.ToolResultPart, where, **known)

    def _said(self, part: AnyPart, where: str) -> list[turn.Part]:
        """What a part says; nothing where it is passed over."""
        match part:
            case TextPart(text=text) | RefusalPart(refusal=text):
                said: turn.Part = text_of(text, where)
            case ImagePart():
                source = turn.ImageSource.model_construct(**dict(image_of(part, where)))
                said = turn.ImagePart(source=source)
            case DocumentPart():
                said = document_of(part, where)
            case ToolUsePart(id=id_, name=name, input=input_):
                name = f"{client_tools.PREFIX}{name}"
                said = _valid(turn.ToolUsePart, where, id=id_, name=name, input=input_)
            case ToolResultPart():
                said = self._result(part, where)
            case OtherPart(type=kind):
                pass_over(kind, self._kinds, where)
                self.ignored.append(f"{self._name}.content.{kind}")
                return []
            case never:
                assert_never(never)
        self.ignored += ignored(unread(part), self._fields, f"{self._name}.content")
        return [said]


def request_unless_results(
    reading: Reading, names: Mapping[str, str], session_id: str | None, **asked: Any
) -> ExecutionRequest | None:
    """The request to the pool; None where its messages end in the results of calls, for then the
    execution that made the calls goes on.
    """
    if reading.results:
        return None
    news = reading.news(session_id)
    return execution_request(names, news, session_id=session_id, **asked)


def _parts(content: str | Sequence[AnyPart] | None) -> Sequence[AnyPart]:
    return [TextPart(type="text", text=content)] if isinstance(content, str) else content or []


def _nothing_shown_in(said: Sequence[turn.Part], where: str) -> None:
    if any(isinstance(part, turn.ImagePart | document.DocumentPart) for part in said):
        raise InvalidRequest(
            where, "holds an image or a document, which only turns of the user can: show it in one"
        )


def _told(part: client_tools.TextPart | client_tools.ImagePart, where: str) -> turn.ShownPart:
    """What a tool gave, as part of a turn."""
    if isinstance(part, client_tools.TextPart):
        return text_of(part.text, where)
    return turn.ImagePart(
        source=turn.ImageSource.model_construct(data=part.data, media_type=part.media_type)
    )


def _valid(kind: type[Said], where: str, **fields: Any) -> Said:
    try:
        return kind(**fields)
    except ValidationError as error:
        problem: Any = error.errors()[0]
        place = ".".join(map(str, (where, *problem["loc"])))
        raise InvalidRequest(place, str(problem["msg"])) from None

"""A turn of a conversation: what one side said, part by part, in the words of Anthropic's API.

So a part is handed to the CLI as it stands here. What the model thought is a part like others, of
answers alone; a tool is called in an answer, and what it gave stands in the turn that follows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from pool.executions.content.document import DocumentPart, PdfSource
from pool.executions.content.image import Image
from pool.executions.content.verbatim import VerbatimText
from pool.foreign_text import fit
from pool.values import Value, is_kept

MAX_TURNS = 10_000
MAX_PARTS = 1_000
BYTES_PER_TOKEN = 3
"""Of text: fewer than most languages and programs have, so that tokens are rather overestimated."""
TOKENS_PER_IMAGE = 5_000
"""More than the API counts for the largest: it scales an image down before a model sees it."""
MOST_TOKENS_PER_PDF = 300_000
"""Of a hundred pages, which is all that the API takes."""

ToolUseId = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,200}$")]
ToolName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,200}$")]


def _fitting(value: dict[str, Any]) -> dict[str, Any]:
    fitting: dict[str, Any] = fit(value)
    return fitting


class TextPart(Value):
    type: Literal["text"] = "text"
    text: VerbatimText


class ImageSource(Image):
    """An image, where Anthropic's API has it."""

    type: Literal["base64"] = "base64"


class ImagePart(Value):
    type: Literal["image"] = "image"
    source: ImageSource


class ToolUsePart(Value):
    """A tool that the model called."""

    type: Literal["tool_use"] = "tool_use"
    id: ToolUseId
    name: ToolName
    input: Annotated[dict[str, Any], AfterValidator(_fitting)]


def _spoken(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


ShownPart = Annotated[TextPart | ImagePart | DocumentPart, Field(discriminator="type")]
ShownParts = Annotated[
    tuple[ShownPart, ...], Field(max_length=MAX_PARTS, fail_fast=True), BeforeValidator(_spoken)
]


class ToolResultPart(Value):
    """What a tool gave."""

    type: Literal["tool_result"] = "tool_result"
    tool_use_id: ToolUseId
    content: ShownParts = ()
    """Parts, or a bare text."""
    is_error: bool = False


class ThinkingPart(Value):
    """What the model thought, with its maker's signature, as the API gave it."""

    type: Literal["thinking"] = "thinking"
    thinking: VerbatimText
    signature: VerbatimText


class RedactedThinkingPart(Value):
    type: Literal["redacted_thinking"] = "redacted_thinking"
    data: VerbatimText


Part = Annotated[
    TextPart
    | ImagePart
    | DocumentPart
    | ToolUsePart
    | ToolResultPart
    | ThinkingPart
    | RedactedThinkingPart,
    Field(discriminator="type"),
]
Parts = Annotated[
    tuple[Part, ...],
    Field(min_length=1, max_length=MAX_PARTS, fail_fast=True),
    BeforeValidator(_spoken),
]
_OF_ANSWERS = (ToolUsePart, ThinkingPart, RedactedThinkingPart)
_OF_USERS = (ImagePart, DocumentPart, ToolResultPart)


class Turn(Value):
    """What one side said."""

    role: Literal["user", "assistant"]
    content: Parts
    """Parts, or a bare text."""

    @model_validator(mode="after")
    def _may_say_so(self) -> Turn:
        others = _OF_ANSWERS if self.role == "user" else _OF_USERS
        wrong = next((part.type for part in self.content if isinstance(part, others)), None)
        if wrong is not None:
            raise ValueError(f"a turn of role {self.role} holds a part of type {wrong}")
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """What is said in it in words."""
        return tuple(part.text for part in self.content if isinstance(part, TextPart))


def joined(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Turns that alternate: what one side said in a row is one turn, as the API has it. A text of
    but space says nothing, and the API takes none.
    """
    found: list[Turn] = []
    for turn in turns:
        said = tuple(part for part in turn.content if not _is_blank(part))
        if found and found[-1].role == turn.role:
            content = (*found[-1].content, *said)
            found[-1] = found[-1].model_copy(update={"content": content})
        elif said:
            found.append(turn.model_copy(update={"content": said}))
    return tuple(found)


def _is_blank(part: Part) -> bool:
    return isinstance(part, TextPart) and not part.text.strip()


def conversation(turns: Iterable[Turn], info: ValidationInfo) -> tuple[Turn, ...]:
    """Turns as a conversation that the model is to go on with."""
    if is_kept(info):
        return tuple(turns)
    found = joined(turns)
    if found and found[0].role == "assistant":
        raise ValueError("begin with an answer: begin with a message of the user")
    if found and found[-1].role == "assistant":
        raise ValueError(
            "must end with a message of the user: an answer cannot be begun for the model"
        )
    return found


Conversation = Annotated[
    tuple[Turn, ...], Field(max_length=MAX_TURNS, fail_fast=True), AfterValidator(conversation)
]


def tokens_of(turn: Turn) -> int:
    """About how many tokens it adds to the model's context, rather too many."""
    return sum(_tokens(part) for part in turn.content)


def _tokens(part: Part) -> int:
    match part:
        case ImagePart():
            return TOKENS_PER_IMAGE
        case DocumentPart(source=PdfSource(data=data)):
            return min(len(data) // BYTES_PER_TOKEN, MOST_TOKENS_PER_PDF)
        case ToolResultPart(content=content):
            return sum(_tokens(each) for each in content)
        case _:
            return -(-len(part.model_dump_json()) // BYTES_PER_TOKEN)


def content_of(turn: Turn) -> list[dict[str, Any]]:
    """A turn's parts as they stand in a message to the API."""
    return [part.model_dump(mode="json", exclude_none=True) for part in turn.content]

"""Parts of a message, in the shapes of either dialect and of those that clients mix up with it.

A text is a text whether it is said in Anthropic's words, OpenAI's, or those of its Responses; so is
an image, and a document. What is plain is taken; ``field_support`` says what becomes of the rest.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Tag, ValidationError

from api.dialects.request.request import Lenient, extra_of, image
from api.web.problems.dialect_errors import Unsupported
from pool.errors import InvalidRequest
from pool.executions.content import document
from pool.executions.content.image import Image
from pool.values import problem_in

_TEXTS = ("text", "input_text", "output_text")
_IMAGES = ("image", "image_url", "input_image")
_DOCUMENTS = ("document", "file", "input_file")
_NO_FILES = "send a PDF in base64, or a text: the pool fetches nothing, and keeps no files"
_FETCHES_NOTHING = "send images in base64, in a data: URL or as a source: the pool fetches nothing"


class TextPart(Lenient):
    type: Literal["text", "input_text", "output_text"]
    text: str


class RefusalPart(Lenient):
    type: Literal["refusal"]
    refusal: str


class Source(Lenient):
    """Where Anthropic's shape has an image."""

    type: str = "base64"
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class ImageUrl(Lenient):
    """Where OpenAI's shapes have one: an object, or the bare URL."""

    url: str


class ImagePart(Lenient):
    type: Literal["image", "image_url", "input_image"]
    source: Source | None = None
    image_url: ImageUrl | str | None = None


class ToolUsePart(Lenient):
    """A call of a tool, in an answer that the caller repeats."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]


class ToolResultPart(Lenient):
    """What a tool gave for a call."""

    type: Literal["tool_result"] = "tool_result"
    tool_use_id: str
    content: str | list[ResultPart] | None = None
    is_error: bool | None = None


class DocumentSource(Lenient):
    """Where Anthropic's shape has a document."""

    type: str
    media_type: str | None = None
    data: str | None = None


class File(Lenient):
    """Where OpenAI's chat has one."""

    file_data: str | None = None
    filename: str | None = None


class DocumentPart(Lenient):
    type: Literal["document", "file", "input_file"]
    source: DocumentSource | None = None
    title: str | None = None
    context: str | None = None
    file: File | None = None
    file_data: str | None = None
    filename: str | None = None


class OtherPart(Lenient):
    """A part of any other kind; ``field_support`` says what becomes of it."""

    type: str


def _kind(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    if kind in _TEXTS:
        return "text"
    if kind in _IMAGES:
        return "image"
    if kind in _DOCUMENTS:
        return "document"
    # Tuples: what was sent as a type may be anything.
    return str(kind) if kind in ("refusal", "tool_use", "tool_result") else "other"


def _spoken(part: Any) -> Any:
    return {"type": "text", "text": part} if isinstance(part, str) else part


AnyPart = (
    TextPart | RefusalPart | ImagePart | DocumentPart | ToolUsePart | ToolResultPart | OtherPart
)
Part = Annotated[
    Annotated[
        Annotated[TextPart, Tag("text")]
        | Annotated[RefusalPart, Tag("refusal")]
        | Annotated[ImagePart, Tag("image")]
        | Annotated[ToolUsePart, Tag("tool_use")]
        | Annotated[ToolResultPart, Tag("tool_result")]
        | Annotated[DocumentPart, Tag("document")]
        | Annotated[OtherPart, Tag("other")],
        Discriminator(_kind),
    ],
    BeforeValidator(_spoken),
]
"""A part, or the bare text of one."""
ResultPart = Part
"""Within a result: what is no text or image there is refused."""
SpokenPart = Annotated[TextPart, BeforeValidator(_spoken)]


def unread(part: AnyPart) -> dict[str, Any]:
    """What was sent of a part beyond what is read, by its name in the part."""
    inside = {}
    if isinstance(part, ImagePart) and isinstance(part.image_url, ImageUrl):
        inside = {f"image_url.{name}": value for name, value in extra_of(part.image_url).items()}
    if isinstance(part, DocumentPart) and part.source is not None:
        inside = {f"source.{name}": value for name, value in extra_of(part.source).items()}
    return {**extra_of(part), **inside}


def document_of(part: DocumentPart, where: str) -> document.DocumentPart:
    """The document that a part shows. ``Unsupported`` or ``InvalidRequest`` names the part."""
    if part.source is not None:
        source = part.source.model_dump(include={"type", "media_type", "data"})
        where = f"{where}.source"
        if source["type"] not in {"base64", "text"}:
            raise Unsupported(where, _NO_FILES)
        return _document(where, _filled(source), part.title, part.context)
    file = part.file or part
    if file.file_data is None:
        raise Unsupported(where, _NO_FILES)
    return _document(where, _from_url(file.file_data), file.filename, None)


def _document(
    where: str, source: dict[str, Any], title: str | None, context: str | None
) -> document.DocumentPart:
    try:
        return document.DocumentPart.model_validate(
            {"source": source, "title": title, "context": context}
        )
    except ValidationError as error:
        raise InvalidRequest(where, problem_in(error.errors()[0])) from None


def _filled(source: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in source.items() if value is not None}


def _from_url(data: str) -> dict[str, Any]:
    """A source from a ``data:`` URL of base64, or the bare base64 of a PDF."""
    head, comma, text = data.rpartition(",")
    if not head.lower().startswith("data:text/"):
        return {"type": "base64", "data": text if comma else data}
    try:
        return {"type": "text", "data": b64decode(text).decode()}
    except ValueError:
        return {"type": "text", "data": ""}


def image_of(part: ImagePart, where: str) -> Image:
    """The image that a part shows. ``Unsupported`` or ``InvalidRequest`` names the part."""
    match part:
        case ImagePart(source=Source(type="base64") as source):
            return image(f"{where}.source", source.media_type, source.data)
        case ImagePart(source=Source(url=url)):
            return _at(url, f"{where}.source")
        case ImagePart(image_url=ImageUrl(url=url)):
            return _at(url, f"{where}.image_url.url")
        case ImagePart(image_url=str(url)):
            return _at(url, f"{where}.image_url")
        case _:
            raise InvalidRequest(where, "shows no image: send it as source or as image_url")


def _at(url: str | None, where: str) -> Image:
    """An image by its URL, which is a ``data:`` URL or the bare base64."""
    scheme, colon, _ = (url or "").partition(":")
    if url is None or (colon and scheme.lower() != "data"):
        raise Unsupported(where, _FETCHES_NOTHING)
    return image(where, None, url)

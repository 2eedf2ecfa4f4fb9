"""Parts of a message, in the shapes of either dialect and of those that clients mix up with it.

A text is a text whether it is said in Anthropic's words, OpenAI's, or those of its Responses; so is
an image. What is plain is taken; ``field_support`` says what becomes of parts of any other kind.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Tag

from api.dialects.request.request import Lenient, extra_of, image
from api.web.dialect_errors import Unsupported
from pool.errors import InvalidRequest
from pool.executions.content.image import Image

_TEXTS = ("text", "input_text", "output_text")
_IMAGES = ("image", "image_url", "input_image")
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


class OtherPart(Lenient):
    """Of any other kind; ``field_support`` says what becomes of it."""

    type: str


def _kind(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    if kind in _TEXTS:
        return "text"
    if kind in _IMAGES:
        return "image"
    return "refusal" if kind == "refusal" else "other"


def _spoken(part: Any) -> Any:
    return {"type": "text", "text": part} if isinstance(part, str) else part


AnyPart = TextPart | RefusalPart | ImagePart | OtherPart
Part = Annotated[
    Annotated[
        Annotated[TextPart, Tag("text")]
        | Annotated[RefusalPart, Tag("refusal")]
        | Annotated[ImagePart, Tag("image")]
        | Annotated[OtherPart, Tag("other")],
        Discriminator(_kind),
    ],
    BeforeValidator(_spoken),
]
"""A part, or the bare text of one."""
SpokenPart = Annotated[TextPart, BeforeValidator(_spoken)]


def unread(part: AnyPart) -> dict[str, Any]:
    """What was sent of a part beyond what is read, by its name in the part."""
    inside = {}
    if isinstance(part, ImagePart) and isinstance(part.image_url, ImageUrl):
        inside = {f"image_url.{name}": value for name, value in extra_of(part.image_url).items()}
    return {**extra_of(part), **inside}


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

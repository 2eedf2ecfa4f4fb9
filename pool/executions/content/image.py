"""An image that is shown to the model: bytes in base64, and what kind of image they are.

The bytes decide. The CLI turns what it cannot read into a sentence about it and asks the model all
the same, so what is no image, or of a kind that the API does not take, is refused by name here; a
label that says another kind than the bytes is put right, as the API would refuse it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from pool.values import Value, is_kept

MAX_IMAGE_BYTES = 5_000_000
MediaType = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]

_TAKEN: tuple[tuple[re.Pattern[bytes], MediaType], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n.{4}IHDR", re.DOTALL), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBPVP8", re.DOTALL), "image/webp"),
)
_REFUSED = (
    (re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL), "a BMP image"),
    (re.compile(rb"II\*\0|MM\0\*"), "a TIFF image"),
    (re.compile(rb".{4}ftypavi", re.DOTALL), "an AVIF image"),
    (re.compile(rb".{4}ftyp(hei|hev|mif1|msf1)", re.DOTALL), "a HEIC image"),
    (re.compile(rb"\x00\x00\x01\x00"), "an icon"),
    (re.compile(rb"\s*(<\?xml|<!--|<!DOCTYPE svg|<svg)", re.IGNORECASE), "an SVG or XML document"),
    (re.compile(rb"%PDF-"), "a PDF document"),
)
_KINDS = "JPEG, PNG, GIF or WebP"
_HEAD = 64
"""Base64 characters that hold the bytes by which the kind is known."""
_DATA_URL = re.compile(r"data:[^,]*?;\s*base64\s*,", re.IGNORECASE)
_PLAIN = {**dict.fromkeys(map(ord, " \t\r\n\f\v")), ord("-"): "+", ord("_"): "/"}


def _data(text: str, info: ValidationInfo) -> str:
    """Base64 as the API takes it, from what is meant as such: wrapped, of the alphabet for URLs,
    without its padding, or inside a ``data:`` URL.
    """
    if is_kept(info):
        return text
    if text[:5].lower() == "data:":
        found = _DATA_URL.match(text)
        if found is None:
            raise ValueError("is a data: URL without base64: encode the image's bytes")
        text = unquote(text[found.end() :])
    plain = text.translate(_PLAIN).rstrip("=")
    plain += "=" * (-len(plain) % 4)
    try:
        size = len(b64decode(plain, validate=True))
    except ValueError:
        raise ValueError("is no base64 text: encode the image's bytes") from None
    if not 0 < size <= MAX_IMAGE_BYTES:
        raise ValueError(f"is {size} bytes long; an image has 1 to {MAX_IMAGE_BYTES}")
    if _kind(plain) is None:
        raise ValueError(f"is {_named(plain)}: send {_KINDS}")
    return plain


def _kind(data: str) -> MediaType | None:
    head = b64decode(data[:_HEAD])
    return next((kind for begins, kind in _TAKEN if begins.match(head)), None)


def _named(data: str) -> str:
    head = b64decode(data[:_HEAD])
    return next((name for begins, name in _REFUSED if begins.match(head)), "no image")


def _label(label: Any, info: ValidationInfo) -> Any:
    if is_kept(info) or "data" not in info.data:
        return label
    return _kind(info.data["data"])


class Image(Value):
    """An image, base64 as it stands in a message of Anthropic's API."""

    data: Annotated[str, AfterValidator(_data)]
    media_type: Annotated[MediaType, BeforeValidator(_label)]
    """What the bytes are, whatever was said of them."""

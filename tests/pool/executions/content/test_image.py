from __future__ import annotations

import textwrap
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import Any

import pytest
from pydantic import ValidationError

from pool.executions.content.image import MAX_IMAGE_BYTES, Image
from pool.storage.documents import document, read_document
from tests.support.values.pictures import GIF, JPEG, PNG, WEBP

BYTES = b64decode(PNG)


def image(data: str, media_type: str | None = "image/png") -> Image:
    return Image.model_validate({"data": data, "media_type": media_type})


@pytest.mark.parametrize(
    ("data", "kind"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
)
@pytest.mark.parametrize("label", ["image/jpg", "image/png", "IMAGE/PNG; q=1", "image/x", None])
def test_an_image_is_labelled_as_what_its_bytes_are(
    data: str, kind: str, label: str | None
) -> None:
    assert image(data, label).media_type == kind


@pytest.mark.parametrize(
    "data",
    [
        "\n".join(textwrap.wrap(PNG, 20)),
        PNG.rstrip("="),
        urlsafe_b64encode(BYTES).decode(),
        f"data:image/png;base64,{PNG}",
        f"data:image/png;name=x.png;charset=utf-8;base64,{PNG}",
        f"DATA:;Base64,{PNG}",
        f"data:image/png;base64,{PNG.replace('+', '%2B').replace('=', '%3D')}",
    ],
)
def test_what_is_meant_as_base64_is_read_as_such(data: str) -> None:
    assert image(data) == Image(data=PNG, media_type="image/png")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"just words", "is no image"),
        (b"\x89PNG\r\n\x1a\njust words", "is no image"),
        (b"BM\x3a\0\0\0\0\0\0\0", "is a BMP image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG or XML document"),
        (b"\0\0\0\x1cftypavif", "is an AVIF image"),
        (b"\0\0\0\x18ftypheic", "is a HEIC image"),
        (b"II*\0", "is a TIFF image"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"", "is 0 bytes long"),
        (BYTES + bytes(MAX_IMAGE_BYTES), "an image has 1 to"),
    ],
)
def test_what_the_model_could_not_see_is_named(content: bytes, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        image(b64encode(content).decode())


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("no base64!", "is no base64 text"),
        ("abcde", "is no base64 text"),
        ("data:image/png,abc", "without base64"),
        ("\u00e4" * 8, "is no base64 text"),
    ],
)
def test_what_is_no_base64_is_refused(data: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        image(data)


def test_an_image_that_was_kept_before_images_were_looked_at_is_read_back_as_it_was() -> None:
    kept: Any = Image.model_construct(data="cGl4ZWxz", media_type="image/png")

    assert read_document(Image, document(kept)) == kept

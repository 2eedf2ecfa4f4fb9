"""A document that is shown to the model: the bytes of a PDF in base64, or a plain text.

In the words of Anthropic's API, so that it is handed over as it is. The pool fetches nothing: a
document by URL, or by the id of a file, is none.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo

from pool.executions.content.verbatim import VerbatimText, bounded
from pool.values import Value, is_kept

MAX_PDF_BYTES = 6_500_000
"""As base64 it has to fit into what the CLI reads at once, which is 10 MB."""
MAX_TEXT_BYTES = 1_000_000


def _pdf(text: str, info: ValidationInfo) -> str:
    if is_kept(info):
        return text
    plain = "".join(text.split())
    try:
        data = b64decode(plain, validate=True)
    except ValueError:
        raise ValueError("is no base64 text: encode the document's bytes") from None
    if not 0 < len(data) <= MAX_PDF_BYTES:
        raise ValueError(f"is {len(data)} bytes long; a PDF has 1 to {MAX_PDF_BYTES}")
    if not data.startswith(b"%PDF-"):
        raise ValueError("is no PDF: send one, or the document's text")
    return plain


def _text(text: str, info: ValidationInfo) -> str:
    if not text.strip() and not is_kept(info):
        raise ValueError("is empty: send the document's text")
    return bounded(text, MAX_TEXT_BYTES)


class PdfSource(Value):
    """A PDF by its bytes."""

    type: Literal["base64"] = "base64"
    media_type: Literal["application/pdf"] = "application/pdf"
    data: Annotated[str, AfterValidator(_pdf)]


class TextSource(Value):
    """A document by its text."""

    type: Literal["text"] = "text"
    media_type: Literal["text/plain"] = "text/plain"
    data: Annotated[VerbatimText, AfterValidator(_text)]


class DocumentPart(Value):
    """A document as part of a turn."""

    type: Literal["document"] = "document"
    source: Annotated[PdfSource | TextSource, Field(discriminator="type")]
    title: Annotated[VerbatimText, StringConstraints(max_length=500)] | None = None
    context: Annotated[VerbatimText, StringConstraints(max_length=10_000)] | None = None
    """What else the model reads about it."""

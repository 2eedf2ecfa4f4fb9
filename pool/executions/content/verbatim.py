"""Text that is handed over as it is: what no prompt can carry is refused, nothing is changed."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def verbatim(text: str) -> str:
    """The text. ``ValueError`` where it holds what cannot be sent."""
    if "\x00" in text:
        raise ValueError("holds a NUL character, which no prompt can carry: remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds a lone surrogate: send valid Unicode text") from None
    return text


def bounded(text: str, limit: int) -> str:
    """The text. ``ValueError`` where it has more bytes of UTF-8 than that."""
    size = len(text.encode())
    if size > limit:
        raise ValueError(f"is {size} bytes long; the limit is {limit}")
    return text


VerbatimText = Annotated[str, AfterValidator(verbatim)]

"""Values as they are kept: JSON text that gives back exactly what it was made of.

What is shown has times to the millisecond and money as a JSON number. What is kept must not: a
record at the edge of seven days, or the later of two windows, is decided by microseconds. So times
are written in full here, and decimals as text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import PurePath
from typing import Any, TypeVar

from pool.foreign_text import fit, may_be_unfit
from pool.values import KEPT, Value

log = logging.getLogger(__name__)

Kept = TypeVar("Kept", bound=Value)
Row = TypeVar("Row")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    return (instant - _EPOCH) // _MICROSECOND


def instant(microseconds: int) -> datetime:
    """The instant that ``micros`` was made of."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _plain(part: object) -> str:
    match part:
        case datetime():
            return part.isoformat()
        case Decimal() | PurePath():
            return str(part)
    raise TypeError(f"{type(part).__name__} has no form in a document")


_ENCODER = json.JSONEncoder(default=_plain, separators=(",", ":"))


def document(value: Value, without: Any = None) -> str:
    """A value as JSON. Pure ASCII, so that what others put into an ``Any`` cannot break it.
    ``without`` names what is kept elsewhere, as pydantic's ``exclude`` does.
    """
    return _ENCODER.encode(value.model_dump(exclude=without))


def parsed(text: str) -> Any:
    """What a document says; unfit text of earlier releases is mended."""
    said = json.loads(text)
    return fit(said) if may_be_unfit(text) else said


def read_document(model: type[Kept], text: str) -> Kept:
    """The value that ``document`` was made of."""
    return model.model_validate(parsed(text), context=KEPT)


def readable(model: type[Kept], texts: Iterable[str]) -> Iterator[Kept]:
    """The values of rows that hold nothing but a document; see ``readable_rows``."""
    return readable_rows(model, texts, partial(read_document, model))


def readable_rows(
    model: type[Kept], rows: Iterable[Row], read: Callable[[Row], Kept]
) -> Iterator[Kept]:
    """The values of rows. One that cannot be read is passed over and logged: neither a list nor a
    recovery may fail for it.
    """
    for row in rows:
        try:
            kept = read(row)
        except ValueError as error:
            note_unreadable(model.__name__, error)
        else:
            yield kept


def note_unreadable(kind: str, error: ValueError, **of: str) -> None:
    """Log that a row was passed over, without what stands in it."""
    log.error("row cannot be read", extra={"kind": kind, "problem": type(error).__name__, **of})

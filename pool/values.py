"""The base of every value in the project: frozen, closed, compared by content.

A field that nobody knows is an error here; leniency towards what the CLI and Anthropic send is
the business of ``pool.claude`` alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationInfo,
)


class Value(BaseModel):
    """A frozen pydantic model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


def now_in_utc() -> datetime:
    """The clock of the real world, for the shells: rules are told the time."""
    return datetime.now(UTC)


def problem_in(error: Mapping[str, Any]) -> str:
    """What is wrong, by one of pydantic's errors, in the words of the check that found it."""
    return str(error["msg"]).removeprefix("Value error, ")


def instant_text(instant: datetime) -> str:
    """ISO 8601 in UTC with ``Z`` and milliseconds: ``2026-01-28T15:00:00.000Z``."""
    text = instant.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("a time needs its zone: write it in UTC with Z")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(
            "lies outside of the calendar in UTC: write a later or an earlier one"
        ) from None


Instant = Annotated[
    datetime,
    AfterValidator(_in_utc),
    PlainSerializer(instant_text, return_type=str, when_used="json"),
]
"""An aware datetime, kept in UTC; in JSON ISO 8601 with ``Z``, to the millisecond."""


_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def _duration(value: object) -> object:
    match value:
        case bool():
            pass
        case timedelta() | int() | float():
            return value  # a number is one of seconds
        case str() if (written := _DURATION.fullmatch(value.strip())) is not None:
            return float(written[1]) * _SECONDS[written[2]]
        case str() if value.startswith("P"):
            return value  # ISO 8601, as it is written by whoever writes a configuration out
    raise ValueError('should be a duration, such as "24h", "90m", "30s" or "7d"')


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""A span of time, written as ``24h``, ``90m``, ``30s`` or ``7d``; a bare number is of seconds."""


_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _size(value: object) -> object:
    written = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?) ?([KMGT]B)?", str(value))
    if written is None or isinstance(value, bool):
        raise ValueError('should be a size, such as "2GB" or "500MB"')
    return int(float(written[1]) * _UNITS[written[2] or ""])


Size = Annotated[int, BeforeValidator(_size)]
"""So many bytes, written as ``500MB`` or ``2GB``; a bare number is of bytes."""


KEPT = {"kept": True}
"""The context in which what this pool has kept is read: it came in by the door of its day."""


def is_kept(info: ValidationInfo) -> bool:
    """Whether a value is read back, and rules of the door that are newer than it do not hold."""
    return info.context == KEPT

"""The base of every value in the project: frozen, closed, compared by content.

A field that nobody knows is an error here; leniency towards what the CLI and Anthropic send is
the business of ``pool.claude`` alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, ValidationInfo


class Value(BaseModel):
    """A frozen pydantic model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


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


KEPT = {"kept": True}
"""The context in which what this pool has kept is read: it came in by the door of its day."""


def is_kept(info: ValidationInfo) -> bool:
    """Whether a value is read back, and rules of the door that are newer than it do not hold."""
    return info.context == KEPT

"""The retraction of usage from outside: what somebody reported by mistake is taken back.

Nothing is overwritten. A further record of the same instant takes away what the first one added, so
that every sum over any time is what it would have been, and the first one bears the note that it
was retracted, when and by whom. It happens once: the ids of both are known from then on, so the
same usage reported again is not counted. What Anthropic's report has taken away already
(adjustments) is not taken twice: no sum of a block sinks below nothing by a retraction.

What the pool's own runs cost cannot be taken back, nor can adjustments here: those are reversed
where they were made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pool.errors import InvalidRequest
from pool.foreign_text import fit
from pool.money import Usd
from pool.usage.records import ModelUsage, Retraction, Usage, UsageRecord, UsageSource
from pool.usage.shown_usage import ShownRecord
from pool.values import Instant, Value

MOST_AT_ONCE = 500
"""Records of one call."""
RETRACTABLE = frozenset({UsageSource.EXTERNAL, UsageSource.OUTSIDE})
PREFIX = "retraction:"

RecordId = Annotated[str, Field(min_length=1, max_length=200)]


class UsageToRetract(Value):
    """The body of ``POST /v1/subscriptions/{id}/usage/retract``: records by their ids, or all of a
    source with ``since <= timestamp < until``.
    """

    ids: Annotated[tuple[RecordId, ...], Field(max_length=MOST_AT_ONCE)] = ()
    """As the list of usage shows them."""
    source: Literal[UsageSource.EXTERNAL, UsageSource.OUTSIDE] | None = None
    since: Instant | None = None
    until: Instant | None = None
    reason: str | None = Field(default=None, max_length=200)
    """For whoever reads the list."""

    @model_validator(mode="before")
    @classmethod
    def _mended(cls, wanted: Any) -> Any:
        """What no store could keep is replaced, as it was in what was reported."""
        return fit(wanted)

    @model_validator(mode="after")
    def _says_which(self) -> UsageToRetract:
        period = (self.source, self.since, self.until)
        if self.ids and any(each is not None for each in period):
            raise ValueError(
                "names records by ids, or a period by source, since and until: not both"
            )
        if not self.ids and None in period:
            raise ValueError("names neither ids, nor a period by source, since and until")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("names a period that ends before it begins")
        return self


class RetractedUsage(Value):
    """What was taken back by one call."""

    records: tuple[ShownRecord, ...]
    """Those that take away, each with ``retraction.of`` and what it took, below nothing."""
    cost_usd: Usd
    """What was taken away, in all."""
    more: bool
    """Whether there is more in the period: ask again."""


def check_retractable(record: UsageRecord) -> None:
    """Raise ``InvalidRequest`` for a record that is no usage from outside."""
    if record.source not in RETRACTABLE or record.retraction is not None:
        what = "a retraction" if record.retraction else f"of the source {record.source.value!r}"
        problem = f"{record.id!r} is {what}: usage from outside alone is taken back"
        raise InvalidRequest("ids", problem)


def retracted(
    record: UsageRecord, left: Mapping[str, ModelUsage], retraction: Retraction
) -> tuple[UsageRecord, UsageRecord]:
    """The record with its note, and the one that takes it away. ``left`` is what its block comes to
    by model: no figure of it sinks below nothing.
    """
    taken = {
        name: _less(usage, left.get(name, ModelUsage()))
        for name, usage in record.usage.models.items()
    }
    noted = record.model_copy(update={"retracted": retraction})
    return noted, UsageRecord(
        id=f"{PREFIX}{record.id}"[:200],
        subscription_id=record.subscription_id,
        timestamp=record.timestamp,
        source=record.source,
        session_id=record.session_id,
        retraction=retraction,
        usage=Usage(models=taken),
    )


def _less(usage: ModelUsage, left: ModelUsage) -> ModelUsage:
    there = left.model_dump()
    return ModelUsage(
        **{name: -min(count, max(0, there[name])) for name, count in usage.model_dump().items()}
    )


def of_period(records: Iterable[UsageRecord]) -> list[str]:
    """The ids of those that may be taken back."""
    return [
        each.id
        for each in records
        if each.source in RETRACTABLE and each.retraction is None and each.retracted is None
    ]

"""Totals of hours, blocks and days, kept as records are: what usage is broken down from.

A total sums up the records of a period that are alike in everything usage is broken down by, but
for their sessions, of which there are too many. Each record adds to one total of its hour, of its
block and of its day for each of its models, so that a range of time is told from a few totals: its
whole days, the blocks and hours that are left at its ends, and of an hour that an end cuts the
records. Sums are of integers: they are exactly those of the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from pool.usage.blocks import Block, block_at
from pool.usage.records import ModelUsage, UsageRecord, UsageSource
from pool.values import Instant, Value

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
"""The last day that has a day after it. There is no usage in it."""


class Period(StrEnum):
    """A span of the calendar, in UTC. A block is made of whole hours, and a day of whole blocks."""

    HOUR = "hour"
    BLOCK = "block"
    DAY = "day"


class Kind(Value):
    """What records of a total have in common."""

    source: UsageSource
    caller: str | None = None
    tenant: str | None = None
    """The one that sees them."""
    model: str | None = None
    """None of a record of no model."""
    tags: dict[str, str] = Field(default_factory=dict)


class PeriodTotal(Value):
    """The sum of the records of a period and a kind."""

    period: Period
    starts_at: Instant
    kind: Kind
    records: int
    """Those of the model."""
    counted: int
    """Of them those that have no other model before it: added up over models, each record counts
    once."""
    usage: ModelUsage


class Part(NamedTuple):
    """A part of a range of time: whole periods of a length, or what records tell: a part of one
    hour, or of a block that totals of periods say nothing of.
    """

    period: Period | None
    since: datetime
    until: datetime


def kinds_of(record: UsageRecord) -> list[tuple[Kind, int, ModelUsage]]:
    """What a record adds to the totals of its hour, its block and its day: to which kinds, whether
    it is counted there (1, or 0), and what.
    """
    named = sorted(record.usage.models.items(), key=lambda each: each[0])
    models: Sequence[tuple[str | None, ModelUsage]] = named or [(None, ModelUsage())]
    common = Kind(
        source=record.source,
        caller=record.caller,
        tenant=record.belongs_to,
        tags=dict(sorted(record.tags.items())),
    )
    return [
        (common.model_copy(update={"model": model}), int(number == 0), usage)
        for number, (model, usage) in enumerate(models)
    ]


def begin(period: Period, instant: datetime) -> datetime:
    """The first instant of the period that an instant falls in."""
    utc = instant.astimezone(UTC)
    match period:
        case Period.HOUR:
            return utc.replace(minute=0, second=0, microsecond=0)
        case Period.BLOCK:
            return block_at(utc).starts_at
        case Period.DAY:
            return utc.replace(hour=0, minute=0, second=0, microsecond=0)


def _hour_end(instant: datetime) -> datetime:
    return begin(Period.HOUR, instant) + _HOUR


_END: dict[Period, Callable[[datetime], datetime]] = {
    Period.DAY: lambda instant: begin(Period.DAY, instant) + _DAY,
    Period.BLOCK: lambda instant: block_at(instant).ends_at,
    Period.HOUR: _hour_end,
}
"""The ends of the periods that an instant falls in, the longest first."""


def cut(
    since: datetime, until: datetime, periods: Iterable[Period], lacking: Iterable[Block] = ()
) -> tuple[Part, ...]:
    """A range of time in as few parts as can be: whole periods of these lengths, and what an end
    leaves of an hour. What lies in a block of ``lacking``, of which totals do not hold every
    record, is a part of no period, and no other takes it in.
    """
    usable = {*periods}
    ends = [(period, end) for period, end in _END.items() if period in usable]
    at, until = since.astimezone(UTC), min(until.astimezone(UTC), _LATEST)
    found: list[Part] = []
    for block in sorted(lacking, key=lambda each: each.starts_at):
        begins_at, ends_at = max(at, block.starts_at), min(until, block.ends_at)
        if begins_at < ends_at:
            found += [*_whole(at, begins_at, ends), Part(None, begins_at, ends_at)]
            at = ends_at
    return (*found, *_whole(at, until, ends))


def _whole(
    at: datetime, until: datetime, ends: Sequence[tuple[Period, Callable[[datetime], datetime]]]
) -> list[Part]:
    found: list[Part] = []
    while at < until:
        whole = ((period, end(at)) for period, end in ends if begin(period, at) == at)
        period, ends_at = next(
            ((period, end) for period, end in whole if end <= until),
            (None, min(until, _hour_end(at))),
        )
        if found and period is not None and found[-1].period is period:
            found[-1] = found[-1]._replace(until=ends_at)
        else:
            found.append(Part(period, at, ends_at))
        at = ends_at
    return found

"""Totals of periods in a ledger: as rows, and as they are read for a range of time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pool.storage.database import Bindings, Db
from pool.storage.documents import document, instant, micros, read_document
from pool.storage.ledger.rows import model_usage
from pool.usage.blocks import Block, block_at
from pool.usage.periods import Kind, Part, Period, PeriodTotal, begin, cut, kinds_of
from pool.usage.records import UsageRecord

_HOUR = timedelta(hours=1)
_HOUR_MICROS = 3_600_000_000
_DAY_MICROS = 24 * _HOUR_MICROS


class ReadPart(NamedTuple):
    """A part of a range that its records tell."""

    part: Part
    documents: list[str]
    is_whole: bool
    """Whether all records that its hour, or its block, ever had are still there."""


class PeriodRows(NamedTuple):
    """What is kept of a range of time, as it was at one instant."""

    since: datetime
    """From here on every record is in it."""
    totals: list[Any]
    """``(starts_at, kind, records, counted)`` and five figures each."""
    read: list[ReadPart]
    is_too_much: bool
    """There is more of it than was wanted, and a part is missing here."""


def total_columns(total: PeriodTotal) -> Bindings:
    return {
        "period": total.period.value,
        "starts_at": micros(total.starts_at),
        "kind": document(total.kind),
        "tenant": total.kind.tenant,
        "records": total.records,
        "counted": total.counted,
        **total.usage.model_dump(),
    }


def period_total(row: Sequence[Any]) -> PeriodTotal:
    period, starts_at, kind, records, counted, *figures = row
    return PeriodTotal(
        period=Period(period),
        starts_at=instant(starts_at),
        kind=read_document(Kind, kind),
        records=records,
        counted=counted,
        usage=model_usage(figures),
    )


def added_columns(record: UsageRecord) -> Bindings:
    """What a record adds to the totals of its periods, as the statement that adds it takes it;
    when its block begins is known to that already.
    """
    kinds = [
        {"kind": document(kind), "counted": counted, **usage.model_dump()}
        for kind, counted, usage in kinds_of(record)
    ]
    at = micros(record.timestamp)
    return {
        "hour": at - at % _HOUR_MICROS,
        "day": at - at % _DAY_MICROS,
        "kinds": json.dumps(kinds),
    }


async def rows_between(
    db: Db,
    since: datetime,
    until: datetime,
    periods: Iterable[Period],
    tenant: str | None,
    most: int,
) -> PeriodRows:
    """Totals of these periods that make up a range, of a tenant or of everybody, with the records
    of hours that an end of it cuts, and of blocks of which the totals lack some (an earlier release
    added them, or they could not be read as totals were made): ``most`` rows at the most. A block
    that lacks some, and of which records are gone too, is where the range begins.
    """
    since, lacking = await _lacking(db, since, until)
    totals: list[Any] = []
    read: list[ReadPart] = []
    left = most
    for part in cut(since, until, periods, lacking):
        if part.period is None:
            is_whole = block_at(part.since) in lacking or await _is_whole_hour(db, part)
            read.append(ReadPart(part, await _documents(db, part, tenant, left + 1), is_whole))
            left -= len(read[-1].documents)
        else:
            wanted = _between(part, tenant) | {"period": part.period.value, "limit": left + 1}
            name = "period_totals" if tenant is None else "period_totals_by_tenant"
            found = await db.rows(name, wanted)
            totals += found
            left -= len(found)
        if left < 0:
            return PeriodRows(since, totals, read, is_too_much=True)
    return PeriodRows(since, totals, read, is_too_much=False)


async def _lacking(db: Db, since: datetime, until: datetime) -> tuple[datetime, list[Block]]:
    """Where a range begins, and the blocks in it that totals of periods say nothing of, but whose
    records are all there.
    """
    found: list[Block] = []
    span = {"since": micros(block_at(since).starts_at), "until": micros(until)}
    for starts_at, records in await db.rows("blocks_without_periods", span):
        block = block_at(instant(starts_at))
        whole = {"since": micros(block.starts_at), "until": micros(block.ends_at)}
        (kept,) = await db.first("count_records", whole)
        if kept != records:
            return max(since, block.ends_at), found
        found.append(block)
    return since, found


async def _is_whole_hour(db: Db, part: Part) -> bool:
    starts_at = begin(Period.HOUR, part.since)
    hour = {"since": micros(starts_at), "until": micros(starts_at + _HOUR)}
    (kept,) = await db.first("count_records", hour)
    (were,) = await db.first("records_of_hour", hour)
    return bool(kept == were)


async def _documents(db: Db, part: Part, tenant: str | None, limit: int) -> list[str]:
    below = {"at": micros(part.until), "id": "", "source": None, "limit": limit}
    name = "usage" if tenant is None else "usage_by_tenant"
    found = await db.rows(name, _between(part, tenant) | below)
    return [text for _, _, text in found]


def _between(part: Part, tenant: str | None) -> Bindings:
    return {"since": micros(part.since), "until": micros(part.until), "tenant": tenant}

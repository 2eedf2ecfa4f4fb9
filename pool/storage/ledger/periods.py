"""Totals of periods in a ledger: as rows, and as they are read for a range of time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pool.storage.database import Bindings, Db
from pool.storage.documents import document, instant, micros, read_document
from pool.storage.ledger.rows import model_usage
from pool.usage.blocks import block_at
from pool.usage.periods import Kind, Part, Period, PeriodTotal, begin, cut, kinds_of
from pool.usage.records import UsageRecord

_HOUR = timedelta(hours=1)
_HOUR_MICROS = 3_600_000_000
_DAY_MICROS = 24 * _HOUR_MICROS


class CutHour(NamedTuple):
    """A part of one hour, which its records tell."""

    part: Part
    documents: list[str]
    is_whole: bool
    """Whether all records that the hour ever had are still there."""


class PeriodRows(NamedTuple):
    """What is kept of a range of time, as it was at one instant."""

    since: datetime
    """From here on every record is in it."""
    totals: list[Any]
    """``(starts_at, kind, records, counted)`` and five figures each."""
    hours: list[CutHour]
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
    of hours that an end of it cuts: ``most`` rows at the most.
    """
    (lacking,) = await db.first("block_without_periods", {"until": micros(until)})
    if lacking is not None:
        since = max(since, block_at(instant(lacking)).ends_at)
    totals: list[Any] = []
    hours: list[CutHour] = []
    left = most
    for part in cut(since, until, periods):
        if part.period is None:
            hours.append(await _cut_hour(db, part, tenant, left + 1))
            left -= len(hours[-1].documents)
        else:
            wanted = _between(part, tenant) | {"period": part.period.value, "limit": left + 1}
            name = "period_totals" if tenant is None else "period_totals_by_tenant"
            found = await db.rows(name, wanted)
            totals += found
            left -= len(found)
        if left < 0:
            return PeriodRows(since, totals, hours, is_too_much=True)
    return PeriodRows(since, totals, hours, is_too_much=False)


async def _cut_hour(db: Db, part: Part, tenant: str | None, limit: int) -> CutHour:
    below = {"at": micros(part.until), "id": "", "source": None, "limit": limit}
    name = "usage" if tenant is None else "usage_by_tenant"
    found = await db.rows(name, _between(part, tenant) | below)
    starts_at = begin(Period.HOUR, part.since)
    hour = {"since": micros(starts_at), "until": micros(starts_at + _HOUR)}
    (kept,) = await db.first("count_records", hour)
    (were,) = await db.first("records_of_hour", hour)
    return CutHour(part, [text for _, _, text in found], is_whole=kept == were)


def _between(part: Part, tenant: str | None) -> Bindings:
    return {"since": micros(part.since), "until": micros(part.until), "tenant": tenant}

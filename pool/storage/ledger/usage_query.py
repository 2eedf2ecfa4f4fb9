"""Breaking the usage of one ledger down, where it lies: sums travel, records do not.

A question about anything but sessions is answered from the totals of periods, however many records
they sum up. Records are read in two places only: in an hour that the beginning or the end of the
range cuts in two, and in a block whose totals do not hold every record. All is read as it was at
one instant. Where retention has removed records of such a block, the answer from periods and
records ends with it; for everything before, the totals of blocks say what they can. Who asks for
totals of blocks alone gets those of whole blocks.

A question about sessions is answered from the records, one block after the other, newest first. A
block that has fewer records than its total counts has lost some to retention; the answer ends
there. The totals of blocks are read first: so a record that is added meanwhile is never taken for
one that is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache

from pool.errors import InvalidRequest
from pool.storage.documents import instant, micros, read_document, readable
from pool.storage.ledger.ledger import Ledger
from pool.storage.ledger.periods import PeriodRows
from pool.storage.paging import cursor_at
from pool.usage.blocks import most_blocks
from pool.usage.breakdown.breakdown import UsageTable
from pool.usage.breakdown.coverage import covered
from pool.usage.breakdown.groups import NOTHING, Sums, parts_of_block, parts_of_record
from pool.usage.breakdown.period_sums import PeriodSums, periods_for
from pool.usage.breakdown.question import Question, check_tags
from pool.usage.periods import Kind
from pool.usage.records import UsageRecord
from pool.usage.totals import BlockTotal

_AT_ONCE = 500
MOST_ROWS = 100_000
"""Read for one answer, which has to be there before the call that asks for it is given up."""


async def usage_table(ledger: Ledger, asked: Question, tags: tuple[str, ...] = ()) -> UsageTable:
    """The sums of a ledger's records in a range, by what is asked; ``tags`` are those that records
    keep.

    ``InvalidRequest`` where that takes more rows, or makes more groups, than one answer may, and
    for a tag that no record keeps.
    """
    check_tags(asked.group_by, tags)
    if asked.by_totals:
        blocks = await _blocks(ledger, asked.since, asked.until)
        table = await asyncio.to_thread(_table, ledger.subscription_id, asked, Sums(), 0, blocks)
    elif asked.needs_records:
        table = await _by_records(ledger, asked)
    else:
        table = await _by_periods(ledger, asked)
    return table.model_copy(update={"tags": tags})


async def _by_periods(ledger: Ledger, asked: Question) -> UsageTable:
    periods = periods_for(asked.group_by)
    found = await ledger.periods(asked.since, asked.until, periods, asked.tenant, MOST_ROWS)
    if found.is_too_much:
        raise _too_much(ledger)
    older = []
    if asked.blocks_can_tell and asked.since < found.since:
        older = await _blocks(ledger, asked.since, min(asked.until, found.since))
    # On a thread, here and below: other calls go on meanwhile.
    return await asyncio.to_thread(_of_periods, ledger.subscription_id, asked, found, older)


def _of_periods(
    subscription_id: str, asked: Question, found: PeriodRows, older: Sequence[BlockTotal]
) -> UsageTable:
    periods = PeriodSums(asked.group_by, subscription_id)
    kind = cache(lambda text: read_document(Kind, text))
    at = cache(instant)
    for starts_at, text, records, counted, *figures in found.totals:
        periods.add(at(starts_at), kind(text), records, counted, figures)
    sums, counted = Sums(), periods.counted
    sums.add(periods.groups())
    gaps: list[tuple[datetime, datetime]] = []
    for part, documents, is_whole in found.read:
        records_there = list(readable(UsageRecord, documents))
        if is_whole and len(records_there) == len(documents):
            counted += _add(sums, asked, records_there)
        else:
            gaps.append((part.since, part.until))
    return _table(
        subscription_id, asked, sums, counted, older, records_since=found.since, gaps=gaps
    )


async def _by_records(ledger: Ledger, asked: Question) -> UsageTable:
    blocks = await _blocks(ledger, asked.since, asked.until)
    sums, read, counted, whole = Sums(), 0, 0, 0
    for block in blocks:
        records = await _records(ledger, block, asked, MOST_ROWS - read)
        if await _kept(ledger, block, asked, records) < block.records:
            break
        read, whole = read + len(records), whole + 1
        counted += await asyncio.to_thread(_add, sums, asked, records)
    older = blocks[whole:]
    return await asyncio.to_thread(_table, ledger.subscription_id, asked, sums, counted, older)


def _too_much(ledger: Ledger) -> InvalidRequest:
    problem = f"takes in more than {MOST_ROWS} totals and records of {ledger.subscription_id}"
    return InvalidRequest("since", f"{problem}: ask for a shorter range")


def empty_table(subscription_id: str, asked: Question, tags: tuple[str, ...] = ()) -> UsageTable:
    """What ``usage_table`` says of a ledger that has no record in the range."""
    check_tags(asked.group_by, tags)
    spans = covered(asked, subscription_id, asked.until if asked.by_totals else asked.since, ())
    return UsageTable(groups=(), total=NOTHING, covered=spans, tags=tags)


def _add(sums: Sums, asked: Question, records: Iterable[UsageRecord]) -> int:
    """Add those in the range; how many they were."""
    inside = [each for each in records if asked.since <= each.timestamp < asked.until]
    for record in inside:
        sums.add(parts_of_record(asked.group_by, record))
    return len(inside)


def _table(
    subscription_id: str,
    asked: Question,
    sums: Sums,
    counted: int,
    older: Sequence[BlockTotal],
    *,
    records_since: datetime | None = None,
    gaps: Sequence[tuple[datetime, datetime]] = (),
) -> UsageTable:
    """What records show, and the totals of older blocks that lie in the range."""
    for block in older if asked.blocks_can_tell else ():
        if asked.since <= block.starts_at and block.ends_at <= asked.until:
            sums.add(parts_of_block(asked.group_by, subscription_id, block))
            counted += block.records
    groups = sums.groups()
    if asked.by_totals:
        records_since = asked.until
    elif records_since is None:
        records_since = older[0].ends_at if older else asked.since
    return UsageTable(
        groups=groups,
        total=sum(groups, NOTHING).model_copy(update={"records": counted}),
        covered=covered(asked, subscription_id, records_since, older, gaps),
    )


async def _blocks(ledger: Ledger, since: datetime, until: datetime) -> list[BlockTotal]:
    """Those that have a part in a range, newest first, in pages that go no further back."""
    found: list[BlockTotal] = []
    limit = min(_AT_ONCE, most_blocks(until - since))
    cursor: str | None = cursor_at("blocks", (micros(until), ""))
    while True:
        page = await ledger.blocks(limit=limit, cursor=cursor)
        found += [each for each in page.items if since < each.ends_at]
        cursor = page.next_cursor
        if cursor is None or page.items[-1].starts_at < since:
            return found


async def _kept(
    ledger: Ledger, block: BlockTotal, asked: Question, records: Sequence[UsageRecord]
) -> int:
    """The number of records that a block still has, those of other tenants included."""
    if asked.tenant is None:
        return len(records)
    return await ledger.count_records(block.starts_at, block.ends_at)


async def _records(
    ledger: Ledger, block: BlockTotal, asked: Question, most: int
) -> list[UsageRecord]:
    found: list[UsageRecord] = []
    cursor = None
    while True:
        page = await ledger.usage(
            limit=_AT_ONCE,
            cursor=cursor,
            since=block.starts_at,
            until=block.ends_at,
            tenant=asked.tenant,
        )
        found += page.items
        cursor = page.next_cursor
        if len(found) > most:
            raise _too_much(ledger)
        if cursor is None:
            return found

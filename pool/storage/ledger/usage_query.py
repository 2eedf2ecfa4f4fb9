"""Breaking the usage of one ledger down, where it lies: sums travel, records do not.

Totals of blocks are read first, then the records of one block after the other, newest first. A
block that has fewer records than its total counts has lost some to retention: from there back the
totals say what they can. Who asks for the totals alone has them however many records there are,
of whole blocks. Reading in this order a record that is added meanwhile is never taken for
one that is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from pool.errors import InvalidRequest
from pool.storage.ledger.ledger import Ledger
from pool.usage.blocks import most_blocks
from pool.usage.breakdown import (
    NOTHING,
    Question,
    Sums,
    UsageTable,
    check_tags,
    covered,
    parts_of_block,
    parts_of_record,
)
from pool.usage.records import UsageRecord
from pool.usage.totals import BlockTotal

_AT_ONCE = 500
MOST_RECORDS = 100_000
"""Read for one answer, which has to be there before the call that asks for it is given up."""


async def usage_table(ledger: Ledger, asked: Question, tags: tuple[str, ...] = ()) -> UsageTable:
    """The sums of a ledger's records in a range, by what is asked; ``tags`` are those that records
    keep.

    ``InvalidRequest`` where that takes more records, or makes more groups, than one answer may, and
    for a tag that no record keeps.
    """
    check_tags(asked.group_by, tags)
    blocks = await _blocks(ledger, asked)
    sums, read, counted, covered = Sums(), 0, 0, 0
    for block in () if asked.by_totals else blocks:
        records = await _records(ledger, block, asked, MOST_RECORDS - read)
        if await _kept(ledger, block, asked, records) < block.records:
            break
        read, covered = read + len(records), covered + 1
        # On a thread, here and at the end: other calls go on meanwhile.
        counted += await asyncio.to_thread(_add, sums, asked, records)
    older = blocks[covered:]
    found = await asyncio.to_thread(_table, ledger.subscription_id, asked, sums, counted, older)
    return found.model_copy(update={"tags": tags})


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
    subscription_id: str, asked: Question, sums: Sums, counted: int, older: Sequence[BlockTotal]
) -> UsageTable:
    """What records show, and the totals of older blocks that lie in the range."""
    for block in older if asked.blocks_can_tell else ():
        if asked.since <= block.starts_at and block.ends_at <= asked.until:
            sums.add(parts_of_block(asked.group_by, subscription_id, block))
            counted += block.records
    groups = sums.groups()
    records_since = older[0].ends_at if older else asked.since
    if asked.by_totals:
        records_since = asked.until
    return UsageTable(
        groups=groups,
        total=sum(groups, NOTHING).model_copy(update={"records": counted}),
        covered=covered(asked, subscription_id, records_since, older),
    )


async def _blocks(ledger: Ledger, asked: Question) -> list[BlockTotal]:
    """Those that have a part in the range, newest first. A range that ends now, as most do, is read
    in one page that goes no further back than the range.
    """
    found: list[BlockTotal] = []
    cursor, limit = None, min(_AT_ONCE, most_blocks(asked.until - asked.since))
    while True:
        page = await ledger.blocks(limit=limit, cursor=cursor)
        found += [
            each
            for each in page.items
            if each.starts_at < asked.until and asked.since < each.ends_at
        ]
        cursor = page.next_cursor
        if cursor is None or page.items[-1].starts_at < asked.since:
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
            problem = f"takes in more than {MOST_RECORDS} records of {ledger.subscription_id}"
            raise InvalidRequest("since", f"{problem}: ask for a shorter range")
        if cursor is None:
            return found

from __future__ import annotations

from datetime import datetime, timedelta

from pool.usage.breakdown.coverage import covered
from pool.usage.breakdown.question import Grouping, question
from tests.support.values.usage_records import NOON, block_total

MIDNIGHT = NOON.replace(hour=0)
BLOCKS = [block_total(MIDNIGHT + timedelta(hours=h)) for h in (10, 5, 0)]  # newest first


def spans(
    group_by: Grouping, since: datetime, until: datetime, records_since: datetime
) -> list[tuple[str, int, int]]:
    asked = question([group_by], since, until, NOON)
    older = [each for each in BLOCKS if each.ends_at <= records_since]
    older = [each for each in older if each.ends_at > since and each.starts_at < until]
    return [
        (
            each.source,
            *(int((at - MIDNIGHT).total_seconds() / 3600) for at in (each.since, each.until)),
        )
        for each in covered(asked, "sub1", records_since, older)
    ]


def at(hour: int) -> datetime:
    return MIDNIGHT + timedelta(hours=hour)


def test_blocks_cover_what_records_no_longer_do() -> None:
    assert spans(Grouping.DAY, at(-2), at(12), at(10)) == [("blocks", -2, 10), ("records", 10, 12)]


def test_records_alone_know_sessions() -> None:
    assert spans(Grouping.SESSION, at(0), at(12), at(10)) == [("records", 10, 12)]


def test_a_block_that_the_range_cuts_cannot_be_told() -> None:
    assert spans(Grouping.DAY, at(1), at(12), at(10)) == [("blocks", 5, 10), ("records", 10, 12)]
    assert spans(Grouping.DAY, at(0), at(7), at(15)) == [("blocks", 0, 5)]
    assert spans(Grouping.DAY, at(6), at(7), at(15)) == []

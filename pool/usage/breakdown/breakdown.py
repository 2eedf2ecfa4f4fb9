"""The answer: the sums of each ledger, and of all together as they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import Field

from pool.money import Usd, usd
from pool.usage.breakdown.coverage import CoveredSpan
from pool.usage.breakdown.groups import NOTHING, CostSource, Group, Sums
from pool.usage.breakdown.question import TAG, GroupBy, Grouping, Question
from pool.values import Instant, Value


class UsageTable(Value):
    """The answer of one ledger."""

    groups: tuple[Group, ...]
    total: Group
    covered: tuple[CoveredSpan, ...]
    tags: tuple[str, ...] = ()
    """The keys of metadata that it can be summed by."""


class UsageRow(Value):
    """One group as it is shown. Of the first seven fields it has those that were asked for; null
    where the records name none.
    """

    day: str | None = None
    """In UTC."""
    block: str | None = None
    model: str | None = None
    session: str | None = None
    key: str | None = None
    """The name of the caller's key."""
    subscription: str | None = None
    tags: dict[str, str | None] = Field(default_factory=dict)
    """By the key of the metadata."""
    records: int | None
    """How many records; one of several models counts in each. Null: only totals by block are left,
    which do not say."""
    cost_usd: Usd
    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    cost_usd_by_source: dict[CostSource, Usd]
    """Where the cost comes from; `blocks` is what only the totals of blocks still hold."""


class UsageBreakdown(Value):
    """Usage of the pool, broken down. The rows add up to the total exactly."""

    group_by: tuple[GroupBy, ...]
    since: Instant
    until: Instant
    is_complete: bool
    """Whether the whole range is covered, for every subscription."""
    items: tuple[UsageRow, ...]
    total: UsageRow
    covered: tuple[CoveredSpan, ...]
    """What the sums are exact for, by subscription; anything else is in none of them."""
    tags: tuple[str, ...] = ()
    """What else it can be summed by: the keys of metadata that ``pool.tags`` names."""


def part_of(row: UsageRow, grouping: GroupBy) -> str | None:
    """What a row has in common by a grouping."""
    if isinstance(grouping, Grouping):
        part: str | None = getattr(row, grouping.value)
        return part
    return row.tags.get(grouping.removeprefix(TAG))


def breakdown(asked: Question, tables: Sequence[UsageTable]) -> UsageBreakdown:
    """The answers of all ledgers as one."""
    sums = Sums()
    for table in tables:
        sums.add(table.groups)
    spans = tuple(span for table in tables for span in table.covered)
    covered = sum((span.until - span.since for span in spans), timedelta())
    return UsageBreakdown(
        group_by=asked.group_by,
        since=asked.since,
        until=asked.until,
        is_complete=covered == (asked.until - asked.since) * len(tables),
        items=tuple(_row(asked.group_by, group) for group in sums.groups()),
        total=_row((), sum((table.total for table in tables), NOTHING)),
        covered=spans,
        tags=tuple(sorted({tag for table in tables for tag in table.tags})),
    )


def _row(group_by: Sequence[GroupBy], group: Group) -> UsageRow:
    common: dict[str, Any] = {}
    for each, part in zip(group_by, group.by, strict=True):
        if isinstance(each, Grouping):
            common[each.value] = part
        else:
            common.setdefault("tags", {})[each.removeprefix(TAG)] = part
    by_source = group.nano_usd_by_source.items()
    return UsageRow.model_validate(
        {
            **common,
            "records": group.records,
            "cost_usd": usd(group.usage.cost_nano_usd),
            **group.usage.model_dump(exclude={"cost_nano_usd"}),
            "cost_usd_by_source": {source: usd(nano) for source, nano in by_source},
        }
    )

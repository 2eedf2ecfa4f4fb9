"""The groups of a breakdown, and what a record or a block's total adds to which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from pydantic import Field

from pool.errors import InvalidRequest
from pool.usage.blocks import block_at
from pool.usage.breakdown.question import TAG, GroupBy, Grouping
from pool.usage.records import ModelUsage, UsageRecord, UsageSource
from pool.usage.totals import BlockTotal
from pool.values import Value

MOST_GROUPS = 20_000
"""Of one answer: it is made in memory."""

By = tuple[str | None, ...]
"""What a group has in common, in the order of the groupings; None where a record names none."""


class CostSource(StrEnum):
    """Where a cost comes from: as records say it, or a block's total, which does not say."""

    CLI = UsageSource.CLI.value
    PARTIAL = UsageSource.PARTIAL.value
    EXTERNAL = UsageSource.EXTERNAL.value
    OUTSIDE = UsageSource.OUTSIDE.value
    ADJUSTMENT = UsageSource.ADJUSTMENT.value
    BLOCKS = "blocks"


class Group(Value):
    """The sum of records that have something in common."""

    by: By
    records: int | None
    """A record of several models counts in each; None where a block's total does not say."""
    usage: ModelUsage
    nano_usd_by_source: dict[CostSource, int] = Field(default_factory=dict)

    def __add__(self, other: Group) -> Group:
        known = self.records is not None and other.records is not None
        ours, theirs = self.nano_usd_by_source, other.nano_usd_by_source
        return Group(
            by=self.by,
            records=(self.records or 0) + (other.records or 0) if known else None,
            usage=self.usage + other.usage,
            nano_usd_by_source={
                source: ours.get(source, 0) + theirs.get(source, 0)
                for source in CostSource
                if source in ours or source in theirs
            },
        )


NOTHING = Group(by=(), records=0, usage=ModelUsage())


def parts_of_record(group_by: Sequence[GroupBy], record: UsageRecord) -> Iterable[Group]:
    """What a record adds to which groups: one, or one a model."""
    for name, usage in _models(group_by, record.usage.models):
        yield Group(
            by=tuple(
                _name(each, record, name)
                if isinstance(each, Grouping)
                else record.tags.get(each.removeprefix(TAG))
                for each in group_by
            ),
            records=1,
            usage=usage,
            nano_usd_by_source={CostSource(record.source.value): usage.cost_nano_usd},
        )


def _name(grouping: Grouping, record: UsageRecord, model: str | None) -> str | None:
    match grouping:
        case Grouping.DAY:
            return day_of(record.timestamp)
        case Grouping.BLOCK:
            return block_at(record.timestamp).id
        case Grouping.MODEL:
            return model
        case Grouping.SESSION:
            return record.session_id
        case Grouping.KEY:
            return record.caller
        case Grouping.SUBSCRIPTION:
            return record.subscription_id
        case never:
            assert_never(never)


def parts_of_block(
    group_by: Sequence[GroupBy], subscription_id: str, block: BlockTotal
) -> Iterable[Group]:
    """What a block's total adds to which groups, none of which is a session, a key or a tag."""
    known: dict[GroupBy, str] = {
        Grouping.DAY: day_of(block.starts_at),  # a block lies within one day
        Grouping.BLOCK: block.block_id,
        Grouping.SUBSCRIPTION: subscription_id,
    }
    for name, usage in _models(group_by, block.usage.models):
        yield Group(
            by=tuple(name if each is Grouping.MODEL else known[each] for each in group_by),
            records=None if Grouping.MODEL in group_by else block.records,
            usage=usage,
            nano_usd_by_source={CostSource.BLOCKS: usage.cost_nano_usd},
        )


def day_of(instant: datetime) -> str:
    """The day of UTC that an instant falls in."""
    return instant.astimezone(UTC).date().isoformat()


def _models(
    group_by: Sequence[GroupBy], models: dict[str, ModelUsage]
) -> Iterable[tuple[str | None, ModelUsage]]:
    if Grouping.MODEL in group_by and models:
        return models.items()
    return [(None, sum(models.values(), ModelUsage()))]


class Sums:
    """Groups as they grow. ``InvalidRequest`` once they are too many for an answer."""

    def __init__(self) -> None:
        self._groups: dict[By, Group] = {}

    def add(self, parts: Iterable[Group]) -> None:
        for part in parts:
            known = self._groups.get(part.by)
            self._groups[part.by] = part if known is None else known + part
        if len(self._groups) > MOST_GROUPS:
            problem = f"makes more than {MOST_GROUPS} groups: ask for a shorter range or fewer"
            raise InvalidRequest("group_by", problem)

    def groups(self) -> tuple[Group, ...]:
        """In the order of what they have in common, what names nothing last."""
        return tuple(sorted(self._groups.values(), key=lambda group: _order(group.by)))


def _order(by: By) -> tuple[tuple[bool, str], ...]:
    return tuple((part is None, part or "") for part in by)

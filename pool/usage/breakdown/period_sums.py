"""Groups of a breakdown from totals of periods: the same that their records would make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import assert_never

from pool.usage.blocks import block_at
from pool.usage.breakdown.groups import By, CostSource, Group, day_of
from pool.usage.breakdown.question import TAG, GroupBy, Grouping
from pool.usage.periods import Kind, Period
from pool.usage.records import ModelUsage


def periods_for(group_by: Sequence[GroupBy]) -> tuple[Period, ...]:
    """Those whose totals can be told apart by what is asked: a day does not know its blocks."""
    known = (Period.HOUR, Period.BLOCK)
    return known if Grouping.BLOCK in group_by else (*known, Period.DAY)


class PeriodSums:
    """Totals of one subscription as they are added up. Bare numbers: a range may have thousands."""

    def __init__(self, group_by: Sequence[GroupBy], subscription_id: str) -> None:
        self._group_by = group_by
        self._subscription_id = subscription_id
        self._by_model = Grouping.MODEL in group_by
        self._sums: dict[By, list[int]] = {}
        """Records, and the five figures of a usage."""
        self._costs: dict[By, dict[CostSource, int]] = {}
        self.counted = 0
        """Records, each once."""

    def add(
        self, starts_at: datetime, kind: Kind, records: int, counted: int, figures: Sequence[int]
    ) -> None:
        """Add a total; ``figures`` are its tokens of input, of output, written to and read from the
        cache, and its nano-dollars.
        """
        by = tuple(self._name(each, starts_at, kind) for each in self._group_by)
        here = (records if self._by_model else counted, *figures)
        known = self._sums.get(by)
        self._sums[by] = (
            list(here) if known is None else [a + b for a, b in zip(known, here, strict=True)]
        )
        costs, source = self._costs.setdefault(by, {}), CostSource(kind.source.value)
        costs[source] = costs.get(source, 0) + figures[-1]
        self.counted += counted

    def groups(self) -> Iterator[Group]:
        for by, (records, *figures) in self._sums.items():
            costs = self._costs[by]
            yield Group(
                by=by,
                records=records,
                usage=ModelUsage(
                    input_tokens=figures[0],
                    output_tokens=figures[1],
                    cache_creation_input_tokens=figures[2],
                    cache_read_input_tokens=figures[3],
                    cost_nano_usd=figures[4],
                ),
                nano_usd_by_source={each: costs[each] for each in CostSource if each in costs},
            )

    def _name(self, grouping: GroupBy, starts_at: datetime, kind: Kind) -> str | None:
        if not isinstance(grouping, Grouping):
            return kind.tags.get(grouping.removeprefix(TAG))
        match grouping:
            case Grouping.DAY:
                return day_of(starts_at)
            case Grouping.BLOCK:
                return block_at(starts_at).id
            case Grouping.MODEL:
                return kind.model
            case Grouping.KEY:
                return kind.caller
            case Grouping.SUBSCRIPTION:
                return self._subscription_id
            case Grouping.SESSION:
                raise AssertionError("totals of periods know no sessions")
            case never:
                assert_never(never)

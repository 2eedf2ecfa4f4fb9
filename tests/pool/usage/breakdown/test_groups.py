from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.errors import InvalidRequest
from pool.money import nano_usd
from pool.usage.blocks import block_at
from pool.usage.breakdown import groups
from pool.usage.breakdown.groups import NOTHING, CostSource, Sums, parts_of_block, parts_of_record
from pool.usage.breakdown.question import Grouping
from pool.usage.records import ModelUsage, Usage, UsageRecord
from pool.usage.totals import total_usage
from tests.support.values.usage_records import (
    GROUPINGS,
    NOON,
    RECORDS,
    block_total,
    grouped,
    record,
)


@given(GROUPINGS, RECORDS)
def test_groups_add_up_to_the_records_exactly(
    group_by: list[Grouping], of: list[UsageRecord]
) -> None:
    together = sum(grouped(group_by, of), NOTHING)

    assert total_usage(each.usage for each in of).total == together.usage
    assert sum(together.nano_usd_by_source.values()) == together.usage.cost_nano_usd


@given(GROUPINGS, RECORDS)
def test_every_group_holds_what_has_its_names_and_nothing_else(
    group_by: list[Grouping], of: list[UsageRecord]
) -> None:
    for group in grouped(group_by, of):
        alone = [part for each in of for part in parts_of_record(group_by, each)]
        assert sum((p for p in alone if p.by == group.by), NOTHING).usage == group.usage


@given(st.sampled_from([(Grouping.DAY,), (Grouping.BLOCK, Grouping.MODEL)]), RECORDS)
def test_totals_of_blocks_tell_the_same_as_their_records(
    group_by: tuple[Grouping, ...], of: list[UsageRecord]
) -> None:
    sums = Sums()
    for starts_at in {block_at(each.timestamp).starts_at for each in of}:
        inside = [each for each in of if block_at(each.timestamp).starts_at == starts_at]
        sums.add(parts_of_block(group_by, "sub1", block_total(starts_at, *inside)))

    told = {group.by: group.usage for group in sums.groups()}

    spent = {group.by: group.usage for group in grouped(group_by, of)}
    nothing = ModelUsage()  # a block of several models has none without a name
    assert {by: usage for by, usage in spent.items() if usage != nothing} == {
        by: usage for by, usage in told.items() if usage != nothing
    }


def test_groups_are_sorted_and_what_names_nothing_comes_last() -> None:
    callers = ["b", None, "a", "B"]

    found = grouped([Grouping.KEY], [record(caller=each) for each in callers])

    assert [each.by for each in found] == [("B",), ("a",), ("b",), (None,)]


def test_a_record_of_two_models_counts_in_both_and_once_in_all() -> None:
    two = record(usage=Usage(models={"opus": ModelUsage(), "haiku": ModelUsage()}))

    assert [each.records for each in grouped([Grouping.MODEL], [two])] == [1, 1]
    assert [each.records for each in grouped([Grouping.DAY], [two])] == [1]


def test_a_total_of_a_block_does_not_say_how_many_records_were_of_a_model() -> None:
    total = block_total(NOON, record("1"), record("2", model="haiku"))

    (by_day,) = parts_of_block([Grouping.DAY], "sub1", total)
    by_model = list(parts_of_block([Grouping.MODEL], "sub1", total))

    assert by_day.records == 2
    assert [each.records for each in by_model] == [None, None]
    assert (by_model[0] + by_model[0]).records is None
    assert {CostSource.BLOCKS: nano_usd("3")} == by_day.nano_usd_by_source


def test_the_days_are_those_of_utc() -> None:
    late = datetime.fromisoformat("2026-01-28T23:30:00-05:00")

    (found,) = grouped([Grouping.DAY, Grouping.BLOCK], [record(timestamp=late)])

    assert found.by == ("2026-01-29", "2026-01-29T00:00:00.000Z")


def test_a_record_counts_for_the_value_of_its_tag_and_without_one_for_none() -> None:
    tagged = record(tags={"project": "billing", "team": "red"})

    assert [each.by for each in grouped(["tag:project"], [tagged, record()])] == [
        ("billing",),
        (None,),
    ]


def test_too_many_groups_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_GROUPS", 2)

    with pytest.raises(InvalidRequest, match="more than 2 groups"):
        grouped([Grouping.SESSION], [record(session_id=each) for each in "abc"])

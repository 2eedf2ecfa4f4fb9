from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pool.usage.breakdown.breakdown import UsageTable, breakdown
from pool.usage.breakdown.coverage import covered
from pool.usage.breakdown.groups import NOTHING
from pool.usage.breakdown.question import Grouping, question
from pool.usage.records import UsageRecord
from tests.support.values.usage_records import DAY, GROUPINGS, NOON, RECORDS, grouped, record


@given(GROUPINGS, RECORDS, st.randoms(use_true_random=False))
def test_neither_order_nor_ledgers_matter(
    group_by: list[Grouping], of: list[UsageRecord], random: Random
) -> None:
    asked = question(group_by, NOON - 4 * DAY, NOON + 4 * DAY, NOON)
    shuffled = random.sample(of, len(of))
    parts: list[list[UsageRecord]] = [shuffled[::2], shuffled[1::2]]

    def told(*ledgers: list[UsageRecord]) -> object:
        tables = [
            UsageTable(
                groups=grouped(group_by, each),
                total=sum(grouped((), each), NOTHING),
                covered=(),
            )
            for each in ledgers
        ]
        return breakdown(asked, tables).model_dump(exclude={"is_complete"})

    assert told(of) == told(*parts)


def test_a_gap_in_one_ledger_makes_the_whole_incomplete() -> None:
    asked = question([Grouping.SESSION], NOON - DAY, NOON, NOON)
    whole, part = (
        UsageTable(groups=(), total=NOTHING, covered=covered(asked, "sub1", since, []))
        for since in (NOON - DAY, NOON - DAY / 2)
    )

    assert breakdown(asked, [whole, whole]).is_complete
    assert not breakdown(asked, [whole, part]).is_complete


def test_a_row_has_the_names_that_were_asked_for() -> None:
    asked = question([Grouping.MODEL, Grouping.KEY], None, None, NOON)
    found = grouped(asked.group_by, [record("1.25", caller=None)])

    shown = breakdown(asked, [UsageTable(groups=found, total=NOTHING, covered=())]).items[0]

    assert {"model": "opus", "key": None, "records": 1, "cost_usd": Decimal("1.25")} == {
        name: value
        for name, value in shown.model_dump(exclude_unset=True).items()
        if name in {"day", "block", "model", "session", "key", "subscription", "records"}
        or name == "cost_usd"
    }


def test_rows_have_their_tags_beside_what_else_they_were_asked_for() -> None:
    tagged = record(tags={"project": "billing"})
    by = ["tag:project", Grouping.KEY]
    asked = question(by, NOON - timedelta(days=1), NOON + timedelta(days=1), NOON)
    table = UsageTable(groups=grouped(by, [tagged]), total=NOTHING, covered=(), tags=("project",))

    found = breakdown(asked, [table])

    (row,) = found.items
    assert (row.tags, row.key) == ({"project": "billing"}, None)
    assert "day" not in row.model_dump(exclude_unset=True)
    assert found.tags == ("project",)

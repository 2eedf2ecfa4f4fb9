from __future__ import annotations

import pytest

from api.cli.top.drawing.bars import FREE, USED, bar, parts_bar


@pytest.mark.parametrize(
    ("share", "used"), [(0, 0), (0.001, 1), (0.5, 5), (1, 10), (1.7, 10), (None, 0)]
)
def test_a_bar_is_used_in_proportion_and_something_is_never_nothing(
    share: float | None, used: int
) -> None:
    assert USED * used + FREE * (10 - used) == bar(share, 10).plain


def test_each_subscription_has_a_part_as_wide_as_its_plan() -> None:
    parts = parts_bar([(1, 1.0), (3, 0.0)], 40).plain.split()

    assert parts == [USED * 9, FREE * 29]


@pytest.mark.parametrize("count", [13, 15, 40, 60, 200])
def test_of_many_there_are_columns_that_fill_the_bar(count: int) -> None:
    columns = parts_bar([(1, 0.3)] * (count - 1) + [(1, 1.0)], 40).plain

    assert len(columns) == 40
    assert columns.rstrip().endswith("█")


def test_of_several_in_a_column_the_fullest_is_shown() -> None:
    assert "█" in parts_bar([(1, 1.0 if n == 33 else 0.1) for n in range(100)], 20).plain

from __future__ import annotations

import logging

import pytest

from pool.errors import InvalidRequest
from pool.storage.paging import page, start_of


def test_a_row_that_cannot_be_read_does_not_take_its_list_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = [(3, "c", "3"), (2, "b", "private words"), (1, "a", "1")]

    with caplog.at_level(logging.ERROR):
        listed = page("executions", 2, rows, lambda row: int(row[2]))

    assert listed.items == (3,)
    assert listed.next_cursor is not None
    assert start_of("executions", listed.next_cursor) == (2, "b")
    assert [each.message for each in caplog.records] == ["row cannot be read"]
    assert "private" not in caplog.text


def test_a_cursor_of_another_list_is_refused() -> None:
    listed = page("usage", 1, [(2, "b", ""), (1, "a", "")], lambda row: row[1])

    with pytest.raises(InvalidRequest):
        start_of("executions", listed.next_cursor)

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.usage.blocks import block_at, most_blocks
from pool.usage.spending import Spending

INSTANTS = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis takes naive bounds
    max_value=datetime(2035, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "block_id"),
    [
        ("2026-01-28T15:00:00", "2026-01-28T15:00:00.000Z"),
        ("2026-01-28T19:59:59.999999", "2026-01-28T15:00:00.000Z"),
        ("2026-01-28T20:00:00", "2026-01-28T20:00:00.000Z"),
        ("2026-01-28T23:59:59", "2026-01-28T20:00:00.000Z"),
        ("2026-01-29T00:00:00", "2026-01-29T00:00:00.000Z"),
        ("2026-01-29T04:59:59", "2026-01-29T00:00:00.000Z"),
        ("2026-01-29T05:00:00", "2026-01-29T05:00:00.000Z"),
    ],
)
def test_a_block_is_named_by_its_first_instant(instant: str, block_id: str) -> None:
    assert block_id == block_at(at(instant)).id


def test_the_block_at_eight_in_the_evening_is_four_hours_long() -> None:
    block = block_at(at("2026-01-28T21:00:00"))

    assert timedelta(hours=4) == block.ends_at - block.starts_at


def test_an_instant_of_another_zone_falls_in_the_block_of_its_utc_time() -> None:
    tokyo = timezone(timedelta(hours=9))

    assert block_at(datetime(2026, 1, 29, 1, 0, tzinfo=tokyo)).id == "2026-01-28T15:00:00.000Z"


@given(INSTANTS)
def test_every_instant_lies_in_its_block(instant: datetime) -> None:
    assert instant in block_at(instant)


@given(INSTANTS)
def test_blocks_follow_each_other_without_gap_or_overlap(instant: datetime) -> None:
    block = block_at(instant)

    assert block == block_at(block.ends_at - timedelta(microseconds=1))
    assert block.ends_at == block_at(block.ends_at).starts_at


def test_a_new_block_begins_at_zero() -> None:
    spending = Spending([(at("2026-01-28T14:59:59"), 7)])
    new = block_at(at("2026-01-28T15:00:00"))

    assert spending.within(new.starts_at, new.ends_at) == 0


@given(st.lists(st.tuples(INSTANTS, st.integers(0, 10**12))))
def test_the_blocks_of_all_records_sum_to_everything(costs: list[tuple[datetime, int]]) -> None:
    spending = Spending(costs)
    blocks = {block_at(instant).id: block_at(instant) for instant, _ in costs}

    total = sum(spending.within(block.starts_at, block.ends_at) for block in blocks.values())

    assert sum(cost for _, cost in costs) == total


@given(INSTANTS, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_no_span_of_time_has_more_blocks_than_is_said(since: datetime, span: timedelta) -> None:
    block, met = block_at(since), 1
    while block.ends_at < since + span:
        block, met = block_at(block.ends_at), met + 1

    assert met <= most_blocks(span) <= met + 6

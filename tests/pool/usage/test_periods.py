from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.usage.breakdown.period_sums import periods_for
from pool.usage.breakdown.question import Grouping
from pool.usage.periods import Part, Period, begin, cut, kinds_of
from pool.usage.records import ModelUsage, Usage, UsageRecord

MIDNIGHT = datetime(2026, 1, 28, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MICROSECONDS = st.integers(0, 5 * 86_400_000_000)
WHOLE_HOURS = st.integers(0, 120).map(lambda hours: hours * 3_600_000_000)
INSTANTS = (MICROSECONDS | WHOLE_HOURS).map(lambda after: MIDNIGHT + timedelta(microseconds=after))


def at(hours: float) -> datetime:
    return MIDNIGHT + hours * HOUR


def shown(parts: tuple[Part, ...]) -> list[tuple[str | None, float, float]]:
    return [
        (each.period and each.period.value, *((x - MIDNIGHT) / HOUR for x in each[1:]))
        for each in parts
    ]


@given(INSTANTS, INSTANTS, st.sampled_from([(Grouping.DAY,), (Grouping.BLOCK,)]))
def test_a_range_is_cut_into_parts_that_make_it_up_and_into_no_smaller_ones_than_needed(
    one: datetime, other: datetime, group_by: tuple[Grouping, ...]
) -> None:
    since, until = sorted((one, other))

    parts = cut(since, until, periods_for(group_by))

    edges = [since, *(part.until for part in parts)]
    assert [part.since for part in parts] == edges[:-1]
    assert edges[-1] == until
    for part in parts:
        if part.period is None:
            assert begin(Period.HOUR, part.since) <= part.since < part.until
            assert part.until <= begin(Period.HOUR, part.since) + HOUR
            assert part.until - part.since < HOUR
        else:
            assert begin(part.period, part.since) == part.since
            assert begin(part.period, part.until) == part.until
    assert sum(part.period is None for part in parts) <= 2
    assert len(parts) <= 7, "an edge, hours, blocks, days, blocks, hours, an edge"


def test_the_longest_periods_come_first_and_a_day_does_not_know_its_blocks() -> None:
    by_day = cut(at(-6.5), at(54.25), periods_for((Grouping.KEY, Grouping.DAY)))
    by_block = cut(at(0), at(30), periods_for((Grouping.BLOCK,)))

    assert shown(by_day) == [
        (None, -6.5, -6),
        ("hour", -6, -4),
        ("block", -4, 0),
        ("day", 0, 48),
        ("block", 48, 53),
        ("hour", 53, 54),
        (None, 54, 54.25),
    ]
    assert shown(by_block) == [("block", 0, 30 - 1), ("hour", 29, 30)]


@pytest.mark.parametrize("hours", [0.25, 1])
def test_a_range_within_an_hour_is_one_part(hours: float) -> None:
    assert len(cut(at(3), at(3 + hours), Period)) == 1


def test_the_end_of_the_calendar_is_the_end_of_every_range() -> None:
    latest = datetime.max.replace(tzinfo=UTC)

    parts = cut(latest - 3 * DAY, latest, Period)

    assert parts[-1].until == datetime(9999, 12, 31, tzinfo=UTC)
    assert cut(latest - HOUR, latest, Period) == ()


def test_a_record_of_two_models_counts_once_in_all_and_in_each() -> None:
    usage = Usage(models={"opus": ModelUsage(cost_nano_usd=3), "haiku": ModelUsage(input_tokens=1)})
    record = UsageRecord(
        id="r",
        subscription_id="sub1",
        timestamp=at(16.5),
        caller="ci",
        tags={"team": "b", "project": "a"},
        usage=usage,
    )

    found = kinds_of(record)

    assert [(kind.model, counted, usage) for kind, counted, usage in found] == [
        ("haiku", 1, ModelUsage(input_tokens=1)),
        ("opus", 0, ModelUsage(cost_nano_usd=3)),
    ]
    assert {(kind.caller, kind.tenant, *kind.tags) for kind, _, _ in found} == {
        ("ci", "ci", "project", "team")
    }


def test_a_record_of_no_model_counts_too() -> None:
    record = UsageRecord(id="r", subscription_id="sub1", timestamp=at(0))

    assert [(kind.model, counted) for kind, counted, _ in kinds_of(record)] == [(None, 1)]

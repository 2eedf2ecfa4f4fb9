from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pool.errors import InvalidRequest
from pool.usage.breakdown.question import Grouping, check_tags, parse_grouping, question
from tests.support.values.usage_records import DAY, NOON


def test_the_last_seven_days_are_meant_where_nothing_is_said() -> None:
    asked = question([Grouping.DAY], None, None, NOON)

    assert (asked.since, asked.until) == (NOON - 7 * DAY, NOON)


@pytest.mark.parametrize(
    ("group_by", "since", "until", "field"),
    [
        ([], None, None, "group_by"),
        (["day", "block", "model", "key"], None, None, "group_by"),
        (["day", "day"], None, None, "group_by"),
        (["day"], NOON, NOON, "since"),
        (["day"], NOON + DAY, None, "since"),
        (["day"], NOON - 366 * DAY - timedelta(seconds=1), None, "since"),
        (["day"], None, datetime(1, 1, 2, tzinfo=UTC), "until"),
        (["day"], None, NOON - 30_000 * DAY, "until"),
    ],
)
def test_a_question_without_an_answer_names_the_field(
    group_by: list[str], since: datetime | None, until: datetime | None, field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        question([Grouping(each) for each in group_by], since, until, NOON)

    assert refused.value.field == field


@pytest.mark.parametrize("unknown", [Grouping.SESSION, Grouping.KEY])
def test_totals_are_not_asked_for_what_they_do_not_know(unknown: Grouping) -> None:
    with pytest.raises(InvalidRequest) as refused:
        question([Grouping.DAY, unknown], None, None, NOON, by_totals=True)

    assert refused.value.field == "by_totals"


@pytest.mark.parametrize(
    ("since", "until"), [(NOON - 366 * DAY, NOON), (NOON, datetime.max.replace(tzinfo=UTC))]
)
def test_a_range_may_be_a_leap_year_long_and_no_longer(since: datetime, until: datetime) -> None:
    if until - since > 366 * DAY:
        with pytest.raises(InvalidRequest):
            question([Grouping.DAY], since, until, NOON)
    else:
        question([Grouping.DAY], since, until, NOON)


@pytest.mark.parametrize(
    ("asked", "kept", "says"),
    [("tag:team", ("project",), "it names project"), ("tag:team", (), "it names none")],
)
def test_a_tag_that_no_record_keeps_is_refused_with_those_that_are_kept(
    asked: str, kept: tuple[str, ...], says: str
) -> None:
    check_tags([asked], ("team",))
    with pytest.raises(InvalidRequest, match=says):
        check_tags([asked], kept)


def test_the_totals_of_blocks_know_no_tags() -> None:
    with pytest.raises(InvalidRequest, match="by_totals"):
        question(["tag:team"], None, None, NOON, by_totals=True)


@pytest.mark.parametrize("text", ["week", "tag:", "project"])
def test_what_is_no_grouping_is_named_with_those_that_are(text: str) -> None:
    with pytest.raises(ValueError, match="tag:KEY"):
        parse_grouping(text)

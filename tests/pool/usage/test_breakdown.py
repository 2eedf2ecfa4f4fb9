from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.errors import InvalidRequest
from pool.money import nano_usd
from pool.usage import breakdown as breakdown_module
from pool.usage.blocks import block_at
from pool.usage.breakdown import (
    NOTHING,
    CostSource,
    Group,
    Grouping,
    Sums,
    UsageTable,
    breakdown,
    check_tags,
    covered,
    parse_grouping,
    parts_of_block,
    parts_of_record,
    question,
)
from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource
from pool.usage.totals import BlockTotal, total_usage

NOON = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = st.sampled_from([None, "a", "b"])
FIGURES = st.integers(0, 10**12)


@st.composite
def records(draw: st.DrawFn) -> UsageRecord:
    models = draw(
        st.dictionaries(
            st.sampled_from(["opus", "sonnet", "haiku"]),
            st.builds(
                ModelUsage,
                input_tokens=FIGURES,
                output_tokens=FIGURES,
                cache_creation_input_tokens=FIGURES,
                cache_read_input_tokens=FIGURES,
                cost_nano_usd=FIGURES,
            ),
        )
    )
    return UsageRecord(
        id=str(draw(st.integers(0, 10**9))),
        subscription_id=draw(st.sampled_from(["sub1", "sub2"])),
        timestamp=NOON + timedelta(seconds=draw(st.integers(-3 * 86_400, 3 * 86_400))),
        source=draw(st.sampled_from(UsageSource)),
        session_id=draw(NAMES),
        caller=draw(NAMES),
        tags={name: value for name in ("project", "team") if (value := draw(NAMES)) is not None},
        usage=Usage(models=models),
    )


GROUPINGS = st.lists(
    st.sampled_from([*Grouping, "tag:project", "tag:team"]), min_size=1, max_size=3, unique=True
)
RECORDS = st.lists(records(), max_size=20)


def grouped(group_by: Sequence[Grouping], of: Sequence[UsageRecord]) -> tuple[Group, ...]:
    sums = Sums()
    for record in of:
        sums.add(parts_of_record(group_by, record))
    return sums.groups()


def record(cost_usd: str = "1", model: str = "opus", **more: object) -> UsageRecord:
    usage = Usage(models={model: ModelUsage(cost_nano_usd=nano_usd(cost_usd))})
    known = {"id": "r", "subscription_id": "sub1", "timestamp": NOON, "usage": usage}
    return UsageRecord.model_validate({**known, **more})


def block_total(at: datetime, *of: UsageRecord) -> BlockTotal:
    block = block_at(at)
    return BlockTotal(
        block_id=block.id,
        starts_at=block.starts_at,
        ends_at=block.ends_at,
        records=len(of),
        usage=total_usage(each.usage for each in of),
    )


# -- sums ----------------------------------------------------------------------------------------


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


def test_too_many_groups_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakdown_module, "MOST_GROUPS", 2)

    with pytest.raises(InvalidRequest, match="more than 2 groups"):
        grouped([Grouping.SESSION], [record(session_id=each) for each in "abc"])


# -- questions -----------------------------------------------------------------------------------


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


# -- what is covered -----------------------------------------------------------------------------

MIDNIGHT = NOON.replace(hour=0)
BLOCKS = [block_total(MIDNIGHT + timedelta(hours=h)) for h in (10, 5, 0)]  # newest first


def spans(
    group_by: Grouping, since: datetime, until: datetime, records_since: datetime
) -> list[tuple[str, int, int]]:
    asked = question([group_by], since, until, NOON)
    older = [each for each in BLOCKS if each.ends_at <= records_since]
    older = [each for each in older if each.ends_at > since and each.starts_at < until]
    return [
        (
            each.source,
            *(int((at - MIDNIGHT).total_seconds() / 3600) for at in (each.since, each.until)),
        )
        for each in covered(asked, "sub1", records_since, older)
    ]


def at(hour: int) -> datetime:
    return MIDNIGHT + timedelta(hours=hour)


def test_blocks_cover_what_records_no_longer_do() -> None:
    assert spans(Grouping.DAY, at(-2), at(12), at(10)) == [("blocks", -2, 10), ("records", 10, 12)]


def test_records_alone_know_sessions() -> None:
    assert spans(Grouping.SESSION, at(0), at(12), at(10)) == [("records", 10, 12)]


def test_a_block_that_the_range_cuts_cannot_be_told() -> None:
    assert spans(Grouping.DAY, at(1), at(12), at(10)) == [("blocks", 5, 10), ("records", 10, 12)]
    assert spans(Grouping.DAY, at(0), at(7), at(15)) == [("blocks", 0, 5)]
    assert spans(Grouping.DAY, at(6), at(7), at(15)) == []


def test_a_gap_in_one_ledger_makes_the_whole_incomplete() -> None:
    asked = question([Grouping.SESSION], at(0), at(12), NOON)
    whole, part = (
        UsageTable(groups=(), total=NOTHING, covered=covered(asked, "sub1", since, []))
        for since in (at(0), at(5))
    )

    assert breakdown(asked, [whole, whole]).is_complete
    assert not breakdown(asked, [whole, part]).is_complete


# -- as it is shown ------------------------------------------------------------------------------


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


def test_a_record_counts_for_the_value_of_its_tag_and_without_one_for_none() -> None:
    tagged = record(tags={"project": "billing", "team": "red"})

    assert [each.by for each in grouped(["tag:project"], [tagged, record()])] == [
        ("billing",),
        (None,),
    ]


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

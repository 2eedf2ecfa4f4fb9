"""Totals of hours, blocks and days, on every engine: what usage is broken down from is what its
records add up to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pool.storage.documents import micros
from pool.storage.ledger.ledger import Ledger
from pool.storage.ledger.usage_query import usage_table
from pool.storage.stores import Stores
from pool.usage.breakdown.breakdown import UsageTable
from pool.usage.breakdown.groups import Group, Sums, parts_of_record
from pool.usage.breakdown.question import GroupBy, Grouping, question
from pool.usage.periods import PeriodTotal
from pool.usage.records import ModelUsage, Retraction, Usage, UsageRecord, UsageSource
from tests.support.stores.engines import Engine
from tests.support.suite.fuzz import examples

MIDNIGHT = datetime(2026, 1, 28, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(hours=16, minutes=30)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONG_AGO, FAR_OFF = NOW - 200 * DAY, NOW + 9 * DAY
TAGS = ("project", "team")
EVERY_GROUPING: Sequence[GroupBy] = (*Grouping, "tag:project", "tag:team")

_names = st.sampled_from([None, "a", "b"])
_figures = st.integers(0, 10**12)
_changes = st.integers(-(10**12), 10**12)
_fresh = count()


def usages(figures: st.SearchStrategy[int]) -> st.SearchStrategy[Usage]:
    models = st.dictionaries(
        st.sampled_from(["opus", "sonnet", 'ha"iku']),
        st.builds(
            ModelUsage,
            input_tokens=figures,
            output_tokens=figures,
            cache_creation_input_tokens=figures,
            cache_read_input_tokens=figures,
            cost_nano_usd=figures,
        ),
    )
    return models.map(lambda of: Usage(models=of))


@st.composite
def records(draw: st.DrawFn) -> UsageRecord:
    source = draw(st.sampled_from(UsageSource))
    after = draw(
        st.integers(-60 * 3_600_000_000, 60 * 3_600_000_000)
        | st.integers(-60, 60).map(lambda hours: hours * 3_600_000_000)
    )
    return UsageRecord(
        id=draw(st.text("abcde", min_size=1, max_size=2)),
        subscription_id="sub1",
        timestamp=NOW.replace(minute=0) + timedelta(microseconds=after),
        source=source,
        session_id=draw(_names),
        caller=draw(_names),
        tenant=draw(_names),
        tags={name: value for name in TAGS if (value := draw(_names)) is not None},
        usage=draw(usages(_changes if source is UsageSource.ADJUSTMENT else _figures)),
    )


_instants = (
    st.integers(-62 * 3_600, 62 * 3_600).map(lambda seconds: NOW + timedelta(seconds=seconds))
    | st.integers(-62, 62).map(lambda hours: NOW.replace(minute=0) + hours * HOUR)
    | st.integers(-2, 2).map(lambda days: MIDNIGHT + days * DAY)
)
_ranges = st.tuples(_instants, _instants).map(sorted).filter(lambda ends: ends[0] < ends[1])
_groupings = st.lists(st.sampled_from(EVERY_GROUPING), min_size=1, max_size=3, unique=True)


async def told(
    ledger: Ledger,
    by: Sequence[GroupBy],
    since: datetime = LONG_AGO,
    until: datetime = FAR_OFF,
    tenant: str | None = None,
) -> UsageTable:
    return await usage_table(ledger, question(by, since, until, NOW, tenant), TAGS)


def summed(by: Sequence[GroupBy], of: Iterable[UsageRecord]) -> tuple[Group, ...]:
    sums = Sums()
    for each in of:
        sums.add(parts_of_record(by, each))
    return sums.groups()


def spent(name: str, hours: float, cost: int = 1, **more: object) -> UsageRecord:
    usage = Usage(models={"opus": ModelUsage(cost_nano_usd=cost)})
    known = {"id": name, "subscription_id": "sub1", "timestamp": MIDNIGHT + hours * HOUR}
    return UsageRecord.model_validate({**known, "usage": usage, **more})


async def everything(ledger: Ledger) -> list[UsageRecord]:
    return list((await ledger.usage(limit=500)).items)


async def period_totals(ledger: Ledger) -> list[PeriodTotal]:
    found = [total async for portion in ledger.export() for total in portion.periods]
    return sorted(found, key=repr)


@settings(max_examples=examples(12, 500), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    of=st.lists(records(), max_size=25),
    taken_back=st.lists(st.integers(0, 24), max_size=3),
    wanted=st.lists(st.tuples(_groupings, _ranges, _names), min_size=4, max_size=4),
)
async def test_whatever_is_asked_the_answer_is_the_sum_of_the_records(
    stores: Stores,
    of: list[UsageRecord],
    taken_back: list[int],
    wanted: list[tuple[list[GroupBy], tuple[datetime, datetime], str | None]],
) -> None:
    id_ = f"any{next(_fresh)}"
    ledger = await stores.open_ledger(id_)
    of = [each.model_copy(update={"subscription_id": id_}) for each in of]
    await asyncio.gather(*(ledger.record(each) for each in [*of, *of[::3]]))
    for place in {place for place in taken_back if place < len(of)}:
        record = await everything_named(ledger, of[place].id)
        if record.source in {UsageSource.EXTERNAL, UsageSource.OUTSIDE}:
            await ledger.retract([Retraction(of=record.id, at=NOW, by="admin")])
    kept = await everything(ledger)

    for by, (since, until), tenant in wanted:
        inside = [
            each
            for each in kept
            if since <= each.timestamp < until and tenant in {None, each.belongs_to}
        ]
        table = await told(ledger, by, since, until, tenant)
        assert table.groups == summed(by, inside)
        assert table.total.records == len(inside)
        assert table.total.usage == sum((each.usage.total for each in inside), ModelUsage())
        assert [(each.source, each.since, each.until) for each in table.covered] == [
            ("records", since, until)
        ]
    await ledger.close()


async def everything_named(ledger: Ledger, name: str) -> UsageRecord:
    return next(each for each in await everything(ledger) if each.id == name)


@settings(max_examples=examples(12, 500), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    of=st.lists(records(), max_size=20, unique_by=lambda each: each.id),
    late=st.lists(records(), max_size=5, unique_by=lambda each: each.id),
    before=_instants,
    wanted=st.lists(st.tuples(_groupings, _ranges), min_size=4, max_size=4),
)
async def test_after_retention_an_answer_is_the_sum_of_all_there_ever_was_in_what_it_covers(
    stores: Stores,
    of: list[UsageRecord],
    late: list[UsageRecord],
    before: datetime,
    wanted: list[tuple[list[GroupBy], tuple[datetime, datetime]]],
) -> None:
    ledger = await stores.open_ledger(f"kept{next(_fresh)}")
    late = [each.model_copy(update={"id": f"late-{each.id}"}) for each in late]
    for each in of:
        await ledger.record(each)
    await ledger.expire(before)
    for each in late:
        await ledger.record(each)

    for by, (since, until) in wanted:
        table = await told(ledger, by, since, until)
        inside = [
            each
            for each in [*of, *late]
            if any(span.since <= each.timestamp < span.until for span in table.covered)
        ]
        assert table.total.usage == sum((each.usage.total for each in inside), ModelUsage())
        assert table.total.records == len(inside)
        if Grouping.SESSION not in by:
            told_since = min((span.since for span in table.covered), default=until)
            assert told_since <= max(since, _next_hour(before)), "what is kept is told"
    await ledger.close()


def _next_hour(instant: datetime) -> datetime:
    return MIDNIGHT - (MIDNIGHT - instant) // HOUR * HOUR


async def test_what_is_known_already_adds_nothing(ledger: Ledger) -> None:
    assert await ledger.record(spent("r", 1, caller="ci"))
    before = await period_totals(ledger)

    assert not await ledger.record(spent("r", 1, 5, caller="ci"))

    assert await period_totals(ledger) == before
    assert [each.usage.cost_nano_usd for each in before] == [1, 1, 1]


async def test_totals_go_with_the_records_of_their_day_and_no_earlier(ledger: Ledger) -> None:
    for name, hours in (("day before", -1), ("same day", 1), ("edge", 2)):
        await ledger.record(spent(name, hours, caller="ci"))

    await ledger.expire(MIDNIGHT + 1.5 * HOUR)

    assert {each.starts_at for each in await period_totals(ledger)} == {
        MIDNIGHT,
        MIDNIGHT + HOUR,
        MIDNIGHT + 2 * HOUR,
    }
    by_key = await told(ledger, [Grouping.KEY])
    assert [each.usage.cost_nano_usd for each in by_key.groups] == [2]
    assert [each.since for each in by_key.covered] == [MIDNIGHT]
    cut = await told(ledger, [Grouping.KEY], MIDNIGHT + 0.5 * HOUR)
    assert [each.usage.cost_nano_usd for each in cut.groups] == [2]
    cut = await told(ledger, [Grouping.KEY], MIDNIGHT + 1.2 * HOUR)
    assert [each.since for each in cut.covered] == [MIDNIGHT + 2 * HOUR], "a record of it is gone"


async def test_an_hour_of_which_a_record_is_gone_is_a_gap_at_the_end_of_a_range_too(
    ledger: Ledger,
) -> None:
    for name, hours in (("first", 1), ("gone", 2.1), ("left", 2.3)):
        await ledger.record(spent(name, hours))
    await ledger.expire(MIDNIGHT + 2.2 * HOUR)

    table = await told(ledger, [Grouping.KEY], MIDNIGHT, MIDNIGHT + 2.5 * HOUR)

    assert [(each.since, each.until) for each in table.covered] == [(MIDNIGHT, MIDNIGHT + 2 * HOUR)]
    assert table.total.usage.cost_nano_usd == 1
    assert (await told(ledger, [Grouping.KEY], MIDNIGHT + 2.1 * HOUR, NOW)).covered[0].since == (
        MIDNIGHT + 3 * HOUR
    )


_UNDONE = (
    "DROP TABLE period_totals; DROP INDEX blocks_without_periods; "
    "ALTER TABLE blocks DROP COLUMN in_periods"
)
_MIGRATION = "-- Sums of the records of each hour, block and day"


async def _with(engine: Engine, *of: UsageRecord) -> Ledger:
    ledger = await engine.stores.open_ledger("sub1")
    for each in of:
        await ledger.record(each)
    return ledger


async def test_the_records_of_an_earlier_release_are_summed_up(engine: Engine) -> None:
    two = Usage(models={"opus": ModelUsage(input_tokens=1), "haiku": ModelUsage(cost_nano_usd=7)})
    ledger = await _with(
        engine,
        spent("plain", 20.5),
        spent("named", 23, caller="ci", tags={"project": 'døcs 文書 "x" \'', "team": "a"}),
        spent("a tenant's", 9.9, caller="ci", tenant="t", session_id="s"),
        spent("two", 10, usage=two),
        spent("of two", 10.5, usage=two),
        spent("none", -11, usage=Usage()),
        spent("less", -600_000, -5, source=UsageSource.ADJUSTMENT),
    )
    before = await period_totals(ledger)
    blocks = (await ledger.blocks(limit=50)).items
    await ledger.close()
    await engine.change(_UNDONE, migration=_MIGRATION)

    migrated = await engine.stores.open_ledger("sub1")
    after = await period_totals(migrated)
    counted = (await migrated.blocks(limit=50)).items
    await migrated.close()

    assert after == before
    assert len({(each.period, each.starts_at, repr(each.kind)) for each in after}) == len(after)
    assert counted == blocks
    assert all(each.in_periods == each.records for each in counted)


async def test_where_an_earlier_release_had_removed_records_totals_of_blocks_go_on(
    engine: Engine,
) -> None:
    ledger = await _with(
        engine, spent("gone", 1, caller="ci"), spent("left", 2, caller="ci"), spent("new", 6)
    )
    await ledger.expire(MIDNIGHT + 1.5 * HOUR)
    await ledger.close()
    await engine.change(_UNDONE, migration=_MIGRATION)

    migrated = await engine.stores.open_ledger("sub1")
    by_day = await told(migrated, [Grouping.DAY], MIDNIGHT, NOW)
    by_key = await told(migrated, [Grouping.KEY], MIDNIGHT, NOW)
    await migrated.close()

    assert by_day.total.usage.cost_nano_usd == 3
    assert [each.source for each in by_day.covered] == ["blocks", "records"]
    assert [(each.by, each.usage.cost_nano_usd) for each in by_key.groups] == [((None,), 1)]
    assert [each.since for each in by_key.covered] == [MIDNIGHT + 5 * HOUR]


async def test_what_an_earlier_release_still_writes_is_read_from_its_records(
    engine: Engine,
) -> None:
    """On PostgreSQL it may, until its owners are renewed: it knows no totals of periods."""
    of = [
        spent("old", -40, 1, caller="ci", tags={"team": "a"}),
        spent("day", 1, 10, caller="ci", tenant="t"),
        spent("hour", 6.2, 100, caller="ci", tags={"team": "b"}),
        spent("late", 6.4, 1_000, caller="late", tenant="t", tags={"team": "b"}),
        spent("end", 9.5, 10_000, tenant="t", tags={"team": "a"}),
        spent("next", 10, 100_000, caller="ci", tenant="u"),
        spent("new", 16, 1_000_000, caller="ci"),
    ]
    ledger = await _with(engine, *of)
    await ledger.close()
    await engine.change(
        "DELETE FROM period_totals WHERE kind LIKE '%late%'; "
        f"UPDATE blocks SET in_periods = 2 WHERE starts_at = {micros(MIDNIGHT + 5 * HOUR)}"
    )

    ledger = await engine.stores.open_ledger("sub1")
    starts = [MIDNIGHT + hours * HOUR for hours in (-48, -0.5, 0, 1, 5, 5.5, 6.3, 7, 10, 11)]
    for since in starts:
        for until in [*(each for each in starts if since < each), NOW]:
            for by in ([Grouping.KEY], [Grouping.DAY, "tag:team"], [Grouping.BLOCK]):
                for tenant in (None, "t"):
                    table = await told(ledger, by, since, until, tenant)
                    inside = [
                        each
                        for each in of
                        if since <= each.timestamp < until and tenant in {None, each.belongs_to}
                    ]
                    assert table.groups == summed(by, inside)
                    assert table.total.records == len(inside)
                    assert [(each.source, each.since, each.until) for each in table.covered] == [
                        ("records", since, until)
                    ]
    await ledger.close()


async def test_a_record_that_cannot_be_read_leaves_a_gap_of_its_block_and_hides_no_other(
    engine: Engine,
) -> None:
    of = (spent("old", -40, 1), spent("broken", 6, 10), spent("beside", 7, 100), spent("new", 11))
    ledger = await _with(engine, *of)
    await ledger.close()
    await engine.change(
        f"UPDATE usage_records SET document = 'none' WHERE id = 'broken'; {_UNDONE}",
        migration=_MIGRATION,
    )

    ledger = await engine.stores.open_ledger("sub1")
    table = await told(ledger, [Grouping.KEY], MIDNIGHT - 2 * DAY, NOW)
    await ledger.close()

    assert [(each.since, each.until) for each in table.covered] == [
        (MIDNIGHT - 2 * DAY, MIDNIGHT + 5 * HOUR),
        (MIDNIGHT + 10 * HOUR, NOW),
    ]
    assert (table.total.records, table.total.usage.cost_nano_usd) == (2, 2)


@pytest.mark.parametrize("spelt", [r"\ud83d", r"\udc00", r"\u0000", r"\ud83d\ude00"])
@pytest.mark.parametrize("what", ["caller", "model", "tag", "value"])
async def test_text_that_no_engine_takes_stops_no_migration_and_is_told_mended(
    engine: Engine, what: str, spelt: str
) -> None:
    name = "XX"
    models = Usage(
        models={
            "XX" if what == "model" else "opus": ModelUsage(cost_nano_usd=10),
            "a first": ModelUsage(cost_nano_usd=1),
        }
    )
    tags = {"XX" if what == "tag" else "team": "XX" if what == "value" else "a"}
    known = {"caller": name if what == "caller" else "ci", "tags": tags, "usage": models}
    ledger = await _with(engine, spent("odd", 6, **known), spent("old", -40, 100, caller="ci"))
    await ledger.close()
    await engine.change(
        f"UPDATE usage_records SET document = replace(document, 'XX', '{spelt}'); {_UNDONE}",
        migration=_MIGRATION,
    )

    ledger = await engine.stores.open_ledger("sub1")
    (record,) = [each for each in await everything(ledger) if each.id == "odd"]
    groupings: list[list[GroupBy]] = [[Grouping.KEY], [Grouping.MODEL], ["tag:team"]]
    tables = [await told(ledger, by, MIDNIGHT - 2 * DAY, NOW) for by in groupings]
    assert all(each.kind for each in await period_totals(ledger))
    await ledger.close()

    old = spent("old", -40, 100, caller="ci")
    for by, table in zip(groupings, tables, strict=True):
        assert table.groups == summed(by, [record, old])
        assert [(each.since, each.until) for each in table.covered] == [(MIDNIGHT - 2 * DAY, NOW)]


async def test_as_many_and_as_long_tags_as_there_may_be_are_kept(engine: Engine) -> None:
    random = Random(5)
    texts = ["".join(chr(random.randrange(0x4E00, 0x9FFF)) for _ in range(100)) for _ in range(20)]
    tags = dict(zip(texts[:10], texts[10:], strict=True))
    ledger = await _with(
        engine,
        spent("a", 1, tags=tags, caller="ci"),
        spent("b", 1.5, tags=tags, caller="ci"),
        spent("c", 2, tags={**tags, texts[0]: "other"}, caller="ci"),
    )
    totals = await period_totals(ledger)
    by_key = await told(ledger, [Grouping.KEY], MIDNIGHT, NOW)
    assert sorted(each.records for each in totals) == [1, 1, 1, 2, 2, 2]
    assert by_key.total.usage.cost_nano_usd == 3
    await ledger.close()
    await engine.change(_UNDONE, migration=_MIGRATION)

    ledger = await engine.stores.open_ledger("sub1")
    assert await period_totals(ledger) == totals
    await ledger.expire(MIDNIGHT + DAY)
    assert await period_totals(ledger) == []
    await ledger.close()

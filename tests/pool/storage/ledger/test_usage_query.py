from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from actors.client.client import PoolClient
from pool.errors import InvalidRequest, NotFound
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import ExecutionRequest
from pool.keys.access import Access
from pool.money import nano_usd, usd
from pool.storage.ledger import usage_query as breakdowns
from pool.storage.ledger.ledger import Ledger
from pool.storage.ledger.usage_query import usage_table
from pool.storage.paging import Page
from pool.storage.sqlite import SqliteStores
from pool.usage.breakdown.breakdown import UsageBreakdown, UsageTable
from pool.usage.breakdown.groups import CostSource
from pool.usage.breakdown.question import Grouping, question
from pool.usage.records import UsageRecord, UsageSource
from pool.usage.totals import BlockTotal
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON, usage_of

HOUR = timedelta(hours=1)
DAY = 24 * HOUR


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await SqliteStores(tmp_path).open_ledger("sub1")
    yield ledger
    await ledger.close()


async def spend(ledger: Ledger, hours_ago: float, cost_usd: str = "1", **more: object) -> None:
    record = {
        "id": f"{hours_ago}",
        "subscription_id": "sub1",
        "timestamp": NOON - hours_ago * HOUR,
        "usage": usage_of(cost_usd),
        **more,
    }
    assert await ledger.record(UsageRecord.model_validate(record))


async def told(
    ledger: Ledger, by: Grouping = Grouping.DAY, *, days: float = 300, until: float = -1
) -> UsageTable:
    """Of a range that begins and ends so many days ago."""
    asked = question([by], NOON - days * DAY, NOON - until * DAY, NOON)
    return await usage_table(ledger, asked)


def costs(table: UsageTable) -> dict[str | None, str]:
    return {each.by[0]: f"{usd(each.usage.cost_nano_usd):f}" for each in table.groups}


def sources(table: UsageTable) -> list[tuple[str, str, str]]:
    return [
        (each.source, f"{each.since:%m-%dT%H}", f"{each.until:%m-%dT%H}") for each in table.covered
    ]


async def test_a_record_on_the_edge_of_the_range_counts_at_its_beginning_alone(
    ledger: Ledger,
) -> None:
    for hours_ago, cost in ((3, "1"), (2, "10"), (1, "100")):
        await spend(ledger, hours_ago, cost)

    table = await usage_table(ledger, question([Grouping.DAY], NOON - 3 * HOUR, NOON - HOUR, NOON))

    assert costs(table) == {"2026-01-28": "11"}
    assert table.total.records == 2
    assert sources(table) == [("records", "01-28T09", "01-28T11")]


async def test_more_records_than_a_page_are_all_counted(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakdowns, "_AT_ONCE", 2)
    for each in range(11):
        await spend(ledger, each)

    table = await told(ledger, Grouping.BLOCK)

    assert sum(each.records or 0 for each in table.groups) == 11
    assert table.total.records == 11
    assert len(table.groups) == 3
    assert [each.source for each in table.covered] == ["records"]


async def test_totals_answer_for_whole_blocks_and_no_record_is_read(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours_ago, cost in ((0, "1"), (1, "10"), (13, "100")):
        await spend(ledger, hours_ago, cost)
    monkeypatch.setattr(ledger, "usage", None)
    since, until = NOON - 36 * HOUR, NOON + 12 * HOUR

    table = await usage_table(ledger, question([Grouping.DAY], since, until, NOON, by_totals=True))
    cut = await usage_table(ledger, question([Grouping.DAY], since, NOON, NOON, by_totals=True))

    assert costs(table) == {"2026-01-27": "100", "2026-01-28": "11"}
    assert table.total.records == 3
    assert sources(table) == [("blocks", "01-27T00", "01-29T00")]
    assert costs(cut) == {"2026-01-27": "100"}, "the block that is on is cut"
    assert sources(cut) == [("blocks", "01-27T00", "01-28T10")]


async def test_no_block_before_the_range_is_read(ledger: Ledger) -> None:
    for days_ago in range(60):
        await spend(ledger, 24 * days_ago)
    blocks, read = ledger.blocks, []

    async def counted(**wanted: int) -> Page[BlockTotal]:
        page = await blocks(**wanted)
        read.append(len(page.items))
        return page

    ledger.blocks = counted  # type: ignore[method-assign, assignment]
    since, until = NOON - 36 * HOUR, NOON + 12 * HOUR

    table = await usage_table(ledger, question([Grouping.DAY], since, until, NOON, by_totals=True))

    assert costs(table) == {"2026-01-27": "1", "2026-01-28": "1"}
    assert sum(read) <= 2 * 5 + 6, "a block a day would be some sixty"


async def test_what_retention_has_removed_is_told_from_the_totals_of_blocks(
    ledger: Ledger,
) -> None:
    await spend(ledger, 40 * 24, "3", session_id="old")
    await spend(ledger, 36 * 24, "2", session_id="old")
    await spend(ledger, 34 * 24, "1", session_id="new")
    before = await told(ledger)
    await ledger.expire(NOON - 35 * DAY)

    table = await told(ledger)

    assert (
        costs(before)
        == costs(table)
        == {
            "2025-12-19": "3",
            "2025-12-23": "2",
            "2025-12-25": "1",
        }
    )
    assert sources(before) == [("records", "04-03T12", "01-29T12")]
    assert sources(table) == [
        ("blocks", "04-03T12", "12-23T15"),
        ("records", "12-23T15", "01-29T12"),
    ]
    assert table.total.nano_usd_by_source == {
        CostSource.CLI: nano_usd(1),
        CostSource.BLOCKS: nano_usd(5),
    }


async def test_sessions_are_told_of_what_records_are_left_and_the_gap_is_shown(
    ledger: Ledger,
) -> None:
    await spend(ledger, 36 * 24, "2", session_id="old")
    await spend(ledger, 34 * 24, "1", session_id="new")
    await ledger.expire(NOON - 35 * DAY)

    table = await told(ledger, Grouping.SESSION)

    assert costs(table) == {"new": "1"}
    assert table.total.usage.cost_nano_usd == nano_usd(1)
    assert sources(table) == [("records", "12-23T15", "01-29T12")]


async def test_a_block_that_has_lost_some_records_counts_by_its_total_alone(
    ledger: Ledger,
) -> None:
    await spend(ledger, 35 * 24 + 1, "2")
    await spend(ledger, 35 * 24, "1")
    await ledger.expire(NOON - 35 * DAY)

    assert costs(await told(ledger)) == {"2025-12-24": "3"}
    assert costs(await told(ledger, Grouping.SESSION)) == {}


async def test_a_block_without_records_that_the_range_cuts_is_left_out(ledger: Ledger) -> None:
    await spend(ledger, 50 * 24 - 1, "2")
    await spend(ledger, 49 * 24, "1")
    await ledger.expire(NOON - 35 * DAY)

    table = await told(ledger, days=50, until=40)

    assert costs(table) == {"2025-12-10": "1"}
    assert sources(table) == [
        ("blocks", "12-09T15", "12-10T15"),
        ("records", "12-10T15", "12-19T12"),
    ]


async def test_more_records_than_one_answer_may_take_in_are_refused(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakdowns, "MOST_ROWS", 2)
    for hours_ago in (1, 10, 20):
        await spend(ledger, hours_ago, session_id="s")

    with pytest.raises(InvalidRequest, match="shorter range"):
        await told(ledger, Grouping.SESSION)
    assert (await told(ledger, Grouping.SESSION, days=0.5)).total.records == 2
    with pytest.raises(InvalidRequest, match="shorter range"):
        await told(ledger, Grouping.BLOCK)
    assert (await told(ledger, Grouping.DAY)).total.records == 3, "on two days"


# -- the whole pool ------------------------------------------------------------------------------


def by_name(found: UsageBreakdown, name: str) -> dict[object, tuple[int | None, str]]:
    return {getattr(each, name): (each.records, f"{each.cost_usd:f}") for each in found.items}


async def ask(client: PoolClient, subscription_id: str, caller: str = "") -> None:
    request = ExecutionRequest(prompt="say yes", subscription_id=subscription_id)
    await client.execute(request, caller=caller)


async def test_the_answers_of_all_subscriptions_are_one(local_pool: LocalPool) -> None:
    client = local_pool.client
    await ask(client, "sub1", "ci")
    await ask(client, "sub2", "ci")
    await ask(client, "sub2", "web")
    await ask(client, "sub3")
    until = NOON + HOUR

    keys = await client.usage_by([Grouping.KEY], until=until)
    subscriptions = await client.usage_by([Grouping.SUBSCRIPTION], until=until)
    one = await client.usage_by([Grouping.KEY], until=until, subscription_id="sub2")

    assert by_name(keys, "key") == {"ci": (2, "0.0012"), "web": (1, "0.0006"), None: (1, "0.0006")}
    assert [each.records for each in subscriptions.items] == [1, 2, 1]
    assert keys.total == subscriptions.total
    assert (keys.total.records, keys.is_complete) == (4, True)
    assert {"ci", "web"} == set(by_name(one, "key"))


async def test_usage_is_known_by_the_metadata_that_the_configuration_names_and_by_no_other(
    local_pool: LocalPool,
) -> None:
    client = local_pool.client
    for project in ("billing", "billing", "x" * 400, None):
        metadata = {"ticket": "4711"} | ({"project": project} if project else {})
        await client.execute(ExecutionRequest(prompt="say yes", metadata=metadata))

    found = await client.usage_by(["tag:project"], until=NOON + HOUR)

    rows = {each.tags["project"]: each.records for each in found.items}
    assert rows == {"billing": 2, "x" * 100: 1, None: 1}
    assert found.tags == ("project",)
    with pytest.raises(InvalidRequest, match="it names project"):
        await client.usage_by(["tag:ticket"], until=NOON + HOUR)


async def test_a_tenant_sees_the_tags_of_its_own_usage_alone(local_pool: LocalPool) -> None:
    for caller in ("one", "other"):
        request = ExecutionRequest(prompt="say yes", metadata={"project": f"of {caller}"})
        await local_pool.client.execute(request, caller=caller)

    ones = local_pool.client.with_access(Access(tenant="one"))
    found = await ones.usage_by(["tag:project"], until=NOON + HOUR)

    assert [each.tags for each in found.items] == [{"project": "of one"}]


async def test_an_unknown_subscription_is_not_found(local_pool: LocalPool) -> None:
    with pytest.raises(NotFound):
        await local_pool.client.usage_by(subscription_id="nobody")


async def test_what_a_run_spent_in_vain_has_its_caller_and_source_too(
    local_pool: LocalPool,
) -> None:
    failure = Failed(kind=FailureKind.MAX_TURNS, message="too many", usage=usage_of("0.5"))
    local_pool.runner.script.append(
        failure.model_copy(update={"usage_source": UsageSource.PARTIAL})
    )
    await ask(local_pool.client, "sub1", "ci")

    (row,) = (await local_pool.client.usage_by([Grouping.KEY], until=NOON + HOUR)).items

    assert (row.key, row.cost_usd_by_source) == ("ci", {CostSource.PARTIAL: usd(nano_usd("0.5"))})


async def test_what_is_found_later_is_the_caller_s_too(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.upkeep.uncertain_cost.RESCAN_SECONDS", 0.01)
    await local_pool.restart("sub1")
    unknown = Failed(kind=FailureKind.KILLED, message="killed", evidence=False)
    local_pool.runner.script.append(unknown)
    request = ExecutionRequest(prompt="say yes", subscription_id="sub1")
    uncertain = await local_pool.client.execute(request, caller="ci")

    local_pool.runner.found_later[uncertain.id] = usage_of("0.02")
    owner = local_pool.actors.subscription("sub1")
    async with asyncio.timeout(10):
        while not (await owner.usage(limit=1)).items:
            await asyncio.sleep(0.01)

    (row,) = (await local_pool.client.usage_by([Grouping.KEY], until=NOON + HOUR)).items
    assert (row.key, f"{row.cost_usd:f}") == ("ci", "0.02")


async def test_a_record_kept_before_callers_were_noted_names_none() -> None:
    old = {"id": "r", "subscription_id": "sub1", "timestamp": NOON, "source": "cli"}

    assert UsageRecord.model_validate(old).caller is None


async def test_a_removed_record_of_one_subscription_makes_the_whole_incomplete(
    local_pool: LocalPool,
) -> None:
    for each in ("sub1", "sub2"):
        ledger = local_pool.actors.subscription(each)._context.ledger
        await spend(ledger, 34 * 24, subscription_id=each, source=UsageSource.OUTSIDE)
    await local_pool.actors.subscription("sub2")._context.ledger.expire(NOON - 33 * DAY)
    since = (NOON - 40 * DAY).replace(hour=0)

    days = await local_pool.client.usage_by([Grouping.DAY], since=since)
    sessions = await local_pool.client.usage_by([Grouping.SESSION], since=since)

    assert (days.is_complete, sessions.is_complete) == (True, False)
    assert (days.total.records, sessions.total.records) == (2, 1)
    assert {
        "outside": usd(nano_usd(1)),
        "blocks": usd(nano_usd(1)),
    } == days.total.cost_usd_by_source

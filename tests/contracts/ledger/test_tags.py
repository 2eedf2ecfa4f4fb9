"""Usage by the tags that ``pool.tags`` names, on every engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pool.errors import InvalidRequest
from pool.storage.ledger.ledger import Ledger
from pool.storage.ledger.usage_query import usage_table
from pool.usage.breakdown.breakdown import UsageTable
from pool.usage.breakdown.question import GroupBy, Grouping, question
from pool.usage.records import ModelUsage, Usage, UsageRecord
from tests.support.stores.engines import Engine

NOW = datetime(2026, 1, 28, 16, 30, tzinfo=UTC)
DAY = timedelta(days=1)
PROJECT: GroupBy = "tag:project"
TEAM: GroupBy = "tag:team"


async def spend(
    ledger: Ledger, cost_nano_usd: int, *, days_ago: int = 0, tenant: str | None = None, **tags: str
) -> None:
    usage = Usage(models={"claude-sonnet-4-5": ModelUsage(cost_nano_usd=cost_nano_usd)})
    record = UsageRecord(
        id=f"{days_ago}-{tenant}-{cost_nano_usd}",
        subscription_id="sub1",
        timestamp=NOW - days_ago * DAY,
        tenant=tenant,
        tags=tags,
        usage=usage,
    )
    assert await ledger.record(record)


async def told(ledger: Ledger, *by: GroupBy, tenant: str | None = None) -> UsageTable:
    asked = question(by, NOW - 30 * DAY, NOW + DAY, NOW, tenant)
    return await usage_table(ledger, asked, ("project", "team"))


def costs(table: UsageTable) -> dict[tuple[str | None, ...], int]:
    return {each.by: each.usage.cost_nano_usd for each in table.groups}


@pytest.fixture
async def spent(ledger: Ledger) -> Ledger:
    await spend(ledger, 1, project="billing", team="red")
    await spend(ledger, 10, project="billing", team="blue", days_ago=1)
    await spend(ledger, 100, project="døcs 文書 'x' --", tenant="one")
    await spend(ledger, 1000, tenant="other")
    return ledger


async def test_usage_is_summed_by_a_tag_and_what_has_none_stands_for_itself(spent: Ledger) -> None:
    table = await told(spent, PROJECT)

    assert costs(table) == {("billing",): 11, ("døcs 文書 'x' --",): 100, (None,): 1000}
    assert table.total.usage.cost_nano_usd == 1111
    assert table.tags == ("project", "team")


async def test_tags_go_with_each_other_and_with_what_is_no_tag(spent: Ledger) -> None:
    pairs = await told(spent, PROJECT, TEAM)
    days = await told(spent, Grouping.DAY, TEAM)

    assert costs(pairs)["billing", "red"] == 1
    assert costs(pairs)[None, None] == 1000
    assert costs(days)["2026-01-27", "blue"] == 10


async def test_a_tenant_is_told_its_own_tags_alone(spent: Ledger) -> None:
    assert costs(await told(spent, PROJECT, tenant="one")) == {("døcs 文書 'x' --",): 100}


async def test_a_tag_that_nobody_named_is_refused(spent: Ledger) -> None:
    with pytest.raises(InvalidRequest, match="it names project, team"):
        await told(spent, "tag:ticket")


async def test_tags_are_kept_by_the_next_activation_and_by_another_store(
    spent: Ledger, engine: Engine
) -> None:
    other = await engine.stores.open_ledger("sub2")
    async for portion in spent.export():
        await other.load(portion)
    await spent.close()
    again = await engine.stores.open_ledger("sub1")

    expected = {("billing",): 11, ("døcs 文書 'x' --",): 100, (None,): 1000}
    assert costs(await told(again, PROJECT)) == costs(await told(other, PROJECT)) == expected
    await other.close()
    await again.close()

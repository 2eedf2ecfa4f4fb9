"""Adjustments: the ledger agrees with the report, once, and can be put back."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from api.demo.standin.bill import Usage
from pool.usage.records import UsageSource
from pool.usage.spending import weekly_total
from tests.support.admin_api.adminapi import KEY
from tests.support.admin_api.ledgers import LedgerAccount, ran
from tests.support.admin_api.reconciled import (
    DAY,
    HOUR,
    MIDNIGHT,
    MILLION,
    World,
    after,
    of_source,
    spent,
)
from tests.support.values.examples import SONNET


@pytest.fixture
async def adjusting(world: World) -> World:
    world.settings["adjust"] = True
    await world.end()
    await world.begin()
    return world


async def test_an_adjustment_makes_the_ledger_agree_and_keeps_its_evidence(
    adjusting: World, account: LedgerAccount
) -> None:
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, adjusting)

    await adjusting.look()

    (record,) = await of_source(account, UsageSource.ADJUSTMENT)
    assert record.id == f"adjustment:acme:2026-01-28T00:00:00.000Z:{SONNET}:1"
    assert record.usage.models[SONNET].input_tokens == 1_000_000
    assert await spent(account) == 9_000_000_000
    (made,) = (await adjusting.row(MIDNIGHT)).adjustments
    assert made.record_id == record.id
    assert made.remote is not None
    assert made.remote.input_tokens == 2_000_000


async def test_the_same_report_again_adds_nothing(adjusting: World, account: LedgerAccount) -> None:
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    after(0, adjusting)
    await adjusting.look()

    for _ in range(3):
        await adjusting.order(MIDNIGHT, MIDNIGHT + HOUR)
        await adjusting.end()
        await adjusting.begin()
        await adjusting.look()

    assert len(await of_source(account, UsageSource.ADJUSTMENT)) == 1


async def test_a_revised_report_adds_its_increment(
    adjusting: World, account: LedgerAccount
) -> None:
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, adjusting)
    await adjusting.look()
    adjusting.mind._extra.clear()
    adjusting.mind.extra(
        KEY, f"{SONNET}-20250929", Usage(input_tokens=400_000, output_tokens=0), MIDNIGHT
    )

    await adjusting.order(MIDNIGHT, MIDNIGHT + HOUR)
    await adjusting.look()

    second, first = sorted(
        await of_source(account, UsageSource.ADJUSTMENT), key=lambda each: each.id, reverse=True
    )
    assert (first.id[-2:], second.id[-2:]) == (":1", ":2")
    assert second.usage.models[SONNET].input_tokens == -600_000
    assert await spent(account) == 4_500_000_000 + 1_200_000_000


async def test_a_run_over_the_hour_is_not_counted_twice(
    adjusting: World, account: LedgerAccount
) -> None:
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION, settled_at=MIDNIGHT + HOUR)
    after(1, adjusting)

    await adjusting.look()

    assert await spent(account) == 4_500_000_000
    assert len(await of_source(account, UsageSource.ADJUSTMENT)) == 2


async def test_adjustments_can_be_taken_back_for_good(
    adjusting: World, account: LedgerAccount
) -> None:
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, adjusting)
    await adjusting.look()
    row = await adjusting.row(MIDNIGHT)
    assert adjusting.reconciler is not None

    await adjusting.reconciler.reverse_adjustments(row.id)
    await adjusting.reconciler.reverse_adjustments(row.id)
    await adjusting.order(MIDNIGHT, MIDNIGHT + HOUR)
    await adjusting.look()

    assert await spent(account) == 4_500_000_000
    row = await adjusting.row(MIDNIGHT)
    assert row.reversed_at is not None
    assert len(row.adjustments) == 2


async def test_what_is_taken_back_while_a_report_is_waited_for_stays_taken_back(
    adjusting: World, account: LedgerAccount
) -> None:
    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, adjusting)
    await adjusting.look()
    reconciler, row = adjusting.reconciler, await adjusting.row(MIDNIGHT)
    assert reconciler is not None
    await adjusting.order(MIDNIGHT, MIDNIGHT + HOUR)

    async def meanwhile(seconds: float) -> None:
        adjusting.clock.advance(timedelta(seconds=seconds))
        async with asyncio.timeout(5):
            await reconciler.reverse_adjustments(row.id)

    reconciler._poll._pace._sleep = meanwhile
    await adjusting.look()

    assert (await adjusting.row(MIDNIGHT)).reversed_at is not None
    assert await spent(account) == 4_500_000_000


async def test_what_has_no_price_is_not_adjusted_until_it_has_one(
    adjusting: World, account: LedgerAccount
) -> None:
    adjusting.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, adjusting)
    await adjusting.look()
    assert await of_source(account, UsageSource.ADJUSTMENT) == []

    await ran(account, adjusting.bill, MIDNIGHT + HOUR, usage=MILLION)
    await adjusting.order(MIDNIGHT, MIDNIGHT + HOUR)
    await adjusting.look()

    assert await spent(account) == 9_000_000_000


async def test_nothing_is_adjusted_unless_it_is_wished(
    world: World, account: LedgerAccount
) -> None:
    await ran(account, world.bill, MIDNIGHT, usage=MILLION)
    world.mind.extra(KEY, f"{SONNET}-20250929", MILLION, MIDNIGHT)
    after(0, world)

    await world.look()

    assert await of_source(account, UsageSource.ADJUSTMENT) == []


async def test_adjustments_count_in_the_week(adjusting: World, account: LedgerAccount) -> None:
    from pool.usage.spending import Spending

    await ran(account, adjusting.bill, MIDNIGHT, usage=MILLION)
    adjusting.mind.lose(adjusting.bill.lines()[0].message_id)
    after(0, adjusting)

    await adjusting.look()

    recovery = await account.ledger.recover(MIDNIGHT - DAY)
    spending = Spending(recovery.costs)
    assert weekly_total(spending, adjusting.clock()) == 0
    assert recovery.totals.usage.cost_nano_usd == 0
    (block,) = (await account.ledger.blocks(limit=5)).items
    assert block.usage.cost_nano_usd == 0

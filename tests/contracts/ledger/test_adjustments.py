"""Records that take away: every ledger's sums stay the sums of its records."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from pool.storage.ledger.ledger import Ledger
from pool.storage.stores import Stores
from pool.usage.blocks import block_at
from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource
from pool.usage.totals import total_usage

NOON = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MODEL = "claude-sonnet-4-5"


def record(name: str, hours: int, cost: int, source: UsageSource) -> UsageRecord:
    usage = ModelUsage(input_tokens=cost // 3, output_tokens=cost, cost_nano_usd=cost)
    return UsageRecord(
        id=name,
        subscription_id="sub1",
        timestamp=NOON + hours * HOUR,
        source=source,
        usage=Usage(models={MODEL: usage}),
    )


def runs_and_adjustments() -> list[UsageRecord]:
    """Runs of twelve hours, and for each a larger or smaller truth, revised once."""
    records = []
    for hours in range(12):
        records.append(record(f"run{hours}", hours, 9_000, UsageSource.CLI))
        records.append(record(f"a{hours}:1", hours, -9_000 + hours, UsageSource.ADJUSTMENT))
        records.append(record(f"a{hours}:2", hours, 3_000, UsageSource.ADJUSTMENT))
    return records


async def test_sums_are_those_of_the_records_in_whatever_order_they_come(
    ledger: Ledger, stores: Stores
) -> None:
    records = runs_and_adjustments()
    random.Random(7).shuffle(records)
    for each in [*records, *records]:
        await ledger.record(each)

    expected = total_usage(each.usage for each in records)
    recovery = await ledger.recover(NOON - HOUR)
    assert recovery.totals.usage == expected
    assert sum(cost for _, cost in recovery.costs) == expected.cost_nano_usd
    blocks = (await ledger.blocks(limit=100)).items
    for block in blocks:
        inside = [each for each in records if block_at(each.timestamp).id == block.block_id]
        assert (block.records, block.usage) == (len(inside), total_usage(e.usage for e in inside))
    await ledger.close()

    again = await stores.open_ledger("sub1", wait_seconds=5)
    assert (await again.recover(NOON - HOUR)).totals.usage == expected
    assert {each.id for each in (await again.usage(limit=100)).items} == {e.id for e in records}
    await again.close()


async def test_what_requests_typically_cost_is_not_learned_from_adjustments(
    ledger: Ledger,
) -> None:
    for each in runs_and_adjustments():
        await ledger.record(each)

    assert set((await ledger.recover(NOON)).recent_costs) == {9_000}


@pytest.mark.parametrize(
    "source", [each for each in UsageSource if each is not UsageSource.ADJUSTMENT]
)
def test_nothing_but_an_adjustment_takes_away(source: UsageSource) -> None:
    with pytest.raises(ValidationError, match="adjustments and retractions alone"):
        record("x", 0, -5, source)

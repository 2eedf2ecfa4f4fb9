"""Usage from outside that is taken back: once, and no sum sinks below nothing by it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from pool.errors import InvalidRequest, NotFound
from pool.storage.ledger.ledger import Ledger
from pool.usage.records import ModelUsage, Retraction, Usage, UsageRecord, UsageSource

NOON = datetime(2026, 1, 28, 12, 0, tzinfo=UTC)
MODEL = "claude-sonnet-4-5"
LATER = NOON + timedelta(days=1)


def record(
    name: str, cost: int = 9, source: UsageSource = UsageSource.EXTERNAL, *, model: str = MODEL
) -> UsageRecord:
    usage = ModelUsage(input_tokens=2 * cost, cost_nano_usd=cost)
    return UsageRecord(
        id=name,
        subscription_id="sub1",
        timestamp=NOON,
        source=source,
        usage=Usage(models={model: usage}),
    )


def back(name: str) -> Retraction:
    return Retraction(of=name, at=LATER, by="ops", reason="twice")


async def total(ledger: Ledger) -> ModelUsage:
    """As recovery tells it, which is what blocks and costs tell too."""
    recovery = await ledger.recover(NOON - timedelta(days=1))
    (block,) = (await ledger.blocks(limit=9)).items
    assert recovery.totals.usage == block.usage
    assert sum(cost for _, cost in recovery.costs) == block.usage.cost_nano_usd
    return block.usage.total


async def test_it_is_taken_away_once_and_both_records_stay(ledger: Ledger) -> None:
    for name in ("a", "b"):
        await ledger.record(record(name))

    made = await asyncio.gather(*(ledger.retract([back("a")]) for _ in range(3)))
    again = await ledger.record(record("a"))

    assert await total(ledger) == ModelUsage(input_tokens=18, cost_nano_usd=9)
    assert sorted(len(each) for each in made) == [0, 0, 1]
    assert not again
    listed = {each.id: each for each in (await ledger.usage(limit=9)).items}
    assert listed.keys() == {"a", "b", "retraction:a"}
    assert (listed["a"].retracted, listed["a"].usage) == (back("a"), record("a").usage)
    assert (listed["retraction:a"].retraction, listed["b"].retracted) == (back("a"), None)
    assert listed["retraction:a"].timestamp == NOON
    assert listed["retraction:a"].usage.total == ModelUsage(input_tokens=-18, cost_nano_usd=-9)


async def test_what_an_adjustment_took_away_already_is_not_taken_twice(ledger: Ledger) -> None:
    await ledger.record(record("a", 9))
    await ledger.record(record("adjusted", -6, UsageSource.ADJUSTMENT))

    (made,) = await ledger.retract([back("a")])

    assert made.usage.total == ModelUsage(input_tokens=-6, cost_nano_usd=-3)
    assert await total(ledger) == ModelUsage()


@pytest.mark.parametrize(
    ("name", "error"), [("nobodys", NotFound), ("run", InvalidRequest), ("gone", InvalidRequest)]
)
async def test_of_what_cannot_be_taken_back_nothing_is(
    ledger: Ledger, name: str, error: type[Exception]
) -> None:
    """Together with something that can be: all of it or nothing."""
    await ledger.record(record("a"))
    await ledger.record(record("run", source=UsageSource.CLI))
    await ledger.record(record("before", model="other"))
    await ledger.retract([back("before")])
    wrong = "retraction:before" if name == "gone" else name
    before = await total(ledger)

    with pytest.raises(error):
        await ledger.retract([back("a"), back(wrong)])

    assert await total(ledger) == before
    assert len(await ledger.retract([back("a"), back("a")])) == 1

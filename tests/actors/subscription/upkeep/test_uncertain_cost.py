"""Uncertain costs: held until the block is over, and looked for again."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from pool.executions.outcome import Failed, FailureKind
from pool.executions.status import ExecutionStatus
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.pools.subscribed import ask, report_of
from tests.support.values.examples import usage_of


async def test_a_run_that_cannot_be_read_ends_uncertain_and_frees_its_slot(
    pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await pool.client.start(ask())
    run = (await runner.wait_for_runs(1))[0]

    run.ending.set_exception(RuntimeError("a defect"))
    ended = await pool.client.result(started.id, wait_seconds=10)

    assert ended.status == ExecutionStatus.UNCERTAIN
    assert ((await report_of(pool)).running, (await report_of(pool)).uncertain) == (0, 1)


UNKNOWN = Failed(kind=FailureKind.KILLED, message="killed", evidence=False)


async def test_what_may_have_been_spent_is_held_until_the_block_is_over(pool: LocalPool) -> None:
    pool.runner.script.append(UNKNOWN)
    await pool.client.execute(ask(max_budget_usd="3"))

    held = await report_of(pool)
    await pool.restart("sub1")
    after_restart = await report_of(pool)
    pool.clock.now = held.current_block.ends_at
    later = await report_of(pool)

    assert (1, Decimal(3), Decimal(3)) == (
        held.uncertain,
        held.uncertain_usd,
        held.weekly.reserved_usd,
    )
    assert (1, Decimal(3)) == (after_restart.uncertain, after_restart.uncertain_usd)
    assert (1, Decimal(0), Decimal(0)) == (
        later.uncertain,
        later.uncertain_usd,
        later.weekly.reserved_usd,
    )
    assert "1 execution of unknown cost; 3.00 USD held for them in this block." in [
        each.sentence for each in held.health.components
    ]


async def test_evidence_that_is_found_later_is_recorded_once_and_ends_the_doubt(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.upkeep.uncertain_cost.RESCAN_SECONDS", 0.01)
    await pool.restart("sub1")
    pool.runner.script.append(UNKNOWN)
    uncertain = await pool.client.execute(ask(max_budget_usd="3"))

    pool.runner.found_later[uncertain.id] = usage_of("0.02")
    while (resolved := await report_of(pool)).uncertain:
        await asyncio.sleep(0.01)
    await pool.restart("sub1")
    while (again := await report_of(pool)).uncertain:
        await asyncio.sleep(0.01)

    assert (Decimal("0.02"), Decimal(0)) == (resolved.weekly.used_usd, resolved.uncertain_usd)
    assert resolved.weekly == again.weekly
    records = await pool.actors.subscription("sub1").usage(limit=10)
    assert [f"{uncertain.id}:correction"] == [each.id for each in records.items]
    shown = await pool.client.result(uncertain.id)
    assert (uncertain.usage.cost_usd, uncertain.usage.partial) == (0, True)
    assert (shown.usage.cost_usd, shown.usage.partial) == (Decimal("0.02"), True)
    assert [(each.cost_usd, each.partial) for each in shown.attempts] == [(Decimal("0.02"), True)]


async def test_what_was_cancelled_at_an_unknown_cost_is_held_and_looked_for_too(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.upkeep.uncertain_cost.RESCAN_SECONDS", 0.01)
    pool.runner.hold = True
    started = await pool.client.start(ask(max_budget_usd="3"))
    (run,) = await pool.runner.wait_for_runs(1)
    monkeypatch.setattr(run, "stop", lambda: asyncio.sleep(0, run.end(UNKNOWN)))

    cancelled = await pool.client.cancel(started.id)
    held = await report_of(pool)
    await pool.restart("sub1")
    after_restart = await report_of(pool)
    pool.runner.found_later[started.id] = usage_of("0.02")
    while (resolved := await report_of(pool)).uncertain:
        await asyncio.sleep(0.01)

    assert (cancelled.status, cancelled.usage.partial) == (ExecutionStatus.CANCELLED, True)
    assert [(each.uncertain, each.uncertain_usd) for each in (held, after_restart)] == [(1, 3)] * 2
    assert resolved.weekly.used_usd == Decimal("0.02")
    found = await pool.client.result(started.id)
    assert (found.status, found.usage.cost_usd) == (ExecutionStatus.CANCELLED, Decimal("0.02"))

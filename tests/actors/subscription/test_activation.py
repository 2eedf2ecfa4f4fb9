"""A new activation: every cent and answer is there, and work goes on."""

from __future__ import annotations

import asyncio

from pool.executions.outcome import Failed, FailureKind
from pool.executions.status import ExecutionStatus
from pool.subscriptions.report import SubscriptionState
from pool.subscriptions.spec import SubscriptionChange
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.pools.subscribed import OpenPool, ask, report_of
from tests.support.values.examples import completed, spec


async def test_a_new_activation_finds_every_cent_and_the_answers(pool: LocalPool) -> None:
    executions = [await pool.client.execute(ask(str(n))) for n in range(3)]
    before = await report_of(pool)

    await pool.restart("sub1")

    after = await report_of(pool)
    assert before.epoch < after.epoch
    assert (before.weekly, before.current_block, before.totals) == (
        after.weekly,
        after.current_block,
        after.totals,
    )
    assert executions == [await pool.client.result(each.id) for each in executions]


async def test_a_new_activation_adopts_a_run_that_goes_on(
    pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await pool.client.start(ask())
    await runner.wait_for_runs(1)

    await pool.restart("sub1")
    during = await report_of(pool)
    runner.runs[0].end(completed("adopted"))
    ended = await pool.client.result(started.id, wait_seconds=10)

    assert (during.running, ended.result, len(runner.runs)) == (1, "adopted", 1)


async def test_what_waited_runs_after_a_restart(pool: LocalPool, runner: FakeRunner) -> None:
    runner.hold = True
    for n in range(2):
        await pool.client.start(ask(str(n)))
    waiting = await pool.client.start(ask("waits"))
    await runner.wait_for_runs(2)

    await pool.restart("sub1")
    for run in runner.runs:
        run.end()
    (await runner.wait_for_runs(3))[2].end()

    ended = await pool.client.result(waiting.id, wait_seconds=10)
    assert ended.status == ExecutionStatus.SUCCEEDED


async def test_what_has_to_wait_again_after_a_restart_is_listed_among_what_waits(
    pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    began = {(await pool.client.start(ask(str(n)))).id for n in range(2)}
    for run in await runner.wait_for_runs(2):
        await run.discard()  # as if no process had been started for it

    await pool.client.change("sub1", SubscriptionChange(max_concurrent=1))
    await pool.restart("sub1")
    again = (await runner.wait_for_runs(3))[2]

    waiting = (await pool.client.executions(status=ExecutionStatus.QUEUED)).items
    assert [each.id for each in waiting] == list(began - {again.run_id})


async def test_nothing_that_waits_starts_before_all_that_runs_is_taken_up(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1", max_concurrent=2))
    first = await pool.client.execute(ask())
    runner.hold = True
    await pool.client.start(ask("ends while nobody is there"))
    await pool.client.start(ask("turn", session_id=first.session_id))
    waiting = await pool.client.start(ask("next turn", session_id=first.session_id))
    await runner.wait_for_runs(3)

    runner.runs[1].end()
    await pool.restart("sub1")
    while (await report_of(pool)).running != 1:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    running_at_once = [run.launch.prompt for run in runner.runs if not run.ending.done()]
    runner.runs[2].end()
    (await runner.wait_for_runs(4))[3].end()

    assert running_at_once == ["turn"]
    ended = await pool.client.result(waiting.id, wait_seconds=10)
    assert ended.status == ExecutionStatus.SUCCEEDED


async def test_a_cooldown_survives_a_restart(pool: LocalPool) -> None:
    pool.runner.script.append(Failed(kind=FailureKind.AUTHENTICATION, message="401"))
    await pool.client.execute(ask())

    await pool.restart("sub1")

    assert (await report_of(pool)).state == SubscriptionState.NEEDS_LOGIN

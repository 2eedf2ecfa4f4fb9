"""One subscription: what it runs, what it refuses, and what it keeps of both."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from pool.errors import NotFound, StoreError
from pool.executions.outcome import Failed, FailureKind
from pool.executions.status import ExecutionStatus
from pool.limits.windows import RateLimitEvent
from pool.storage.sqlite import SqliteStores
from pool.subscriptions.report import SubscriptionState
from pool.usage.records import UsageSource
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.pools.subscribed import ID, OpenPool, ask, failing, held_at_its_intent, report_of
from tests.support.values.examples import spec, usage_of


async def test_an_execution_answers_with_its_result_and_what_it_cost(pool: LocalPool) -> None:
    execution = await pool.client.execute(ask())

    assert (ExecutionStatus.SUCCEEDED, "yes", Decimal("0.0006")) == (
        execution.status,
        execution.result,
        execution.usage.cost_usd,
    )
    assert [each.outcome for each in execution.attempts] == ["completed"]


async def test_what_an_execution_cost_is_in_the_ledger_before_it_is_answered(
    pool: LocalPool,
) -> None:
    execution = await pool.client.execute(ask())

    records = await pool.actors.subscription("sub1").usage(limit=10)

    assert [(execution.id, 600_000)] == [
        (each.execution_id, each.usage.cost_nano_usd) for each in records.items
    ]


async def test_the_same_id_runs_once_however_often_it_is_started(pool: LocalPool) -> None:
    first = await pool.client.execute(ask(), execution_id="exec_" + "1" * 28)
    again = await asyncio.gather(
        *(pool.client.execute(ask(), execution_id="exec_" + "1" * 28) for _ in range(5))
    )

    assert [first] * 5 == again
    assert len(pool.runner.runs) == 1


async def test_a_failed_run_keeps_its_cost(pool: LocalPool) -> None:
    failure = Failed(kind=FailureKind.MAX_TURNS, message="too many", usage=usage_of("0.0012"))
    pool.runner.script.append(failure)

    execution = await pool.client.execute(ask())

    assert (
        execution.status,
        execution.error and execution.error.type,
    ) == (ExecutionStatus.FAILED, "max_turns")
    assert Decimal("0.0012") == (await report_of(pool)).weekly.used_usd


async def test_nobody_is_told_of_an_execution_before_its_intent_is_durable(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = await held_at_its_intent(pool, monkeypatch)
    first = asyncio.create_task(pool.client.start(ask(), execution_id=ID))
    await reached.wait()

    asked = (
        asyncio.create_task(pool.client.start(ask(), execution_id=ID)),
        asyncio.create_task(pool.actors.subscription("sub1").result(ID, 0)),
    )
    told, _ = await asyncio.wait(asked, timeout=0.1)
    go_on.set()
    answers = await asyncio.gather(first, *asked)

    assert set() == told
    assert {ID} == {each.id for each in answers}


async def test_an_outcome_that_cannot_be_kept_is_not_told_until_it_can(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.executions.settlements.STORE_RETRY_SECONDS", 0.01)
    ledger = pool.actors.subscription("sub1")._context.ledger
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "settle", failing(StoreError("sub1", "the disk is full")))
        started = await pool.client.start(ask())
        (run,) = await pool.runner.wait_for_runs(1)
        await run.outcome()
        during = await pool.actors.subscription("sub1").result(started.id, 0.1)

    ended = await pool.client.result(started.id, wait_seconds=10)

    assert (during.status, ended.status) == (ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED)


async def test_a_life_ends_with_its_ledger(pool: LocalPool) -> None:
    other = SqliteStores(pool.stores._data_dir)
    ledger = pool.actors.subscription("sub1")._context.ledger
    await ledger.close()

    newer = await other.open_ledger("sub1")
    await newer.close()
    ledger._database._commits.lost.set()  # what a commit of unknown fate leaves behind
    async with asyncio.timeout(5):
        while not pool.left:
            await asyncio.sleep(0.01)

    assert "in doubt" in str(pool.left[0])


async def test_what_was_cancelled_while_it_waited_is_never_started(
    open_pool: OpenPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await open_pool(spec("sub1", max_concurrent=1))
    runner.hold = True
    await pool.client.start(ask("runs"))
    waiting = await pool.client.start(ask("waits"))
    ledger = pool.actors.subscription("sub1")._context.ledger
    monkeypatch.setattr(ledger, "settle", failing(StoreError("sub1", "dies before T2")))
    cancelling = asyncio.create_task(pool.client.cancel(waiting.id))
    while not (row := await ledger.execution(waiting.id)) or row.cancel_requested_at is None:
        await asyncio.sleep(0.01)
    cancelling.cancel()

    await pool.restart("sub1")
    runner.runs[0].end()
    ended = await pool.client.result(waiting.id, wait_seconds=10)

    assert ended.status == ExecutionStatus.CANCELLED
    assert [run.launch.prompt for run in runner.runs] == ["runs"]


async def test_cancelling_a_run_stops_it_and_keeps_what_it_cost(
    pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await pool.client.start(ask())
    await runner.wait_for_runs(1)

    cancelled = await pool.client.cancel(started.id)

    assert (ExecutionStatus.CANCELLED, Decimal("0.0001")) == (
        cancelled.status,
        cancelled.usage.cost_usd,
    )
    assert runner.runs[0].stopped


async def test_cancelling_what_waits_starts_nothing(pool: LocalPool, runner: FakeRunner) -> None:
    runner.hold = True
    for n in range(2):
        await pool.client.start(ask(str(n)))
    waiting = await pool.client.start(ask("waits"))

    cancelled = await pool.client.cancel(waiting.id)

    assert (
        waiting.status,
        cancelled.status,
    ) == (ExecutionStatus.QUEUED, ExecutionStatus.CANCELLED)
    assert len(runner.runs) == 2
    assert (await report_of(pool)).queued == 0


async def test_cancelling_what_has_ended_changes_nothing(pool: LocalPool) -> None:
    ended = await pool.client.execute(ask())

    assert ended == await pool.client.cancel(ended.id)


async def test_a_limit_parks_the_subscription_until_its_reset_and_no_longer(
    pool: LocalPool,
) -> None:
    resets_at = pool.clock() + timedelta(hours=2)
    event = RateLimitEvent(
        observed_at=pool.clock(), status="rejected", type="five_hour", resets_at=resets_at
    )
    limit = Failed(kind=FailureKind.USAGE_LIMIT, message="limit reached", limits=(event,))
    pool.runner.script.append(limit)
    await pool.client.execute(ask())

    parked = await report_of(pool)
    pool.clock.advance(timedelta(hours=2))
    again = await report_of(pool)

    assert (SubscriptionState.COOLDOWN, resets_at) == (parked.state, parked.state_until)
    assert again.state == SubscriptionState.AVAILABLE


async def test_usage_from_outside_counts_once(pool: LocalPool) -> None:
    from pool.usage.reported import ReportedUsage

    reported = ReportedUsage.model_validate({"id": "x", "models": {"m": {"cost_usd": "1.5"}}})

    answers = [await pool.client.report_usage("sub1", reported) for _ in range(2)]

    assert [each.added for each in answers] == [True, False]
    assert Decimal("1.5") == (await report_of(pool)).weekly.used_usd
    assert answers[0].record.source == UsageSource.EXTERNAL


async def test_an_unknown_execution_is_not_found(pool: LocalPool) -> None:
    with pytest.raises(NotFound):
        await pool.actors.subscription("sub1").result("exec_" + "0" * 28, 0)


async def test_prices_are_learned_from_runs_and_handed_to_the_next(pool: LocalPool) -> None:
    for _ in range(2):
        await pool.client.execute(ask())

    known = pool.runner.runs[1].launch.rates.estimate(usage_of("0"))

    assert (known.cost_nano_usd, known.known) == (600_000, True)

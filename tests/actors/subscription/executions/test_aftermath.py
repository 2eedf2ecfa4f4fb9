"""What follows an answer: the CLI exits, is perhaps charged some more, and leaves things behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from pool.claude.transcripts.copy import SessionCopy
from pool.errors import StoreError
from pool.executions.execution import Execution
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.usage.records import UsageRecord, UsageSource
from tests.support.clis.fake_runner import FakeRun, FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.suite.waiting import until
from tests.support.values.examples import completed, spec, usage_of

OpenPool = Callable[..., Awaitable[LocalPool]]
LATE = usage_of("0.0004")


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


@pytest.fixture
async def pool(
    open_pool: OpenPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> LocalPool:
    """One subscription with one slot, whose CLIs do not exit until they are let."""
    monkeypatch.setattr("actors.subscription.executions.aftermath.EXIT_SECONDS", 0.05)
    runner.lingers = True
    return await open_pool(spec("sub1", max_concurrent=1))


async def records(pool: LocalPool) -> list[UsageRecord]:
    return [*(await pool.actors.subscription("sub1").usage(limit=50)).items]


async def discarded(run: FakeRun) -> None:
    await until(lambda: run.discarded)


async def kept(run: FakeRun) -> None:
    await until(lambda: run.kept)


def corrections(found: list[UsageRecord], ended: Execution) -> list[tuple[str, UsageSource, int]]:
    return [
        (each.id, each.source, each.usage.cost_nano_usd)
        for each in found
        if each.execution_id == ended.id and each.id != ended.id
    ]


async def test_an_answer_and_its_slot_do_not_wait_for_the_cli_to_exit(
    pool: LocalPool, runner: FakeRunner
) -> None:
    first = await pool.client.execute(ask("one"))
    second = await pool.client.execute(ask("two"))

    assert [each.status for each in (first, second)] == [ExecutionStatus.SUCCEEDED] * 2
    assert not any(run.discarded for run in runner.runs)
    for run in runner.runs:
        run.exits.set()
        await discarded(run)


async def test_what_is_charged_after_the_answer_is_recorded_beside_the_execution(
    pool: LocalPool, runner: FakeRunner
) -> None:
    ended = await pool.client.execute(ask())
    (run,) = runner.runs
    run.later = LATE
    run.exits.set()
    await discarded(run)

    assert corrections(await records(pool), ended) == [
        (f"{ended.id}:correction", UsageSource.CLI, 400_000)
    ]
    report = await pool.actors.subscription("sub1").next_report(-1, -1, 0)
    assert report.weekly.used_usd == Decimal("0.001")
    found = await pool.client.result(ended.id)
    assert (found.usage.cost_usd, found.usage.partial) == (Decimal("0.001"), False)
    assert [each.cost_usd for each in found.attempts] == [Decimal("0.001")]
    assert found.model_copy(update={"usage": ended.usage, "attempts": ended.attempts}) == ended


async def test_where_nothing_more_is_charged_nothing_more_is_recorded(
    pool: LocalPool, runner: FakeRunner
) -> None:
    await pool.client.execute(ask())
    (run,) = runner.runs
    run.exits.set()
    await discarded(run)

    assert len(await records(pool)) == 1


async def test_what_an_activation_left_is_looked_after_by_the_next_once(
    pool: LocalPool, runner: FakeRunner
) -> None:
    ended = await pool.client.execute(ask())
    (run,) = runner.runs
    run.later = LATE
    await pool.restart("sub1")
    before = await records(pool)

    run.exits.set()
    await kept(run)
    counted = await records(pool)
    run.kept = False  # as if it had ended between the record and this
    await pool.restart("sub1")
    await kept(run)

    assert corrections(before, ended) == []
    assert corrections(counted, ended) == [(f"{ended.id}:correction", UsageSource.CLI, 400_000)]
    assert await records(pool) == counted


async def test_an_activation_that_ends_waits_for_a_cli_that_exits_soon(
    pool: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.executions.aftermath.EXIT_SECONDS", 5)
    await pool.client.execute(ask())
    (run,) = runner.runs
    closing = asyncio.create_task(pool.actors.deactivate("sub1"))
    await asyncio.sleep(0.05)
    assert not closing.done()

    run.exits.set()
    await closing

    assert run.discarded


async def test_while_the_store_refuses_the_run_is_left_as_it_is(
    pool: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.executions.aftermath.STORE_RETRY_SECONDS", 0.01)
    ended = await pool.client.execute(ask())
    (run,) = runner.runs
    ledger = pool.actors.subscription("sub1")._context.ledger
    record, refused = ledger.record, 0

    async def unwell(wanted: UsageRecord) -> bool:
        nonlocal refused
        refused += 1
        if refused <= 3:
            assert not run.discarded
            raise StoreError("sub1", "the disk is full")
        return await record(wanted)

    monkeypatch.setattr(ledger, "record", unwell)
    run.later = LATE
    run.exits.set()
    await discarded(run)

    assert refused == 4
    assert len(corrections(await records(pool), ended)) == 1


async def test_a_run_of_unknown_cost_that_is_charged_later_is_corrected_once(
    pool: LocalPool, runner: FakeRunner
) -> None:
    runner.script = [Failed(kind=FailureKind.OVERLOADED, message="cut", evidence=False)]
    ended = await pool.client.execute(ask())
    (run,) = runner.runs
    run.later = LATE
    run.exits.set()
    await discarded(run)
    runner.found_later[ended.id] = usage_of("0.0009")

    await pool.restart("sub1")  # which looks for the cost of what is uncertain

    async def nothing_is_uncertain() -> bool:
        report = await pool.actors.subscription("sub1").next_report(-1, -1, 0)
        return not report.uncertain

    await until(nothing_is_uncertain)
    assert ended.status is ExecutionStatus.UNCERTAIN
    assert [each for _, _, each in corrections(await records(pool), ended)] == [400_000]


async def test_a_session_is_not_taken_along_before_its_last_words_are_written(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1"), spec("sub2"))
    first = await pool.client.execute(ask())
    runner.lingers = True
    runner.scripts[first.subscription_id] = [
        Failed(kind=FailureKind.USAGE_LIMIT, message="the limit was hit")
    ]
    copied = list[str]()
    copy_session = runner.copy_session

    def noted(*args: Any) -> SessionCopy:
        copied.append("copied")
        return copy_session(*args)

    runner.copy_session = noted  # type: ignore[method-assign]
    moving = asyncio.create_task(pool.client.execute(ask("next", session_id=first.session_id)))
    await runner.wait_for_runs(2)
    await asyncio.sleep(0.1)
    assert copied == []

    runner.lingers = False
    runner.runs[1].exits.set()
    moved = await moving

    assert moved.status is ExecutionStatus.SUCCEEDED
    assert moved.subscription_id != first.subscription_id


async def test_a_session_is_not_forgotten_before_its_last_words_are_written(
    pool: LocalPool, runner: FakeRunner
) -> None:
    ended = await pool.client.execute(ask())
    forgetting = asyncio.create_task(pool.client.forget_session(ended.session_id))
    await asyncio.sleep(0.1)
    assert not forgetting.done()

    runner.runs[0].exits.set()

    await forgetting
    assert runner.sessions == {}


async def test_what_is_held_open_is_no_aftermath(pool: LocalPool, runner: FakeRunner) -> None:
    runner.hold = True
    started = await pool.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    await pool.restart("sub1")

    assert not run.discarded
    run.end(completed("late"))
    run.exits.set()

    ended = await pool.client.result(started.id, wait_seconds=10)
    assert ended.result == "late"

"""Admission: never more runs than slots, nor more reserved than there is budget."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from actors.subscription.executions.live_execution import LiveExecution
from pool.errors import StoreError, Unavailable
from pool.executions.execution import Execution
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.subscriptions.report import SubscriptionState
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.pools.subscribed import ID, OpenPool, ask, failing, held_at_its_intent, report_of
from tests.support.values.examples import completed, spec


async def test_never_more_runs_than_slots_whoever_asks_at_once(
    pool: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    asked = [asyncio.create_task(pool.client.execute(ask(str(n)))) for n in range(5)]
    await runner.wait_for_runs(2)
    for n in range(5):
        (await runner.wait_for_runs(n + 1))[n].end()

    executions = await asyncio.gather(*asked)

    assert {ExecutionStatus.SUCCEEDED} == {each.status for each in executions}
    assert runner.most_running == 2
    assert (0, 0, Decimal(0)) == (
        (await report_of(pool)).running,
        (await report_of(pool)).queued,
        (await report_of(pool)).weekly.reserved_usd,
    )


async def test_a_slot_that_frees_before_an_intent_is_durable_does_not_start_it_twice(
    pool: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.hold = True
    for n in range(2):
        await pool.client.start(ask(str(n)))
    ledger = pool.actors.subscription("sub1")._context.ledger
    begin, reached, go_on = ledger.begin, asyncio.Event(), asyncio.Event()

    async def held_begin(row: ExecutionRow) -> ExecutionRow:
        begun = await begin(row)
        reached.set()
        await go_on.wait()
        return begun

    monkeypatch.setattr(ledger, "begin", held_begin)
    third = asyncio.create_task(pool.client.execute(ask("third")))
    await reached.wait()
    first = (await runner.wait_for_runs(2))[0]
    first.end()
    await pool.client.result(first.run_id, wait_seconds=10)
    go_on.set()
    (await runner.wait_for_runs(3))[2].end()

    assert (await third).status == ExecutionStatus.SUCCEEDED
    assert len(runner.runs) == 3


async def test_a_slot_that_frees_as_an_execution_is_admitted_to_the_queue_starts_it_once(
    pool: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.hold = True
    for n in range(2):
        await pool.client.start(ask(str(n)))
    subscription = pool.actors.subscription("sub1")
    life, runs, begin = (
        subscription._context,
        subscription._executions,
        subscription._executions.begin,
    )

    async def begin_after_a_slot_is_free(live: LiveExecution) -> StoreError | None:
        life.state.spec = spec("sub1", max_concurrent=3, max_queued=3)
        runs.start_waiting()
        return await begin(live)

    monkeypatch.setattr(runs, "begin", begin_after_a_slot_is_free)
    third = await pool.client.start(ask("third"))
    (await runner.wait_for_runs(3))[2].end()
    ended = await pool.client.result(third.id, wait_seconds=10)

    assert ended.status is ExecutionStatus.SUCCEEDED
    assert [each.launch.prompt for each in runner.runs] == ["0", "1", "third"]


async def test_a_caller_who_stops_waiting_for_admission_leaves_no_slot_taken(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = await held_at_its_intent(pool, monkeypatch)
    gone = asyncio.create_task(pool.client.start(ask(), execution_id=ID))
    await reached.wait()

    gone.cancel()
    go_on.set()
    ended = await pool.client.execute(ask(), execution_id=ID)

    assert ended.status == ExecutionStatus.SUCCEEDED
    assert ((await report_of(pool)).running, len(pool.runner.runs)) == (0, 1)


async def test_an_intent_that_cannot_be_kept_is_refused_and_the_next_one_taken(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.context.STORE_RETRY_SECONDS", 0.01)
    ledger = pool.actors.subscription("sub1")._context.ledger
    full, available = StoreError("sub1", "the disk is full"), SubscriptionState.AVAILABLE
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "begin", failing(full))
        patch.setattr(ledger, "stand", failing(full))
        with pytest.raises(Unavailable, match="the disk is full"):
            await pool.client.execute(ask())
        refused = await report_of(pool)

    # The router sends nothing there before it has heard that the disk takes writes again.
    while (healed := await pool.client.subscription("sub1")).state is not available:
        await asyncio.sleep(0.01)

    assert (SubscriptionState.COOLDOWN, 0, Decimal(0)) == (
        refused.state,
        refused.running,
        refused.weekly.reserved_usd,
    )
    assert healed.state_reason == "has headroom"
    assert (await pool.client.execute(ask())).status == ExecutionStatus.SUCCEEDED


async def test_callers_who_waited_for_an_intent_that_failed_begin_it_once(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.context.STORE_RETRY_SECONDS", 0.01)
    subscription = pool.actors.subscription("sub1")
    life, begin, first = subscription._context, subscription._context.ledger.begin, asyncio.Event()

    async def fails_once(row: ExecutionRow) -> ExecutionRow:
        if first.is_set():
            return await begin(row)
        first.set()
        await asyncio.sleep(0)
        raise StoreError("sub1", "the disk is full")

    def refuses_nothing(_: StoreError) -> None:
        """As if the disk had been well again at once."""

    monkeypatch.setattr(life.ledger, "begin", fails_once)
    monkeypatch.setattr(life, "trouble", refuses_nothing)
    answers = await asyncio.gather(
        *(pool.client.execute(ask(), execution_id=ID) for _ in range(3)), return_exceptions=True
    )

    ended = [each for each in answers if isinstance(each, Execution)]
    assert {ExecutionStatus.SUCCEEDED} == {each.status for each in ended}
    assert (1, Decimal("0.0006")) == (
        len(pool.runner.runs),
        (await report_of(pool)).weekly.used_usd,
    )


async def test_concurrent_requests_cannot_pass_the_budget_together(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    runner.hold = True
    pool = await open_pool(spec("sub1", weekly_budget_usd=1, max_concurrent=50))
    asked = [
        asyncio.create_task(pool.client.start(ask(str(n), max_budget_usd="0.3"))) for n in range(10)
    ]

    answers = await asyncio.gather(*asked, return_exceptions=True)

    assert sum(not isinstance(each, BaseException) for each in answers) == 3
    assert Decimal("0.9") == (await report_of(pool)).weekly.reserved_usd


async def test_turns_that_wait_for_their_session_cannot_pass_the_budget_together(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1", weekly_budget_usd=5, max_concurrent=2))
    first = await pool.client.execute(ask())
    runner.hold = True
    turn = ask("turn", session_id=first.session_id, max_budget_usd="2")
    turns = [await pool.client.start(turn) for _ in range(4)]
    waiting = await report_of(pool)

    reserved = []
    for n in range(1, 5):
        (await runner.wait_for_runs(n + 1))[n].end(completed(cost_usd="0.5"))
        await pool.client.result(turns[n - 1].id, wait_seconds=10)
        reserved.append((await report_of(pool)).weekly.reserved_usd)
    ended = [await pool.client.result(each.id, wait_seconds=10) for each in turns]

    assert (waiting.weekly.reserved_usd, waiting.queued) == (4, 3)
    assert reserved == [2, 2, 2, 0]
    assert [each.status for each in ended] == [ExecutionStatus.SUCCEEDED] * 4


async def test_turns_of_two_sessions_that_become_ready_at_once_cannot_pass_the_budget_together(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1", weekly_budget_usd=5, max_concurrent=2))
    sessions = [(await pool.client.execute(ask())).session_id for _ in range(2)]
    runner.hold = True
    for _ in range(2):
        for each in sessions:
            await pool.client.start(ask("turn", session_id=each, max_budget_usd="2"))
    for run in (await runner.wait_for_runs(4))[2:]:
        run.end(completed(cost_usd="1.4"))
        await asyncio.sleep(0.1)  # the one that is free is offered to others, and stays

    after = await report_of(pool)

    assert (after.running, after.queued, after.weekly.reserved_usd) == (1, 1, 2)


async def test_a_turn_that_could_not_reserve_starts_within_the_budget_of_a_paused_subscription(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1", weekly_budget_usd=5, max_concurrent=3))
    first = await pool.client.execute(ask())
    runner.hold = True
    turn = ask("turn", session_id=first.session_id, max_budget_usd="2")
    await pool.client.start(turn)
    other = await pool.client.start(ask("other", max_budget_usd="2"))
    late = await pool.client.start(turn)
    await pool.client.pause("sub1")
    (await runner.wait_for_runs(3))[1].end(completed(cost_usd="1.5"))
    await asyncio.sleep(0.05)
    meanwhile = await pool.client.result(late.id)

    await pool.client.cancel(other.id)
    (await runner.wait_for_runs(4))[3].end()
    ended = await pool.client.result(late.id, wait_seconds=10)

    assert (meanwhile.status, ended.status) == (ExecutionStatus.QUEUED, ExecutionStatus.SUCCEEDED)


async def test_what_waits_is_not_kept_waiting_by_what_others_who_wait_have_reserved(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    runner.hold = True
    pool = await open_pool(spec("sub1", weekly_budget_usd=5, max_concurrent=1))
    dear, *others = [
        await pool.client.start(ask(each, max_budget_usd=budget))
        for each, budget in (("dear", "0.5"), ("one", "2"), ("two", "2"))
    ]

    (await runner.wait_for_runs(1))[0].end(completed(cost_usd="1.5"))
    for n in (1, 2):
        (await runner.wait_for_runs(n + 1))[n].end()
    ended = [await pool.client.result(each.id, wait_seconds=10) for each in (dear, *others)]

    assert [each.status for each in ended] == [ExecutionStatus.SUCCEEDED] * 3


async def test_turns_of_one_session_never_run_at_once(pool: LocalPool, runner: FakeRunner) -> None:
    first = await pool.client.execute(ask())
    runner.hold = True
    turns = [
        asyncio.create_task(pool.client.execute(ask(f"turn {n}", session_id=first.session_id)))
        for n in range(2)
    ]
    await runner.wait_for_runs(2)
    while (await report_of(pool)).queued < 1:
        await asyncio.sleep(0)
    running_at_once = runner.running

    runner.runs[1].end()
    (await runner.wait_for_runs(3))[2].end()
    await asyncio.gather(*turns)

    assert running_at_once == 1
    assert [first.session_id] * 3 == [run.launch.session_id for run in runner.runs]
    assert [run.launch.resumes for run in runner.runs] == [False, True, True]

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from localpool import FakeRunner, LocalPool, completed, spec, usage_of

from actors.subscription.live_execution import LiveExecution
from pool.errors import NotFound, StoreError, Unavailable
from pool.executions.execution import Execution
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import ExecutionRequest
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.limits.windows import RateLimitEvent
from pool.storage.sqlite import SqliteStores
from pool.subscriptions.report import Report, SubscriptionState
from pool.subscriptions.spec import SubscriptionChange
from pool.usage.records import UsageSource

OpenPool = Callable[..., Awaitable[LocalPool]]
ID = "exec_" + "1" * 28


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


@pytest.fixture
async def pool(open_pool: OpenPool) -> LocalPool:
    """One subscription with two slots and room for three to wait."""
    return await open_pool(spec("sub1", max_concurrent=2, max_queued=3))


async def report_of(pool: LocalPool) -> Report:
    return await pool.actors.subscription("sub1").next_report(-1, -1, 0)


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


async def held_at_its_intent(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold the next T1 before its commit: set once it is reached, and what lets it go on."""
    ledger = pool.actors.subscription("sub1")._context.ledger
    begin, reached, go_on = ledger.begin, asyncio.Event(), asyncio.Event()

    async def held_begin(row: ExecutionRow) -> ExecutionRow:
        reached.set()
        await go_on.wait()
        return await begin(row)

    monkeypatch.setattr(ledger, "begin", held_begin)
    return reached, go_on


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


async def test_an_outcome_that_cannot_be_kept_is_not_told_until_it_can(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.live_executions.STORE_RETRY_SECONDS", 0.01)
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


def failing(error: Exception) -> Callable[..., Awaitable[object]]:
    async def fail(*_: object) -> object:
        raise error

    return fail


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


async def test_a_cooldown_survives_a_restart(pool: LocalPool) -> None:
    pool.runner.script.append(Failed(kind=FailureKind.AUTHENTICATION, message="401"))
    await pool.client.execute(ask())

    await pool.restart("sub1")

    assert (await report_of(pool)).state == SubscriptionState.NEEDS_LOGIN


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


async def test_prices_are_learned_from_runs_and_handed_to_the_next(pool: LocalPool) -> None:
    for _ in range(2):
        await pool.client.execute(ask())

    known = pool.runner.runs[1].launch.rates.estimate(usage_of("0"))

    assert (known.cost_nano_usd, known.known) == (600_000, True)

"""What one subscription cannot serve is served by the next, once, and charged once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from localpool import NOON, FakeRunner, LocalPool, completed, spec, usage_of
from pool_requests import ask, failed, later, limit, report_of, stop_for, until

from actors.interfaces.messages import HandedOff, HandoffRequest, NotAdmitted, NotTaken, Started
from actors.router.router import Router
from pool.alerts.alerts import AlertKind
from pool.errors import ActorLost, Exhausted, NotFound, Unavailable
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.outcome import Failed, FailureKind
from pool.executions.progress import Ended
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.subscriptions.report import SubscriptionState
from pool.subscriptions.settlement import Settlement

OpenPool = Callable[..., Awaitable[LocalPool]]
SUBSCRIPTION_OR_ROAD = [
    FailureKind.USAGE_LIMIT,
    FailureKind.RATE_LIMITED,
    FailureKind.OVERLOADED,
    FailureKind.SERVER_ERROR,
    FailureKind.CONNECTION,
    FailureKind.AUTHENTICATION,
    FailureKind.CREDIT_EXHAUSTED,
    FailureKind.NOT_STARTED,
    FailureKind.KILLED,
]


@pytest.fixture
async def two(open_pool: OpenPool) -> LocalPool:
    """Two subscriptions; the first is asked first."""
    return await open_pool(spec("sub1", max_concurrent=2), spec("sub2", max_concurrent=2))


async def waited(pool: LocalPool, request: ExecutionRequest) -> Execution:
    return await pool.client.execute(request)


async def in_background(pool: LocalPool, request: ExecutionRequest) -> Execution:
    started = await pool.client.start(request.model_copy(update={"background": True}))
    return await pool.client.result(started.id, wait_seconds=10)


async def streamed(pool: LocalPool, request: ExecutionRequest) -> Execution:
    *_, last = [event async for event in pool.client.stream(request)]
    assert isinstance(last.progress, Ended)
    return last.progress.execution


WAYS = [waited, in_background, streamed]
Way = Callable[[LocalPool, ExecutionRequest], Awaitable[Execution]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SUBSCRIPTION_OR_ROAD)
async def test_what_one_subscription_cannot_serve_is_answered_by_the_next(
    two: LocalPool, runner: FakeRunner, kind: FailureKind, way: Way
) -> None:
    runner.scripts["sub1"] = [failed(kind)]

    execution = await way(two, ask())

    assert (
        execution.status,
        execution.subscription_id,
        execution.result,
    ) == (ExecutionStatus.SUCCEEDED, "sub2", "yes")
    assert [
        ("sub1", kind.value, f"{kind.value} there", Decimal(0)),
        ("sub2", "completed", None, Decimal("0.0006")),
    ] == [
        (each.subscription_id, each.outcome, each.reason, each.cost_usd)
        for each in execution.attempts
    ]
    assert execution.routing.reason == "attempt 2: sub1 failed"


async def test_every_attempt_is_listed_with_what_it_cost_and_counted_where_it_ran(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.scripts["sub1"] = [failed(FailureKind.OVERLOADED, usage_of("0.0002"))]

    execution = await two.client.execute(ask())

    costs = [(each.subscription_id, each.cost_usd) for each in execution.attempts]
    assert costs == [("sub1", Decimal("0.0002")), ("sub2", Decimal("0.0006"))]
    for id_, cost in costs:
        report = await report_of(two, id_)
        assert (cost, 0, 0) == (report.totals.usage.cost_usd, report.running, report.queued)
        records = (await two.client.usage(id_)).items
        assert [(execution.id, cost)] == [
            (each.execution_id, each.usage.cost_usd) for each in records
        ]


async def test_its_candidates_say_why_the_first_subscription_is_out(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.scripts["sub1"] = [limit()]

    execution = await two.client.execute(ask())

    refusals = {each.subscription_id: each for each in execution.routing.candidates}
    first = refusals["sub1"]
    assert (first.refusal_cause, first.refused_until) == ("cooldown", NOON + timedelta(hours=1))
    assert refusals["sub2"].refusal is None


OWN = [
    FailureKind.INVALID_REQUEST,
    FailureKind.REFUSAL,
    FailureKind.MAX_TURNS,
    FailureKind.MAX_BUDGET,
    FailureKind.TIMEOUT,
    FailureKind.OUTPUT_LIMIT,
]


def unsure() -> Failed:
    """A refusal of which nobody can tell whom it is about."""
    return failed(FailureKind.INVALID_REQUEST).model_copy(update={"is_ambiguous": True})


async def test_beside_one_that_refuses_everything_every_request_succeeds_and_it_is_parked(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.scripts["sub1"] = [unsure()] * 20

    ended = [await two.client.execute(ask()) for _ in range(20)]

    assert {each.status for each in ended} == {ExecutionStatus.SUCCEEDED}
    sub1 = await two.actors.subscription("sub1").next_report(-1, -1, 0)
    assert (sub1.state, sub1.cooldown_cause) == (
        SubscriptionState.COOLDOWN,
        FailureKind.INVALID_REQUEST,
    )
    assert len([run for run in runner.runs if run.subscription == "sub1"]) < 20


async def test_what_two_refuse_alike_is_the_callers_and_nobody_is_blamed(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.scripts["sub1"] = [unsure()]
    runner.scripts["sub2"] = [unsure()]

    execution = await two.client.execute(ask())

    assert execution.error is not None
    assert execution.error.type == FailureKind.INVALID_REQUEST
    assert len(runner.runs) == 2
    states = {each.state for each in await two.client.subscriptions()}
    assert states == {SubscriptionState.AVAILABLE}


async def test_a_model_that_one_may_not_use_is_served_elsewhere_and_others_stay(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.scripts["sub1"] = [failed(FailureKind.MODEL_NOT_FOUND)]

    first = await two.client.execute(ask(model="claude-opus-4-5"))
    second = await two.client.execute(ask(model="claude-opus-4-5"))
    other = await two.client.execute(ask(subscription_id="sub1"))

    assert {each.status for each in (first, second, other)} == {ExecutionStatus.SUCCEEDED}
    assert [run.subscription for run in runner.runs] == ["sub1", "sub2", "sub2", "sub1"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", OWN)
async def test_a_callers_own_errors_are_not_tried_again(
    two: LocalPool, runner: FakeRunner, kind: FailureKind, way: Way
) -> None:
    runner.scripts["sub1"] = [failed(kind)]

    execution = await way(two, ask())

    assert execution.error is not None
    assert (kind.value, "sub1", 1) == (
        execution.error.type,
        execution.subscription_id,
        len(runner.runs),
    )


async def test_what_may_have_been_billed_unseen_is_not_tried_again(
    two: LocalPool, runner: FakeRunner
) -> None:
    lost = Failed(kind=FailureKind.CONNECTION, message="cut", evidence=False)
    runner.scripts["sub1"] = [lost]

    execution = await two.client.execute(ask())

    assert (execution.status, len(runner.runs)) == (ExecutionStatus.UNCERTAIN, 1)


async def test_a_stream_that_gave_output_fails_honestly_instead_of_beginning_again(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    reading = asyncio.create_task(streamed(two, ask()))
    (run,) = await runner.wait_for_runs(1)
    run.says("half an ")
    run.end(failed(FailureKind.OVERLOADED, usage_of()))

    execution = await reading

    assert execution.error is not None
    assert (execution.error.type, len(runner.runs)) == ("overloaded", 1)


async def test_a_request_for_one_subscription_runs_there_or_nowhere(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.scripts["sub1"] = [limit()]

    execution = await two.client.execute(ask(subscription_id="sub1"))

    assert execution.error is not None
    assert (execution.error.type, len(runner.runs)) == ("usage_limit", 1)


async def test_attempts_are_bounded(open_pool: OpenPool, runner: FakeRunner) -> None:
    pool = await open_pool(*(spec(f"sub{n}") for n in range(9)))
    runner.script = [failed(FailureKind.OVERLOADED) for _ in range(9)]

    execution = await pool.client.execute(ask())

    assert execution.error is not None
    assert execution.error.type == "overloaded"
    assert 5 == len(execution.attempts) == len({each.subscription for each in runner.runs})


async def test_where_nobody_is_left_it_fails_with_the_earliest_time_to_ask_again(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.scripts["sub1"] = [limit(NOON + timedelta(hours=2))]
    runner.scripts["sub2"] = [limit(NOON + timedelta(hours=3))]

    execution = await two.client.execute(ask())

    assert execution.error is not None
    assert (ExecutionStatus.FAILED, "usage_limit", NOON + timedelta(hours=2)) == (
        execution.status,
        execution.error.type,
        execution.error.retry_at,
    )
    assert [each.subscription_id for each in execution.attempts] == ["sub1", "sub2"]
    assert execution.duration_ms is not None


async def test_nobody_is_tried_twice_though_he_could_take_it_again(
    two: LocalPool, runner: FakeRunner
) -> None:
    for id_ in ("sub1", "sub2"):
        runner.scripts[id_] = [failed(FailureKind.NOT_STARTED)]

    execution = await two.client.execute(ask())

    assert execution.status is ExecutionStatus.INTERRUPTED
    assert [each.subscription_id for each in execution.attempts] == ["sub1", "sub2"]
    assert await two.router.locate(execution.id) == "sub2"
    assert len(runner.runs) == 2


async def test_what_nobody_took_is_found_where_it_ended(two: LocalPool, runner: FakeRunner) -> None:
    await stop_for(two, "sub2")
    runner.scripts["sub1"] = [failed(FailureKind.NOT_STARTED)]

    execution = await two.client.execute(ask())

    assert (execution.subscription_id, execution.status) == ("sub1", ExecutionStatus.INTERRUPTED)
    assert await two.router.locate(execution.id) == "sub1"
    assert execution == await two.client.result(execution.id)


async def test_operators_are_told_of_it_once(two: LocalPool, runner: FakeRunner) -> None:
    runner.scripts["sub1"] = [limit()]

    await two.client.execute(ask())

    alerts = (await two.router.alerts(limit=99)).items
    assert [each.kind for each in alerts].count(AlertKind.FAILOVER) == 1


async def test_it_is_listed_once_and_where_it_went(two: LocalPool, runner: FakeRunner) -> None:
    runner.scripts["sub1"] = [limit()]

    execution = await two.client.execute(ask())

    assert (execution,) == (await two.client.executions()).items
    assert (await two.client.executions(subscription_id="sub1")).items == ()
    assert await two.router.locate(execution.id) == "sub2"


async def test_it_is_listed_once_while_both_ends_have_it(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.scripts["sub1"] = [limit()]
    runner.hold = True
    release = _hold_back_the_second_settlement(two, "sub1", monkeypatch)
    started = await two.client.start(ask())
    await runner.wait_for_runs(2)

    listed = (await two.client.executions()).items
    release.set()

    assert [(started.id, "sub2", ExecutionStatus.RUNNING)] == [
        (each.id, each.subscription_id, each.status) for each in listed
    ]


@pytest.mark.usefixtures("impatient")
async def test_what_is_being_handed_on_is_found_among_what_waits(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    running = await two.client.start(ask())
    two.actors.the_router = cast(Router, AwayRouter(two.router, calls=10_000))
    (await runner.wait_for_runs(2))[0].end(limit())
    await until(lambda: _is_moving(two, started.id))

    async def found(status: ExecutionStatus) -> list[tuple[str, ExecutionStatus]]:
        page = await two.client.executions(status=status)
        return [(each.id, each.status) for each in page.items]

    assert await found(ExecutionStatus.QUEUED) == [(started.id, ExecutionStatus.QUEUED)]
    assert await found(ExecutionStatus.RUNNING) == [(running.id, ExecutionStatus.RUNNING)]


def _hold_back_the_second_settlement(
    pool: LocalPool, subscription_id: str, monkeypatch: pytest.MonkeyPatch
) -> asyncio.Event:
    """The one that says where an execution went waits for the event."""
    ledger = pool.actors.subscription(subscription_id)._context.ledger
    settle, release = ledger.settle, asyncio.Event()

    async def slowly(settlement: Settlement) -> bool:
        if settlement.row.status is ExecutionStatus.MOVED:
            await release.wait()
        return await settle(settlement)

    monkeypatch.setattr(ledger, "settle", slowly)
    return release


async def test_a_key_that_is_used_again_answers_with_the_execution_wherever_it_went(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.scripts["sub1"] = [limit()]
    first = await two.client.execute(ask(), idempotency_key="k")

    again = await two.client.execute(ask(), idempotency_key="k")

    assert first == again
    assert len(runner.runs) == 2


async def test_a_dispatch_that_is_repeated_on_the_way_follows_it(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    waiting = [
        asyncio.create_task(two.client.execute(ask(), idempotency_key="k")) for _ in range(5)
    ]
    (await runner.wait_for_runs(1))[0].end(limit())
    waiting += [
        asyncio.create_task(two.client.execute(ask(), idempotency_key="k")) for _ in range(5)
    ]
    (await runner.wait_for_runs(2))[1].end()

    answers = await asyncio.gather(*waiting)

    assert len({each.model_dump_json() for each in answers}) == 1
    assert len(runner.runs) == 2


# -- crashes on the way ------------------------------------------------------------------------


class AwayRouter:
    """A router that is gone for some calls."""

    def __init__(self, router: Router, calls: int) -> None:
        self._router = router
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)

    async def hand_off(self, handoff_request: HandoffRequest) -> HandedOff | NotTaken:
        if self.calls:
            self.calls -= 1
            raise ActorLost("router", "it was killed")
        return await self._router.hand_off(handoff_request)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.subscription.handoff.ROUTER_AWAY_SECONDS", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_a_router_that_is_away_is_asked_until_it_is_back(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    two.actors.the_router = None
    run.end(limit())
    await until(lambda: _is_moving(two, started.id))

    two.actors.the_router = two.router
    (await runner.wait_for_runs(2))[1].end()

    ended = await two.client.result(started.id, wait_seconds=10)
    assert (
        ended.status,
        ended.subscription_id,
        len(runner.runs),
    ) == (ExecutionStatus.SUCCEEDED, "sub2", 2)


async def _is_moving(pool: LocalPool, execution_id: str, at: str = "sub1") -> bool:
    row = await pool.actors.subscription(at)._context.ledger.execution(execution_id)
    return row is not None and row.status is ExecutionStatus.MOVING


@pytest.mark.usefixtures("impatient")
async def test_an_owner_that_is_killed_before_it_asked_is_charged_once_and_hands_it_on(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    two.actors.the_router = None
    run.end(failed(FailureKind.OVERLOADED, usage_of("0.0002")))
    await until(lambda: _is_moving(two, started.id))
    await two.restart("sub1")

    two.actors.the_router = two.router
    (await runner.wait_for_runs(2))[1].end()

    ended = await two.client.result(started.id, wait_seconds=10)
    assert (
        ended.status,
        ended.subscription_id,
        len(runner.runs),
    ) == (ExecutionStatus.SUCCEEDED, "sub2", 2)
    await _is_charged_once(two, ended)


async def test_an_owner_that_is_killed_after_it_was_taken_over_finds_where_it_is(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.hold = True
    _hold_back_the_second_settlement(two, "sub1", monkeypatch)
    started = await two.client.start(ask())
    (await runner.wait_for_runs(1))[0].end(limit())
    run = (await runner.wait_for_runs(2))[1]

    await two.restart("sub1")
    run.end()
    ended = await two.client.result(started.id, wait_seconds=10)
    await until(lambda: _is_final(two, started.id))

    assert (
        ended.status,
        ended.subscription_id,
        len(runner.runs),
    ) == (ExecutionStatus.SUCCEEDED, "sub2", 2)
    assert (await two.actors.subscription("sub1").result(started.id, 0)).subscription_id == "sub2"
    await _is_charged_once(two, ended)


async def _is_final(pool: LocalPool, execution_id: str, at: str = "sub1") -> bool:
    row = await pool.actors.subscription(at)._context.ledger.execution(execution_id)
    return row is not None and row.status.is_final


async def test_it_is_taken_over_again_where_the_next_owner_has_handed_it_on_meanwhile(
    local_pool: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.scripts = {"sub1": [limit()], "sub2": [limit()]}
    _hold_back_the_second_settlement(local_pool, "sub1", monkeypatch)
    started = await local_pool.client.start(ask())
    await runner.wait_for_runs(3)
    await until(lambda: _is_final(local_pool, started.id, "sub2"))

    await local_pool.restart("sub1")
    await until(lambda: _is_final(local_pool, started.id, "sub1"))

    ended = await local_pool.client.result(started.id, wait_seconds=10)
    assert (
        ended.status,
        ended.subscription_id,
        len(runner.runs),
    ) == (ExecutionStatus.SUCCEEDED, "sub3", 3)
    assert [each.subscription_id for each in ended.attempts] == ["sub1", "sub2", "sub3"]


@pytest.mark.usefixtures("impatient")
async def test_a_router_whose_answer_was_lost_gives_the_same_one_again(
    two: LocalPool, runner: FakeRunner
) -> None:
    class Forgetful(AwayRouter):
        async def hand_off(self, handoff_request: HandoffRequest) -> HandedOff | NotTaken:
            answer = await self._router.hand_off(handoff_request)
            if self.calls:
                self.calls -= 1
                raise ActorLost("router", "killed while it answered")
            return answer

    two.actors.the_router = cast(Router, Forgetful(two.router, calls=2))
    runner.scripts["sub1"] = [limit()]

    execution = await two.client.execute(ask())

    assert (
        execution.status,
        execution.subscription_id,
        len(runner.runs),
    ) == (ExecutionStatus.SUCCEEDED, "sub2", 2)


# -- cancelled on the way ----------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_what_is_cancelled_while_nobody_can_be_asked_is_not_started_elsewhere(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    two.actors.the_router = cast(Router, AwayRouter(two.router, calls=20))
    run.end(failed(FailureKind.OVERLOADED, usage_of("0.0002")))
    await until(lambda: _is_moving(two, started.id))

    ended = await two.client.cancel(started.id)

    assert ended.status == ExecutionStatus.CANCELLED
    assert len(runner.runs) == len(ended.attempts) == 1
    await _is_charged_once(two, ended)


async def test_what_is_cancelled_as_the_end_of_its_run_is_written_is_not_handed_on(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    ledger = two.actors.subscription("sub1")._context.ledger
    settle, written, go_on = ledger.settle, asyncio.Event(), asyncio.Event()

    async def slowly(settlement: Settlement) -> bool:
        answer = await settle(settlement)
        written.set()
        await go_on.wait()
        return answer

    monkeypatch.setattr(ledger, "settle", slowly)
    run.end(failed(FailureKind.OVERLOADED, usage_of("0.0002")))
    await written.wait()
    cancelling = asyncio.create_task(two.client.cancel(started.id))
    await until(lambda: two.actors.subscription("sub1").was_cancelled(started.id))
    assert await _is_moving(two, started.id)  # no older state was written over it
    go_on.set()

    ended = await cancelling
    assert (ended.status, ended.subscription_id) == (ExecutionStatus.CANCELLED, "sub1")
    assert len(runner.runs) == 1
    await _is_charged_once(two, ended)


async def test_what_is_cancelled_before_it_arrives_is_not_started_there(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.hold = True
    sub2 = two.actors.subscription("sub2")
    start, asked, go_on = sub2.start, asyncio.Event(), asyncio.Event()

    async def slowly(intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        asked.set()
        await go_on.wait()
        return await start(intent, may_wait=may_wait)

    monkeypatch.setattr(sub2, "start", slowly)
    started = await two.client.start(ask())
    (await runner.wait_for_runs(1))[0].end(limit())
    await asked.wait()
    cancelling = asyncio.create_task(two.client.cancel(started.id))
    await until(lambda: started.id in sub2._executions._cancelled_ahead)
    go_on.set()

    ended = await cancelling
    assert (ended.status, ended.subscription_id) == (ExecutionStatus.CANCELLED, "sub2")
    assert len(runner.runs) == len(ended.attempts) == 1


async def test_what_is_cancelled_before_it_arrives_in_a_queue_leaves_it_at_once(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1", max_concurrent=1))
    runner.hold = True
    await pool.client.start(ask())
    await runner.wait_for_runs(1)
    sub1, id_ = pool.actors.subscription("sub1"), "exec_" + "1" * 28

    with pytest.raises(NotFound):
        await sub1.cancel(id_)
    await pool.client.start(ask(), execution_id=id_)

    ended = await pool.client.result(id_, wait_seconds=10)
    assert ended.status is ExecutionStatus.CANCELLED
    assert (await report_of(pool, "sub1")).queued == 0


@pytest.mark.usefixtures("impatient")
async def test_what_was_cancelled_is_not_started_elsewhere_after_a_restart(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    away = AwayRouter(two.router, calls=10_000)
    two.actors.the_router = cast(Router, away)
    run.end(limit())
    await until(lambda: _is_moving(two, started.id))
    cancelling = asyncio.create_task(two.client.cancel(started.id))
    await until(lambda: two.actors.subscription("sub1").was_cancelled(started.id))

    await two.restart("sub1")
    away.calls = 0
    ended = await two.client.result(started.id, wait_seconds=10)
    cancelling.cancel()

    assert ended.status is ExecutionStatus.CANCELLED
    assert len(runner.runs) == len(ended.attempts) == 1


@pytest.mark.parametrize("does", ["is away", "hangs"])
async def test_an_earlier_owner_that_cannot_be_asked_keeps_nothing_from_going_on(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    async def asked(_: str) -> bool:
        if does == "is away":
            raise ActorLost("sub1", "it was killed")
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr("actors.subscription.live_executions.WANTED_SECONDS", 0.05)
    monkeypatch.setattr(two.actors.subscription("sub1"), "was_cancelled", asked)
    runner.scripts["sub1"] = [limit()]

    execution = await two.client.execute(ask())

    assert (execution.status, execution.subscription_id) == (ExecutionStatus.SUCCEEDED, "sub2")


async def test_what_is_cancelled_as_nobody_takes_it_ends_cancelled(
    two: LocalPool, runner: FakeRunner
) -> None:
    await stop_for(two, "sub2")
    runner.hold = True
    started = await two.client.start(ask())
    run = (await runner.wait_for_runs(2))[1]
    two.actors.the_router = cast(Router, AwayRouter(two.router, calls=1))
    run.end(failed(FailureKind.NOT_STARTED))
    await until(lambda: _is_moving(two, started.id))

    ended = await two.client.cancel(started.id)

    assert (ended.status, ended.subscription_id) == (ExecutionStatus.CANCELLED, "sub1")


async def test_what_went_on_elsewhere_is_cancelled_there(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    runner.scripts["sub1"] = [limit()]
    started = await two.client.start(ask())
    run = (await runner.wait_for_runs(2))[1]

    ended = await two.client.cancel(started.id)

    assert (
        ended.status,
        ended.subscription_id,
        run.stopped,
    ) == (ExecutionStatus.CANCELLED, "sub2", True)


async def test_many_at_once_with_subscriptions_that_fail_at_random_run_and_are_charged_once_each(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(*(spec(f"sub{n}", max_concurrent=50) for n in range(4)))
    for n in range(4):
        kinds = SUBSCRIPTION_OR_ROAD[n::2]
        runner.scripts[f"sub{n}"] = [
            each
            for kind in kinds
            for each in (failed(kind, usage_of("0.0001")), completed(cost_usd="0.001"))
        ]

    time = asyncio.create_task(_passing(pool))
    answers = await asyncio.gather(
        *(pool.client.execute(ask(str(n))) for n in range(30)), return_exceptions=True
    )
    time.cancel()

    # Who comes while all of them rest is refused, and nothing of it runs.
    ended = [each for each in answers if not isinstance(each, Exhausted | Unavailable)]
    not_ended = [
        each for each in ended if not (isinstance(each, Execution) and each.status.is_final)
    ]
    assert not_ended == []
    listed = (await pool.client.executions(limit=500)).items
    assert {each.id for each in listed} == {
        each.id for each in ended if isinstance(each, Execution)
    }
    assert len(listed) == len(ended)
    assert len(runner.runs) == sum(len(each.attempts) for each in listed)
    for each in listed:
        await _is_charged_once(pool, each)


async def _passing(pool: LocalPool) -> None:
    while True:
        await later(pool, timedelta(seconds=20))
        await asyncio.sleep(0.01)


async def _is_charged_once(pool: LocalPool, execution: Execution) -> None:
    """What each attempt cost stands in the ledger of its subscription, and nothing else does."""
    listed = {(each.subscription_id, each.cost_usd) for each in execution.attempts if each.cost_usd}
    recorded = [
        (id_, record.usage.cost_usd)
        for id_ in pool.actors.subscriptions
        for record in (await pool.client.usage(id_, limit=500)).items
        if record.execution_id == execution.id
    ]
    assert sorted(recorded) == sorted(listed)

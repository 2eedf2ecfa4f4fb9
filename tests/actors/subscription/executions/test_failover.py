"""Failover: what one subscription cannot serve is answered by the next, and charged once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import cast

import pytest

from actors.router.router import Router
from pool.alerts.alerts import AlertKind
from pool.errors import Exhausted, Unavailable
from pool.executions.execution import Execution
from pool.executions.outcome import Failed, FailureKind
from pool.executions.progress import Ended
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.subscriptions.report import SubscriptionState
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.handed_on import (
    AwayRouter,
    OpenPool,
    hold_back_the_second_settlement,
    is_charged_once,
    is_moving,
)
from tests.support.pools.localpool import LocalPool
from tests.support.pools.pool_requests import ask, failed, later, limit, report_of, stop_for
from tests.support.suite.waiting import until
from tests.support.values.examples import NOON, completed, spec, usage_of

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
    release = hold_back_the_second_settlement(two, "sub1", monkeypatch)
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
    await until(lambda: is_moving(two, started.id))

    async def found(status: ExecutionStatus) -> list[tuple[str, ExecutionStatus]]:
        page = await two.client.executions(status=status)
        return [(each.id, each.status) for each in page.items]

    assert await found(ExecutionStatus.QUEUED) == [(started.id, ExecutionStatus.QUEUED)]
    assert await found(ExecutionStatus.RUNNING) == [(running.id, ExecutionStatus.RUNNING)]


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
        await is_charged_once(pool, each)


async def _passing(pool: LocalPool) -> None:
    while True:
        await later(pool, timedelta(seconds=20))
        await asyncio.sleep(0.01)

"""What waits: handed to whoever is free, served in turn, and never for longer than it may."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from actors.interfaces.messages import HandedOff, HandoffRequest, NotTaken
from api.web.problems.turned_away import served
from pool.errors import Exhausted, Unavailable
from pool.executions.execution import Execution
from pool.executions.outcome import FailureKind
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.subscriptions.admission import AdmissionLimits
from pool.subscriptions.report import SubscriptionState
from pool.subscriptions.reporting import SubscriptionPolicy
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.pools.pool_requests import (
    ask,
    failed,
    later,
    limit,
    report_of,
    runs_at,
    stop_for,
)
from tests.support.suite.waiting import until
from tests.support.values.examples import completed, spec
from tests.support.values.manual_clock import ManualClock

OpenPool = Callable[..., Awaitable[LocalPool]]
HOUR = timedelta(hours=1)


@pytest.fixture
async def one(open_pool: OpenPool) -> LocalPool:
    """One subscription with two slots."""
    return await open_pool(spec("sub1", max_concurrent=2))


@pytest.fixture
async def two(open_pool: OpenPool) -> LocalPool:
    """Two subscriptions with one slot each."""
    return await open_pool(spec("sub1", max_concurrent=1), spec("sub2", max_concurrent=1))


async def start(pool: LocalPool, *prompts: str, **of: object) -> list[Execution]:
    return [await pool.client.start(ask(each, **of), caller=each[0]) for each in prompts]


def prompts(runner: FakeRunner) -> list[str]:
    return [each.launch.prompt for each in runner.runs]


# -- handed on ---------------------------------------------------------------------------------


async def test_what_waits_is_handed_to_a_subscription_that_becomes_free(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.executions.handoff.ASK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr("actors.subscription.executions.queue.TEND_SECONDS", 0.02)
    await two.restart("sub1")
    await two.restart("sub2")
    runner.hold = True
    await start(two, "a", "b", "c")
    runs = await runner.wait_for_runs(2)
    (waiting,) = (await two.client.executions(status=ExecutionStatus.QUEUED)).items
    other = next(each for each in runs if each.subscription != waiting.subscription_id)

    await later(two, timedelta(seconds=3))
    other.end()
    (await runner.wait_for_runs(3))[2].end()
    ended = await two.client.result(waiting.id, wait_seconds=10)

    assert (ExecutionStatus.SUCCEEDED, other.subscription) == (ended.status, ended.subscription_id)
    assert [other.subscription] == [each.subscription_id for each in ended.attempts]
    assert prompts(runner).count("c") == 1


async def test_what_waits_and_is_cancelled_while_it_is_handed_on_is_started_nowhere(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.hold = True
    await start(two, "a", "b", "c")
    runs = await runner.wait_for_runs(2)
    (waiting,) = (await two.client.executions(status=ExecutionStatus.QUEUED)).items
    here = next(each for each in runs if each.subscription == waiting.subscription_id)
    hand_off, asked, go_on = two.router.hand_off, asyncio.Event(), asyncio.Event()

    async def slowly(handoff_request: HandoffRequest) -> HandedOff | NotTaken:
        if handoff_request.intent.execution_id == waiting.id:
            asked.set()
            await go_on.wait()
        return await hand_off(handoff_request)

    monkeypatch.setattr(two.router, "hand_off", slowly)
    for each in runs:
        if each is not here:
            each.end()
    here.end(limit())
    await asked.wait()
    cancelling = asyncio.create_task(two.client.cancel(waiting.id))
    await until(lambda: two.actors.subscription(here.subscription).was_cancelled(waiting.id))
    go_on.set()

    ended = await cancelling
    assert (ended.status, ended.attempts) == (ExecutionStatus.CANCELLED, ())
    assert "c" not in prompts(runner)


async def test_a_subscription_in_cooldown_hands_its_queue_on(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await start(two, "a", "b", "c", "d")
    runs = await runner.wait_for_runs(2)
    here = next(each for each in runs if each.subscription == "sub1")

    here.end(limit())
    there = next(each for each in runs if each.subscription == "sub2")
    there.end()
    for n in range(3):
        (await runner.wait_for_runs(n + 3))[n + 2].end()
    ended = [
        await two.client.result(each.id, wait_seconds=10)
        for each in (await two.client.executions()).items
    ]

    assert {("sub2", "succeeded")} == {(e.subscription_id, e.status.value) for e in ended}
    assert len(ended) == 4
    assert len(runner.runs) == 5


async def test_what_waits_for_one_subscription_alone_waits_for_it_through_its_cooldown(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.executions.queue.TEND_SECONDS", 0.02)
    await two.restart("sub1")
    runner.hold = True
    await start(two, "a", subscription_id="sub1")
    (waiting,) = await start(two, "b", subscription_id="sub1", queue_timeout_seconds=86400)
    (await runner.wait_for_runs(1))[0].end(limit(two.clock() + HOUR))

    await asyncio.sleep(0.1)
    assert len(runner.runs) == 1
    await later(two, HOUR)
    (await runner.wait_for_runs(2))[1].end()

    ended = await two.client.result(waiting.id, wait_seconds=10)
    assert (ended.subscription_id, ended.status) == ("sub1", ExecutionStatus.SUCCEEDED)


async def test_what_nobody_else_can_take_goes_on_waiting_where_it_is(
    one: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.executions.queue.TEND_SECONDS", 0.02)
    monkeypatch.setattr("actors.subscription.executions.handoff.ASK_AGAIN_SECONDS", 0.02)
    await one.restart("sub1")
    runner.hold = True
    await start(one, "a", "b")
    (waiting,) = await start(one, "c", queue_timeout_seconds=86400)
    (await runner.wait_for_runs(2))[0].end(limit(one.clock() + HOUR))

    await asyncio.sleep(0.2)
    shown = await one.client.result(waiting.id)
    await later(one, HOUR)
    runner.runs[1].end()
    (await runner.wait_for_runs(3))[2].end()

    ended = await one.client.result(waiting.id, wait_seconds=10)
    assert (shown.status, ended.status) == (ExecutionStatus.QUEUED, ExecutionStatus.SUCCEEDED)
    assert await one.router.locate(waiting.id) == "sub1"


async def test_what_is_being_handed_on_can_be_cancelled(
    one: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.executions.handoff.ROUTER_AWAY_SECONDS", 0.02)
    runner.hold = True
    await start(one, "a", "b")
    (waiting,) = await start(one, "c")
    one.actors.the_router = None
    (await runner.wait_for_runs(2))[0].end(limit())
    await asyncio.sleep(0.05)
    cancelling = asyncio.create_task(one.actors.subscription("sub1").cancel(waiting.id))
    await asyncio.sleep(0.05)
    one.actors.the_router = one.router

    cancelled = await cancelling

    assert cancelled.status == ExecutionStatus.CANCELLED
    assert "c" not in prompts(runner)


# -- patience ----------------------------------------------------------------------------------


async def test_what_has_waited_as_long_as_it_may_ends_and_nothing_was_started(
    one: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await start(one, "a", "b")
    (waiting,) = await start(one, "c", queue_timeout_seconds=60)
    one.clock.advance(timedelta(seconds=59))
    await asyncio.sleep(0.6)
    before = await one.client.result(waiting.id)

    one.clock.advance(timedelta(seconds=1))
    ended = await one.client.result(waiting.id, wait_seconds=10)

    assert ended.error is not None
    assert (
        before.status,
        ended.status,
        ended.error.type,
    ) == (ExecutionStatus.QUEUED, ExecutionStatus.FAILED, "queue_timeout")
    assert "within 60 s" in ended.error.message
    assert (ended.attempts, prompts(runner)) == ((), ["a", "b"])
    assert (await report_of(one, "sub1")).queued == 0


async def test_a_turn_that_waits_for_its_session_waits_no_longer_than_it_may(
    one: LocalPool, runner: FakeRunner
) -> None:
    first = await runs_at(one, "sub1")
    runner.hold = True
    await start(one, "a", session_id=first.session_id)
    (waiting,) = await start(one, "b", session_id=first.session_id, queue_timeout_seconds=60)

    one.clock.advance(timedelta(seconds=60))
    ended = await one.client.result(waiting.id, wait_seconds=10)

    assert ended.error is not None
    assert ended.error.type == "queue_timeout"


async def test_a_waiting_caller_is_told_429_for_a_full_pool_and_503_for_a_session_out_of_reach(
    one: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await start(one, "a", "b")
    (waiting,) = await start(one, "c", queue_timeout_seconds=1)
    one.clock.advance(timedelta(seconds=1))
    timed_out = await one.client.result(waiting.id, wait_seconds=10)
    assert timed_out.error is not None
    error = timed_out.error.model_copy(update={"type": "session_not_moved"})
    not_moved = timed_out.model_copy(update={"error": error})

    with pytest.raises(Exhausted, match="queue_timeout"):
        served(timed_out)
    with pytest.raises(Unavailable, match="session_not_moved"):
        served(not_moved)


# -- half-open ---------------------------------------------------------------------------------


async def _lifted(pool: LocalPool, runner: FakeRunner, count: int) -> list[Execution]:
    """So many requests for a subscription whose cooldown has just ended."""
    await stop_for(pool, "sub1", limit(pool.clock() + HOUR))
    await later(pool, HOUR)
    runner.hold = True
    return await start(pool, *(f"p{n}" for n in range(count)))


async def test_after_a_cooldown_one_goes_first_and_its_answer_opens_the_rest(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1", max_concurrent=3))
    await _lifted(pool, runner, 3)
    await runner.wait_for_runs(2)
    await asyncio.sleep(0.05)
    while_proving = (len(runner.runs), (await report_of(pool, "sub1")).queued)

    runner.runs[1].end()
    await runner.wait_for_runs(4)

    assert while_proving == (2, 2)
    assert ((await report_of(pool, "sub1")).running, runner.runs[1].subscription != "sub1") == (
        2,
        0,
    )


async def test_a_probe_that_fails_closes_the_subscription_again_for_twice_as_long(
    one: LocalPool, runner: FakeRunner
) -> None:
    await stop_for(one, "sub1", failed(FailureKind.RATE_LIMITED))
    await later(one, timedelta(seconds=30))
    runner.hold = True
    started = await start(one, "a", "b")
    (await runner.wait_for_runs(2))[1].end(failed(FailureKind.RATE_LIMITED))
    await one.client.result(started[0].id, wait_seconds=10)
    await asyncio.sleep(0.05)

    report = await report_of(one, "sub1")

    assert (SubscriptionState.COOLDOWN, one.clock() + timedelta(seconds=60)) == (
        report.state,
        report.state_until,
    )
    assert len(runner.runs) == 2
    await later(one, timedelta(seconds=60))
    (await runner.wait_for_runs(3))[2].end()
    ended = await one.client.result(started[1].id, wait_seconds=10)
    assert ended.status == ExecutionStatus.SUCCEEDED


async def test_a_probe_that_is_cancelled_lets_the_next_one_go_first(
    one: LocalPool, runner: FakeRunner
) -> None:
    first, _, _ = await _lifted(one, runner, 3)
    await runner.wait_for_runs(2)

    await one.client.cancel(first.id)
    await runner.wait_for_runs(3)
    await asyncio.sleep(0.05)

    assert (len(runner.runs), (await report_of(one, "sub1")).queued) == (3, 1)


async def test_a_subscription_proves_itself_also_after_a_restart(
    one: LocalPool, runner: FakeRunner
) -> None:
    await stop_for(one, "sub1", limit(one.clock() + HOUR))
    await one.restart("sub1")
    closed = await report_of(one, "sub1")
    await later(one, HOUR)

    lifted = await report_of(one, "sub1")

    assert (
        closed.state,
        lifted.state,
        lifted.capacity,
    ) == (SubscriptionState.COOLDOWN, SubscriptionState.AVAILABLE, 1)


async def test_a_subscription_stays_closed_while_nobody_is_signed_in(
    one: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.upkeep.login_check.LOOK_SECONDS", 0.01)
    await one.restart("sub1")
    runner.signed_in = False
    await stop_for(one, "sub1", failed(FailureKind.AUTHENTICATION))
    one.clock.advance(timedelta(minutes=4, seconds=55))
    await until(lambda: _closed_beyond(one, timedelta(minutes=4)))

    one.clock.advance(timedelta(minutes=1))
    still = await report_of(one, "sub1")
    runner.signed_in = True
    await later(one, timedelta(minutes=4))
    signed_in = await report_of(one, "sub1")

    assert (
        still.state,
        signed_in.state,
        signed_in.capacity,
    ) == (SubscriptionState.NEEDS_LOGIN, SubscriptionState.AVAILABLE, 1)
    assert (await one.client.execute(ask())).status == ExecutionStatus.SUCCEEDED
    assert (await report_of(one, "sub1")).capacity == 2


async def _closed_beyond(pool: LocalPool, by: timedelta) -> bool:
    until_ = (await report_of(pool, "sub1")).state_until
    return until_ is not None and until_ - pool.clock() > by


# -- order -------------------------------------------------------------------------------------


async def test_a_paused_subscription_lets_what_waits_run_and_takes_nothing_new(
    one: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await start(one, "a", "b", "c")
    await runner.wait_for_runs(2)
    await one.client.pause("sub1")

    with pytest.raises(Unavailable, match="paused"):
        await start(one, "d")
    for n in range(3):
        (await runner.wait_for_runs(n + 1))[n].end()

    ended = [await one.client.result(each.id, wait_seconds=10) for each in started]
    assert [(e.subscription_id, e.status.value) for e in ended] == [("sub1", "succeeded")] * 3


async def test_a_caller_with_many_requests_does_not_keep_others_waiting(
    one: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await start(one, *(f"a{n}" for n in range(8)))
    await start(one, "b0", "c0")
    for n in range(10):
        (await runner.wait_for_runs(n + 1))[n].end()

    assert {"b0", "c0"} <= set(prompts(runner)[2:5])
    assert [f"a{n}" for n in range(8)] == [each for each in prompts(runner) if each[0] == "a"]


async def test_what_waits_waits_on_after_a_restart_in_its_order(
    one: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = []
    for prompt in ("a", "a1", "b", "c", "d"):
        started += await start(one, prompt)
        one.clock.advance(timedelta(milliseconds=1))
    await runner.wait_for_runs(2)

    await one.restart("sub1")
    for n in range(5):
        (await runner.wait_for_runs(n + 1))[n].end()
    ended = [await one.client.result(each.id, wait_seconds=10) for each in started]

    assert [each.status for each in ended] == [ExecutionStatus.SUCCEEDED] * 5
    assert prompts(runner)[2:] == ["b", "c", "d"]


async def test_what_waited_while_nobody_was_there_waits_anew(
    one: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    await start(one, "a", "b")
    (waiting,) = await start(one, "c", queue_timeout_seconds=60)
    one.clock.advance(timedelta(seconds=60))
    await one.restart("sub1")
    await asyncio.sleep(0.6)
    after_the_restart = await one.client.result(waiting.id)

    one.clock.advance(timedelta(seconds=60))
    ended = await one.client.result(waiting.id, wait_seconds=10)

    assert after_the_restart.status is ExecutionStatus.QUEUED
    assert ended.error is not None
    assert ended.error.type == "queue_timeout"


async def test_a_fresh_subscription_runs_no_more_than_its_first_day_allows(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1", max_concurrent=3))
    life = pool.actors.subscription("sub1")._context
    policy = SubscriptionPolicy(limits=AdmissionLimits(ramp_slots=(1,)))
    life.deps = replace(life.deps, policy=policy)
    runner.hold = True
    await start(pool, "a", "b", "c", queue_timeout_seconds=86400)
    await runner.wait_for_runs(1)
    await asyncio.sleep(0.05)

    on_the_first_day = len(runner.runs)
    runner.runs[0].end(completed())
    await runner.wait_for_runs(2)
    await later(pool, timedelta(hours=23))  # its first block began two hours before
    await until(lambda: _is_running(pool, 2))

    assert on_the_first_day == 1


async def _is_running(pool: LocalPool, count: int) -> bool:
    return (await report_of(pool, "sub1")).running == count


async def test_somebody_else_is_looked_for_once_more_before_what_waits_is_given_up(
    open_pool: OpenPool, runner: FakeRunner, clock: ManualClock
) -> None:
    runner.hold = True
    pool = await open_pool(spec("sub1", max_concurrent=1), spec("sub2", max_concurrent=1))
    for prompt in ("one", "two"):
        await pool.client.start(ExecutionRequest(prompt=prompt))
    waiting = await pool.client.start(ExecutionRequest(prompt="waits", queue_timeout_seconds=60))
    other = next(run for run in runner.runs if run.subscription != waiting.subscription_id)

    clock.advance(timedelta(seconds=61))
    other.end()
    started = (await runner.wait_for_runs(3))[2]
    started.end()

    ended = await pool.client.ended(waiting)
    assert (ended.status, ended.subscription_id) == (ExecutionStatus.SUCCEEDED, other.subscription)

"""What was asked and answered is removed some time after the end, and all else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from actors.subscription.upkeep.content_removal import seconds_between_looks
from pool.executions.execution import Execution
from pool.executions.outcome import Failed, FailureKind
from pool.executions.progress import Ended
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.usage.records import Usage
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import completed, spec, usage_of
from tests.support.values.manual_clock import ManualClock

OpenPool = Callable[..., Awaitable[LocalPool]]
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


def ask(prompt: str = "a secret", **of: Any) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


async def later(pool: LocalPool, by: timedelta) -> None:
    """Let time pass, and everybody look at what is due."""
    pool.clock.advance(by)
    for each in await pool.router.registrations():
        owner = await pool.restart(each.spec.id)
        pool.router._followers.remember(await owner.next_report(-1, -1, 0))


async def removed(pool: LocalPool, execution_id: str) -> Execution:
    async with asyncio.timeout(10):
        while (
            found := await pool.client.result(execution_id, wait_seconds=0)
        ).content_removed_at is None:
            await asyncio.sleep(0.01)
    return found


async def test_an_answer_is_kept_for_a_day_and_then_it_is_said_that_it_was_removed(
    local_pool: LocalPool, runner: FakeRunner, clock: ManualClock
) -> None:
    ran = await local_pool.client.execute(ask(metadata={"order": "4711"}))
    await later(local_pool, DAY)
    kept = await local_pool.client.result(ran.id)
    await later(local_pool, SECOND)

    now = await removed(local_pool, ran.id)

    assert kept == ran
    assert (now.result, now.structured_output, now.content_removed_at) == (None, None, clock.now)
    gone = {"result": "yes", "content_removed_at": None}
    assert now.model_copy(update=gone) == ran
    assert (now.status, now.metadata) == (ExecutionStatus.SUCCEEDED, {"order": "4711"})


async def test_a_request_that_is_repeated_later_is_answered_without_and_not_run_again(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    asking = {"idempotency_key": "k"}
    ran = await local_pool.client.execute(ask(), **asking)
    await later(local_pool, DAY + SECOND)
    await removed(local_pool, ran.id)

    again = await local_pool.client.execute(ask(), **asking)
    events = [each.progress async for each in local_pool.client.events(ran.id)]

    assert (again.id, again.result, len(runner.runs)) == (ran.id, None, 1)
    assert isinstance(events[-1], Ended)
    assert events[-1].execution == again
    assert "yes" not in str(events)


async def test_accounts_sessions_and_totals_go_on(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    ran = await local_pool.client.execute(ask())
    before = await local_pool.actors.subscription(ran.subscription_id).next_report(-1, -1, 0)
    await later(local_pool, DAY + SECOND)
    await removed(local_pool, ran.id)
    after = await local_pool.client.subscription(ran.subscription_id)

    turn = await local_pool.client.execute(ask("and now?", session_id=ran.session_id))

    assert after.totals == before.totals
    assert after.weekly.used_usd == before.weekly.used_usd
    assert after.expected_costs == before.expected_costs
    assert (turn.status, turn.session_id) == (ExecutionStatus.SUCCEEDED, ran.session_id)
    assert (await local_pool.client.usage(ran.subscription_id)).items[-1].execution_id == ran.id


async def test_what_has_not_ended_keeps_its_prompt_however_long_that_takes(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1", max_concurrent=1))
    runner.hold = True
    runs = await pool.client.start(ask("runs"))
    await later(pool, 2 * DAY)
    waits = await pool.client.start(ask("waits", queue_timeout_seconds=86_400))
    await later(pool, DAY - SECOND)

    for number in range(2):
        (await runner.wait_for_runs(number + 1))[number].end(completed("ja"))
    ended = [await pool.client.ended(each) for each in (runs, waits)]

    assert [each.launch.prompt for each in runner.runs] == ["runs", "waits"]
    assert [each.result for each in ended] == ["ja", "ja"]


async def test_a_failure_keeps_its_reason(local_pool: LocalPool, runner: FakeRunner) -> None:
    runner.script.append(Failed(kind=FailureKind.REFUSAL, message="it declined", usage=Usage()))
    failed = await local_pool.client.execute(ask())
    await later(local_pool, DAY + SECOND)

    now = await removed(local_pool, failed.id)

    assert (now.status, now.error) == (ExecutionStatus.FAILED, failed.error)


async def test_what_went_on_elsewhere_is_removed_wherever_it_was(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    failed = Failed(kind=FailureKind.OVERLOADED, message="busy", usage=usage_of("0"))
    runner.script.append(failed)
    ran = await local_pool.client.execute(ask())
    assert len(ran.attempts) == 2
    await later(local_pool, DAY + SECOND)
    await removed(local_pool, ran.id)

    async def prompts(subscription_id: str) -> list[str]:
        ledger = local_pool.actors.subscription(subscription_id)._context.ledger
        rows = await ledger.executions(limit=9, with_moved=True)
        return [each.intent.request.prompt for each in rows.items]

    async with asyncio.timeout(10):
        while [await prompts(each.subscription_id) for each in ran.attempts] != [[""], [""]]:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("kept", "seconds"),
    [(timedelta(0), 1), (timedelta(seconds=5), 5), (DAY, 60)],
)
def test_it_is_looked_for_what_is_due_as_often_as_that_tells(
    kept: timedelta, seconds: float
) -> None:
    assert seconds_between_looks(kept) == seconds

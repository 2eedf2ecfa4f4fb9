"""What of a session's history is taken along when it goes to another subscription."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pool.executions.execution import Execution
from pool.executions.outcome import Failed, FailureKind
from pool.executions.request import ExecutionRequest
from tests.support.pools.localpool import LocalPool

LIMIT = Failed(kind=FailureKind.USAGE_LIMIT, message="limit reached")


@pytest.fixture
async def begun(local_pool: LocalPool) -> Execution:
    """A session whose first turn has been answered."""
    return await local_pool.client.execute(ExecutionRequest(prompt="one"))


def told(pool: LocalPool, subscription: str, session_id: str) -> list[str]:
    """The prompts in a subscription's transcript of a session."""
    return pool.runner.sessions[subscription, session_id].files[0].data.decode().splitlines()


async def turn(pool: LocalPool, before: Execution, prompt: str, *, moves: bool) -> Execution:
    """The session's next turn; with ``moves``, it fails where the session lives."""
    pool.clock.advance(timedelta(seconds=1))
    if moves:
        pool.runner.scripts[before.subscription_id] = [LIMIT]
    request = ExecutionRequest(prompt=prompt, session_id=before.session_id)
    after = await pool.client.execute(request)
    if moves:
        await pool.client.resume(before.subscription_id)
    return after


async def test_the_failed_turns_prompt_is_left_out_though_the_next_turn_waits_behind_it(
    local_pool: LocalPool, begun: Execution
) -> None:
    local_pool.runner.hold = True
    started = []
    for prompt in ("two", "three"):
        local_pool.clock.advance(timedelta(seconds=1))
        request = ExecutionRequest(prompt=prompt, session_id=begun.session_id)
        started.append(await local_pool.client.start(request))
    runs = await local_pool.runner.wait_for_runs(2)
    runs[1].end(LIMIT)
    runs = await local_pool.runner.wait_for_runs(3)

    assert told(local_pool, runs[2].subscription, begun.session_id) == ["one", "two"]

    runs[2].end()
    (await local_pool.runner.wait_for_runs(4))[3].end()
    ended = [await local_pool.client.ended(each) for each in started]
    assert [each.status.value for each in ended] == ["succeeded", "succeeded"]
    assert told(local_pool, ended[1].subscription_id, begun.session_id) == ["one", "two", "three"]


async def test_a_turn_that_was_answered_elsewhere_is_kept_when_the_session_comes_by_again(
    local_pool: LocalPool, begun: Execution
) -> None:
    second = await turn(local_pool, begun, "two", moves=True)
    third = await turn(local_pool, second, "three", moves=False)
    others = {"sub1", "sub2", "sub3"} - {begun.subscription_id}
    for subscription in others:
        await local_pool.client.pause(subscription)
    local_pool.runner.scripts[begun.subscription_id] = [LIMIT]
    fourth = await turn(local_pool, third, "four", moves=False)
    for subscription in ("sub1", "sub2", "sub3"):
        await local_pool.client.resume(subscription)

    fifth = await turn(local_pool, fourth, "five", moves=True)

    assert (fourth.subscription_id, fourth.status.value) == (begun.subscription_id, "failed")
    assert told(local_pool, fifth.subscription_id, begun.session_id) == [
        *("one", "two", "three", "five")
    ]


async def test_a_turn_that_failed_everywhere_is_left_out(
    local_pool: LocalPool, begun: Execution
) -> None:
    local_pool.clock.advance(timedelta(seconds=1))
    local_pool.runner.script = [LIMIT] * 3
    request = ExecutionRequest(prompt="in vain", session_id=begun.session_id)
    failed = await local_pool.client.execute(request)
    for subscription in ("sub1", "sub2", "sub3"):
        await local_pool.client.resume(subscription)

    ended = await turn(local_pool, failed, "again", moves=True)

    assert (failed.status.value, ended.status.value) == ("failed", "succeeded")
    assert told(local_pool, ended.subscription_id, begun.session_id) == ["one", "again"]

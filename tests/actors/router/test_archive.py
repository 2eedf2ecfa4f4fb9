"""What a removed subscription did can still be read, at once, and under its key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from localpool import FakeRunner, LocalPool, spec

from pool.errors import ActorLost, NotFound, SessionGone, Unavailable
from pool.executions.execution import Execution, ExecutionStatus
from pool.executions.progress import Ended
from pool.executions.request import ExecutionRequest

OpenPool = Callable[..., Awaitable[LocalPool]]


def ask(**of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "q", **of})


REQUEST = ask(subscription_id="gone")


@pytest.fixture
async def removed(local_pool: LocalPool) -> Execution:
    """An execution of a subscription that was added, used and removed."""
    await local_pool.client.add(spec("gone"))
    execution = await local_pool.client.execute(REQUEST, idempotency_key="k")
    await local_pool.client.remove("gone")
    return execution


async def test_it_is_read_at_once_from_its_store(local_pool: LocalPool, removed: Execution) -> None:
    began = time.monotonic()

    found = await local_pool.client.result(removed.id, wait_seconds=30)
    cancelled = await local_pool.client.cancel(removed.id)
    (event,) = [each async for each in local_pool.client.events(removed.id)]
    page = await local_pool.client.progress(removed.id)

    assert (found.status, found.result, found.usage) == (
        ExecutionStatus.SUCCEEDED,
        removed.result,
        removed.usage,
    )
    assert cancelled == found
    assert event.progress == Ended(execution=found)
    assert page.is_end
    assert time.monotonic() - began < 5


async def test_the_same_key_is_answered_with_it(
    local_pool: LocalPool, removed: Execution, runner: FakeRunner
) -> None:
    again = await local_pool.client.execute(REQUEST, idempotency_key="k")

    assert (again.id, again.result) == (removed.id, removed.result)
    assert len(runner.runs) == 1


async def test_many_who_read_at_once_take_turns(local_pool: LocalPool, removed: Execution) -> None:
    found = await asyncio.gather(*(local_pool.client.result(removed.id) for _ in range(10)))

    assert {each.id for each in found} == {removed.id}


async def test_one_that_is_put_back_has_its_executions_again(
    local_pool: LocalPool, removed: Execution
) -> None:
    reading = asyncio.create_task(local_pool.client.result(removed.id))
    await local_pool.client.add(spec("gone"))

    assert (await reading).id == (await local_pool.client.result(removed.id)).id
    assert "gone" in {each.id for each in await local_pool.client.subscriptions()}


async def test_what_nobody_knows_is_not_known(local_pool: LocalPool, removed: Execution) -> None:
    with pytest.raises(NotFound):
        await local_pool.client.result("exec_nobodys")


async def test_what_ran_when_its_subscription_was_taken_out_of_the_file_says_how_it_ends(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    first = await open_pool(spec("sub1"), spec("sub2"))
    runner.hold = True
    running = await first.client.start(ask(subscription_id="sub2"))
    await runner.wait_for_runs(1)
    await first.close()
    second = await open_pool(spec("sub1"))

    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="was removed while it was under way: put it back"):
            await second.client.result(running.id, wait_seconds=30)
    await second.close()
    runner.runs[0].end()
    third = await open_pool(spec("sub1"), spec("sub2"))

    ended = await third.client.result(running.id, wait_seconds=30)
    assert ended.status is ExecutionStatus.SUCCEEDED


async def test_a_session_of_it_is_told_as_gone_at_once(
    local_pool: LocalPool, removed: Execution
) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(SessionGone, match="'gone' that it lives on was removed"):
            await local_pool.client.execute(ask(session_id=removed.session_id))


async def test_one_that_never_began_there_goes_elsewhere_under_its_key(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place was noted, and nobody was asked before the subscription was removed."""
    await local_pool.client.add(spec("gone"))
    gone = local_pool.actors.subscriptions["gone"]

    async def dies(*_: object, **__: object) -> None:
        raise ActorLost("gone", "it died")

    monkeypatch.setattr(gone, "start", dies)
    for id_ in ("sub1", "sub2", "sub3"):
        await local_pool.client.pause(id_)
    with pytest.raises(ActorLost):
        await local_pool.client.execute(ask(), idempotency_key="k")
    await local_pool.client.remove("gone")
    await local_pool.client.resume("sub2")

    execution = await local_pool.client.execute(ask(), idempotency_key="k")

    assert (execution.subscription_id, execution.status) == ("sub2", ExecutionStatus.SUCCEEDED)

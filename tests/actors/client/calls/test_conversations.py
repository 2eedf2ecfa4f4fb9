"""Further turns of sessions, by the conversation that they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pool.errors import Exhausted, Unavailable
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest
from pool.keys.access import Access
from pool.keys.api_keys import KeySpec
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import spec

OpenPool = Callable[..., Awaitable[LocalPool]]


def ask(**of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "q"} | of)


async def answered(pool: LocalPool, **of: object) -> Execution:
    """A first turn, whose session holds the conversation ``c1``."""
    first = await pool.client.execute(ask(**of))
    await pool.client.conversation_answered("c1", first.session_id, first.id)
    return first


async def test_a_history_goes_on_in_the_session_that_holds_it(local_pool: LocalPool) -> None:
    first = await answered(local_pool)

    further = await local_pool.client.go_on(ask(), "c1")

    assert further is not None
    assert (further.session_id, further.subscription_id) == (
        first.session_id,
        first.subscription_id,
    )
    assert await local_pool.client.go_on(ask(), "c1") is None
    assert await local_pool.client.go_on(ask(), "c2") is None


async def test_of_many_turns_with_one_history_one_goes_on_there(local_pool: LocalPool) -> None:
    await answered(local_pool)

    begun = await asyncio.gather(*(local_pool.client.go_on(ask(), "c1") for _ in range(6)))

    assert sum(each is not None for each in begun) == 1


async def test_a_turn_that_names_the_session_ends_what_was_noted(local_pool: LocalPool) -> None:
    first = await answered(local_pool)

    await local_pool.client.execute(ask(session_id=first.session_id))
    await local_pool.client.conversation_answered("c1", first.session_id, first.id)  # and too late

    assert await local_pool.client.go_on(ask(), "c1") is None


async def test_a_turn_that_is_refused_for_want_of_headroom_leaves_the_session_as_it_was(
    local_pool: LocalPool,
) -> None:
    first = await answered(local_pool)
    for each in ("sub1", "sub2", "sub3"):
        await local_pool.client.pause(each)

    assert await local_pool.client.go_on(ask(), "c1") is None
    with pytest.raises((Exhausted, Unavailable)):
        await local_pool.client.start(ask())
    for each in ("sub1", "sub2", "sub3"):
        await local_pool.client.resume(each)
    further = await local_pool.client.go_on(ask(), "c1")

    assert further is not None
    assert further.session_id == first.session_id


async def test_what_lived_on_a_removed_subscription_goes_on_nowhere(open_pool: OpenPool) -> None:
    pool = await open_pool(spec("sub1"))
    await pool.client.add(spec("sub2"))
    first = await answered(pool, subscription_id="sub2")
    await pool.client.remove("sub2")

    assert first.subscription_id == "sub2"
    assert await pool.client.go_on(ask(), "c1") is None


async def test_a_session_that_moved_goes_on_where_it_lives(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    first = await answered(local_pool)
    await local_pool.client.pause(first.subscription_id)

    further = await local_pool.client.go_on(ask(), "c1")

    assert further is not None
    assert further.session_id == first.session_id
    assert further.subscription_id != first.subscription_id


async def test_another_tenant_gets_nothing_by_a_digest(local_pool: LocalPool) -> None:
    """Whoever made the digest; who has it is no matter."""
    everything = KeySpec(name="all", scopes=("execute", "read", "admin"))
    await local_pool.client.create_key(everything)
    for name, tenant in (("blue", "b"), ("red", "r")):
        await local_pool.client.create_key(KeySpec(name=name, scopes=("execute",), tenant=tenant))
    blue, red = (local_pool.client.with_access(Access(tenant=each)) for each in "br")
    first = await blue.execute(ask(), caller="blue")
    await blue.conversation_answered("c1", first.session_id, first.id)

    assert await red.go_on(ask(), "c1", caller="red") is None
    assert await blue.go_on(ask(), "c1", caller="blue") is not None

"""A router that has just begun, and has not heard of everybody yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from actors.router.router import Router
from pool.executions.outcome import Completed
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.pools.pool_requests import ask, limit, runs_at, stop_for
from tests.support.suite.waiting import until
from tests.support.values.examples import spec, usage_of

LATE_SECONDS = 0.3


async def begin_again(pool: LocalPool) -> None:
    """Replace the router by the next one, which hears of all but ``sub1`` late."""
    activate = pool.actors.activate

    async def slowly(spec: SubscriptionSpec) -> None:
        await asyncio.sleep(0 if spec.id == "sub1" else LATE_SECONDS)
        await activate(spec)

    old = pool.router
    await old.close()
    pool.actors.activate = slowly  # type: ignore[method-assign] # of this one alone
    directory = await pool.stores.open_directory()
    pool.router = pool.actors.the_router = await Router.activate(
        directory, pool.actors, old._settings, pool.clock, pool.stores, lambda _: pool.runner
    )


async def test_a_request_is_not_refused_before_everybody_was_heard_of(
    local_pool: LocalPool,
) -> None:
    await stop_for(local_pool, "sub1")
    await begin_again(local_pool)

    execution = await local_pool.client.execute(ask())

    assert execution.subscription_id in {"sub2", "sub3"}


async def test_what_its_owner_cannot_serve_is_not_given_up_before_everybody_was_heard_of(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    session_id = (await runs_at(local_pool, "sub1")).session_id
    runner.hold = True
    started = await local_pool.client.start(ask("second", session_id=session_id))
    *_, run = await runner.wait_for_runs(2)
    runner.hold = False
    await begin_again(local_pool)
    run.end(limit())

    execution = await local_pool.client.ended(started)

    assert execution.status.value == "succeeded"
    assert execution.subscription_id in {"sub2", "sub3"}


async def test_a_model_is_not_unknown_before_everybody_was_heard_of(
    open_pool: Callable[..., Awaitable[LocalPool]], runner: FakeRunner
) -> None:
    old = "claude-opus-4-5"
    runner.offers = {"sonnet": "claude-sonnet-5-5"}
    runner.scripts["sub2"] = [
        Completed(result="yes", usage=usage_of(model=old), num_turns=1, model=old)
    ]
    pool = await open_pool(spec("sub1"), spec("sub2"))
    await pool.client.execute(ask(subscription_id="sub2"))  # what it has used, it alone knows
    await begin_again(pool)
    await until(lambda: any(each.models for each in pool.router._followers.reports))

    execution = await pool.client.execute(ask(model=old))

    assert execution.status.value == "succeeded"

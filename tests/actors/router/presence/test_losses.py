"""Subscriptions that are lost with their process or their node: seen at once, and passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from actors.router.presence import followers, losses
from pool.errors import ActorLost, ConfigError
from pool.executions.request import ExecutionRequest
from pool.subscriptions.admission import RefusalCause
from pool.subscriptions.report import SubscriptionState
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.pools.localpool import LocalPool
from tests.support.suite.waiting import until
from tests.support.values.examples import spec

OpenPool = Callable[..., Awaitable[LocalPool]]


@pytest.fixture
async def two(open_pool: OpenPool) -> LocalPool:
    return await open_pool(spec("sub1", weight=9), spec("sub2"))


async def lose(pool: LocalPool, id_: str) -> None:
    """End an actor under its callers; the first call that fails is told."""
    gone = pool.actors.subscriptions.pop(id_)
    await gone.close()
    pool.router._followers.lost(id_)


def ask(**of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "q", **of})


async def test_one_that_is_lost_is_shown_so_and_nobody_is_sent_there(
    two: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "PATIENCE_SECONDS", 60)
    before = await two.client.execute(ask())

    await lose(two, "sub1")
    shown = {each.id: each for each in await two.client.subscriptions()}
    presences = (await two.client.figures()).presences
    after = await two.client.execute(ask())

    assert (before.subscription_id, after.subscription_id) == ("sub1", "sub2")
    assert (shown["sub1"].presence, shown["sub1"].state) == ("away", SubscriptionState.COOLDOWN)
    assert "was lost" in shown["sub1"].state_reason
    assert presences == {"awake": 1, "asleep": 0, "away": 1, "starting": 0, "unusable": 0}
    assert after.routing is not None
    refused = {each.subscription_id: each.refusal_cause for each in after.routing.candidates}
    assert refused == {"sub1": RefusalCause.FAILING, "sub2": None}


async def test_a_request_that_no_other_could_have_waits_until_it_is_back(
    two: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(losses, "BACK_SECONDS", 0.05)
    await lose(two, "sub1")

    executed = await two.client.execute(ask(subscription_id="sub1"))

    assert executed.subscription_id == "sub1"
    assert (await two.client.subscription("sub1")).presence == "awake"
    assert (await two.client.subscription("sub1")).epoch == 2


async def test_one_that_can_be_nowhere_any_more_says_why(
    two: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nowhere(_: SubscriptionSpec) -> None:
        raise ConfigError("subscriptions.sub1.config_dir", "it is on no node that lives")

    monkeypatch.setattr(followers, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(losses, "BACK_SECONDS", 0.01)
    monkeypatch.setattr(two.actors, "activate", nowhere)

    await lose(two, "sub1")
    await until(lambda: "no node" in two.router._followers.reports[0].state_reason)

    assert two.router._followers.reports[0].presence == "away"
    assert await two.client.heard_from() == 1, "sub2 alone: nobody asks the actor of sub1"
    assert (await two.client.execute(ask())).subscription_id == "sub2"


async def test_an_answer_is_waited_for_as_long_as_its_actor_is_not_lost() -> None:
    several, answer = losses.Losses(), asyncio.get_running_loop().create_future()
    several.follow("sub1")

    waiting = asyncio.create_task(several.answer("sub1", answer, 5))
    await asyncio.sleep(0.05)
    answer.set_result("here")

    assert await waiting == "here"


async def test_one_that_is_silent_for_too_long_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "SILENT_SECONDS", 0.01)
    several = losses.Losses()
    several.follow("sub1")

    with pytest.raises(ActorLost, match="it is silent"):
        await several.answer("sub1", asyncio.get_running_loop().create_future(), 0.01)

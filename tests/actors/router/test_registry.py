"""The registry: subscriptions come, change and go while the pool runs."""

from collections.abc import Awaitable, Callable

import pytest

from pool.errors import (
    ConfigError,
    Conflict,
    NotFound,
)
from pool.executions.request import ExecutionRequest
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import spec

OpenPool = Callable[..., Awaitable[LocalPool]]


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


async def test_subscriptions_come_and_go_while_the_pool_runs(local_pool: LocalPool) -> None:
    added = await local_pool.client.add(spec("sub4"))
    before = [each.id for each in await local_pool.client.subscriptions()]

    await local_pool.client.remove("sub4")

    assert ("sub4", "sub4" in before) == (added.id, True)
    assert "sub4" not in [each.id for each in await local_pool.client.subscriptions()]


async def test_a_declared_subscription_is_removed_in_the_file_alone(
    local_pool: LocalPool,
) -> None:
    with pytest.raises(Conflict, match=r"stands in pool\.toml"):
        await local_pool.client.remove("sub1")


async def test_a_subscription_with_work_is_drained_before_it_is_removed(
    local_pool: LocalPool, runner: FakeRunner
) -> None:
    await local_pool.client.add(spec("sub4"))
    runner.hold = True
    started = await local_pool.client.start(ask(subscription_id="sub4"))
    await runner.wait_for_runs(1)

    with pytest.raises(Conflict, match="still runs 1"):
        await local_pool.client.remove("sub4")
    runner.runs[0].end()
    await local_pool.client.result(started.id, wait_seconds=10)
    await local_pool.client.remove("sub4")

    with pytest.raises(NotFound):
        await local_pool.client.subscription("sub4")


async def test_changed_settings_hold_at_once(local_pool: LocalPool) -> None:
    change = SubscriptionChange.model_validate({"max_concurrent": 9, "weekly_budget_usd": 10})

    report = await local_pool.client.change("sub1", change)

    assert (report.max_concurrent, report.weekly.budget_usd) == (9, 10)


async def test_declaring_again_drops_what_stands_in_the_file_no_more(
    local_pool: LocalPool,
) -> None:
    await local_pool.client.add(spec("added"))

    await local_pool.router.declare([spec("sub1"), spec("new")])

    registrations = await local_pool.router.registrations()
    assert [each.spec.id for each in registrations] == ["added", "new", "sub1"]


async def test_one_that_cannot_come_up_as_it_is_configured_can_be_removed(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate, gone = local_pool.actors.activate, ConfigError("config_dir", "is no directory")

    async def activated(wanted: SubscriptionSpec) -> None:
        if wanted.id == "lost":
            raise gone
        await activate(wanted)

    monkeypatch.setattr(local_pool.actors, "activate", activated)
    await local_pool.router._registry._register(spec("lost"), declared=False)
    await local_pool.router._followers.await_one({"lost"})
    assert (await local_pool.client.figures()).presences["unusable"] == 1

    await local_pool.client.remove("lost")

    with pytest.raises(NotFound):
        await local_pool.client.subscription("lost")
    presences = (await local_pool.client.figures()).presences
    assert presences == {"awake": 3, "asleep": 0, "starting": 0, "unusable": 0}

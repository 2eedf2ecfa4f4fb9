"""What no node can have is shown after a start as its ledger has it; nobody asks for its actor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from actors.router.presence import followers
from actors.router.presence.last_known import LastKnown
from actors.subscription.subscription import Subscription
from pool.errors import ActorLost, ConfigError
from pool.executions.request import ExecutionRequest
from pool.subscriptions.overview.attention import NoticeKind
from pool.usage.records import UsageRecord
from pool.usage.retraction import UsageToRetract
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.local_peers import LocalPeers, Make
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.suite.waiting import until
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock

GONE = ConfigError("subscriptions.sub1.config_dir", "no node has what it needs: /x is no directory")


class Witness(LocalPeers):
    """Notes who is asked for an actor that is nowhere."""

    def __init__(self, make: Make) -> None:
        super().__init__(make, nowhere={"sub1": GONE})
        self.asked: list[str] = []

    def subscription(self, subscription_id: str) -> Subscription:
        if subscription_id not in self.subscriptions:
            self.asked.append(subscription_id)
        return super().subscription(subscription_id)


Begin = Callable[[], Awaitable[LocalPool]]


@pytest.fixture
async def begin(
    tmp_path: Path, clock: ManualClock, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Begin]:
    """Start a pool whose only subscription ran something before, and can be nowhere now."""
    monkeypatch.setattr(followers, "UNUSABLE_SECONDS", 0.01)
    runner.hold = True
    around = {"clock": clock, "runner_of": lambda _: runner}
    before = await local_pool_at(tmp_path, spec("sub1"), **around)
    await before.client.start(ExecutionRequest(prompt="q"))
    await runner.wait_for_runs(1)
    await before.close()
    opened: list[LocalPool] = []

    async def begun() -> LocalPool:
        opened.append(await local_pool_at(tmp_path, spec("sub1"), **around, peers=Witness))
        return opened[-1]

    yield begun
    for pool in opened:
        await pool.close()


@pytest.fixture
async def gone(begin: Begin) -> LocalPool:
    return await begin()


async def test_it_is_listed_as_away_with_its_figures_and_the_reason(gone: LocalPool) -> None:
    (listed,) = await gone.client.subscriptions()
    shown = await gone.client.subscription("sub1")

    assert (listed.presence, listed.running) == (shown.presence, shown.running) == ("away", 1)
    assert "/x is no directory" in shown.state_reason


async def test_it_is_not_heard_from_and_somebody_is_to_look_at_it(gone: LocalPool) -> None:
    overview = await gone.client.pool()
    metrics = (await gone.client.shown_figures()).splitlines()

    assert await gone.client.heard_from() == 0
    assert overview.unheard == ("sub1",)
    (notice,) = overview.attention
    assert (notice.kind, notice.severity) == (NoticeKind.UNHEARD, "critical")
    assert "/x is no directory" in notice.advice
    assert "claude_pool_subscriptions 0.0" in metrics
    assert "claude_pool_subscriptions_unheard 1.0" in metrics


@pytest.mark.parametrize("order", ["pause", "resume", "drain", "record", "retract"])
async def test_orders_for_it_are_refused_at_once_with_the_reason(
    gone: LocalPool, clock: ManualClock, order: str
) -> None:
    orders: dict[str, Callable[[], Awaitable[object]]] = {
        "pause": lambda: gone.client.pause("sub1"),
        "resume": lambda: gone.client.resume("sub1"),
        "drain": lambda: gone.client.drain("sub1"),
        "record": lambda: gone.router.record(
            UsageRecord.model_validate(
                {"id": "r1", "subscription_id": "sub1", "timestamp": clock()}
            )
        ),
        "retract": lambda: gone.router.retract("sub1", UsageToRetract(ids=("r1",)), ""),
    }

    with pytest.raises(ActorLost, match="/x is no directory"):
        await orders[order]()

    assert asked_of(gone) == []


async def test_a_pool_that_stops_waits_for_nothing_of_it(gone: LocalPool) -> None:
    await gone.client.stop(30)

    assert asked_of(gone) == []


async def test_another_specification_is_kept_for_it_until_it_comes_up(
    gone: LocalPool,
) -> None:
    await gone.router.declare([spec("sub1", weight=3)])
    before = asked_of(gone)
    del gone.actors.nowhere["sub1"]
    await until(lambda: bool(gone.actors.subscriptions))
    await until(lambda: is_heard_from(gone))

    assert before == []
    assert gone.actors.subscription("sub1")._context.state.spec.weight == 3
    assert (await gone.client.pool()).attention == ()


async def is_heard_from(pool: LocalPool) -> bool:
    return await pool.client.heard_from() == 1


async def test_why_it_cannot_come_up_is_known_where_its_ledger_cannot_be_read(
    gone: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a row of a later version")

    monkeypatch.setattr(LastKnown, "_report", broken)
    gone.actors.nowhere["sub2"] = GONE

    await gone.router.declare([spec("sub1"), spec("sub2")])

    with pytest.raises(ActorLost, match="/x is no directory"):
        await gone.client.subscription("sub2")


def asked_of(pool: LocalPool) -> list[str]:
    assert isinstance(pool.actors, Witness)
    return list(pool.actors.asked)

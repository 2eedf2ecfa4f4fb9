"""How actors are brought up, renewed and ended, with a stand-in for Ray's control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from actors.runtime import actor_proxy, calls, ray_actors, shells
from actors.runtime.factory import makers
from actors.runtime.nodes import places, ray_nodes
from actors.runtime.nodes.ray_nodes import RayNode
from actors.runtime.ray_actors import RayActors
from pool.config import Config, parse
from pool.errors import ActorLost, ConfigError
from pool.nodes.inventory import Inventory
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.clusters.fake_ray import FakeRay
from tests.support.suite.waiting import until
from tests.support.values.examples import spec

pytestmark = pytest.mark.timeout(30)

ORGANIZATION = {"id": "a", "admin_key_env": "A", "subscriptions": ["sub1"]}
NODE_OF_THE_DATA = "7" * 56
OTHER_VERSION = "0.0.9+0123456789abcdef"


class Thing:
    """What stands inside an actor here."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.specs: list[SubscriptionSpec] = []
        self.is_closed = False
        self.is_busy = False
        self.has_left = [2, 1, 0]
        """How many executions it has still, each time that it is asked."""

    async def retire(self) -> int:
        return self.has_left.pop(0)

    def is_idle(self) -> bool:
        return not self.is_busy

    async def fall_asleep(self, after: str | None) -> str:
        self.is_closed = True
        return f"farewell, after {after}"

    async def configure(self, wanted: SubscriptionSpec) -> None:
        self.specs.append(wanted)

    async def wake(self, subscription_id: str) -> None:
        """It is up."""

    async def heard_from(self) -> int:
        return 0

    async def wait(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "waited"

    async def close(self) -> None:
        self.is_closed = True


class Refused(Thing):
    """A router whose database is another pool's."""

    async def heard_from(self) -> int:
        raise ConfigError("pool.store", "another pool has this database")


def maker(kind: str) -> Callable[..., Callable[[], Awaitable[Thing]]]:
    async def make() -> Thing:
        return Thing(kind)

    return lambda *_, **__: make


@pytest.fixture
async def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    for module in (ray_actors, actor_proxy):
        monkeypatch.setattr(module, "ray", fake)
    for kind in ("router", "subscription", "reconciler"):
        monkeypatch.setattr(makers, f"{kind}_maker", maker(kind))
    this_node = RayNode(NODE_OF_THE_DATA, "127.0.0.1", "host1", {})
    inventory = Inventory(node_id="node1", hostname="host1", variables=frozenset({"SUB_TOKEN"}))
    monkeypatch.setattr(ray_nodes, "here", lambda: this_node.ray_id)
    monkeypatch.setattr(ray_nodes, "alive", lambda: (this_node,))
    monkeypatch.setattr(places, "take_inventory", lambda *_: inventory)
    monkeypatch.setattr(shells.log_stream, "begin", lambda *_, **__: None)
    monkeypatch.setattr(ray_actors, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(ray_actors, "RETRY_SECONDS", 0.01)
    return fake


def configured(**sections: object) -> Config:
    return parse({"pool": {"data_dir": "/srv/pool"}, **sections})


def actors_of(**sections: object) -> RayActors:
    return RayActors("claude-pool", configured(**sections))


def names_of(fake_ray: FakeRay) -> list[str]:
    return [each.name for each in fake_ray.made]


async def test_what_is_merely_pending_is_waited_for_and_never_killed(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_actors, "PATIENCE_SECONDS", 0.05)
    fake_ray.comes_up = False
    actors = actors_of()
    coming = [asyncio.create_task(actors.activate(spec(f"sub{n}"))) for n in range(5)]

    await until(lambda: len(fake_ray.made) == len(coming))
    for each in fake_ray.made:
        await asyncio.sleep(0.1)  # longer than anybody's patience
        each.come_up()
    await asyncio.gather(*coming)

    assert sorted(names_of(fake_ray)) == [f"subscription:sub{n}" for n in range(5)]
    assert fake_ray.killed == []


async def test_where_nothing_comes_up_any_more_that_is_told_and_still_nothing_is_killed(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_actors, "STUCK_SECONDS", 0.2)
    fake_ray.comes_up = False
    actors = actors_of()

    with pytest.raises(ActorLost, match="has the cluster room for it"):
        await actors.activate(spec())
    again = asyncio.create_task(actors.activate(spec()))
    await asyncio.sleep(0.05)
    fake_ray.made[0].come_up()
    await again

    assert (len(fake_ray.made), fake_ray.killed) == (1, [])


async def test_one_that_waits_while_others_come_up_is_not_given_up(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_actors, "STUCK_SECONDS", 1.5)
    fake_ray.comes_up = False
    actors = actors_of()
    last = asyncio.create_task(actors.activate(spec("last")))
    await asyncio.sleep(0.05)

    fake_ray.comes_up = True
    for n in range(6):
        await actors.activate(spec(f"sub{n}"))
        await asyncio.sleep(0.4)
    fake_ray.named["subscription:last"].come_up()

    await last
    assert fake_ray.killed == []


async def test_one_that_is_alive_and_silent_is_ended_and_made_again(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_actors, "PATIENCE_SECONDS", 0.1)
    actors = actors_of()
    await actors.activate(spec())
    fake_ray.made[0].is_frozen = True

    await actors.activate(spec())

    assert fake_ray.killed == ["subscription:sub1"]
    assert len(fake_ray.made) == 2


async def test_a_router_that_is_silent_is_ended_and_made_again_and_any_other_is_left_as_it_is(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_actors, "ROUTER_SILENT_SECONDS", 0.1)
    await actors_of(limits={"new_work_percent": 84}).activate_router()
    actors = actors_of()

    await actors.keep_router()
    left_alone = list(fake_ray.killed)
    fake_ray.made[0].is_frozen = True
    await actors.keep_router()

    assert left_alone == []
    assert fake_ray.killed == ["router"]
    assert names_of(fake_ray) == ["router", "router"]


async def test_one_that_dies_in_coming_up_is_made_again_and_not_for_ever(
    fake_ray: FakeRay,
) -> None:
    fake_ray.comes_up = False
    coming = asyncio.create_task(actors_of().activate(spec()))
    for n in range(ray_actors.TRIES):
        while len(fake_ray.made) <= n:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
        fake_ray.made[n].die()

    with pytest.raises(ActorLost, match="it does not come up"):
        await coming


async def test_before_each_further_try_there_is_a_pause_and_none_after_the_last_one(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_actors, "RETRY_SECONDS", 0.003)
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds not in {0.01, 0.02}:  # of the test
            pauses.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noted)

    await test_one_that_dies_in_coming_up_is_made_again_and_not_for_ever(fake_ray)

    assert [each for each in pauses if each < 1] == [0.003, 0.006, 0.012, 0.024]


async def test_a_router_that_ray_starts_anew_is_waited_for_and_never_killed(
    fake_ray: FakeRay,
) -> None:
    actors = actors_of()
    await actors.activate_router()
    fake_ray.made[0].restart()

    keeping = asyncio.create_task(actors.keep_router())
    await asyncio.sleep(0.5)  # longer than all tries together
    is_still_waiting = not keeping.done()
    fake_ray.made[0].come_up()
    await keeping

    assert is_still_waiting
    assert (names_of(fake_ray), fake_ray.killed) == (["router"], [])


async def test_one_for_which_ray_never_has_a_process_is_told_as_such(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_actors, "STUCK_SECONDS", 0.2)
    await actors_of().activate_router()
    fake_ray.made[0].restart()

    with pytest.raises(ActorLost, match="has the cluster room for it"):
        await actors_of().keep_router()


@pytest.mark.parametrize(
    "changed",
    [
        {"server": {"port": 8601, "drain_seconds": 1}},
        {"subscriptions": [{"id": "sub9"}]},
        {"organizations": [{"id": "a", "admin_key_env": "A", "subscriptions": ["sub1"]}]},
        {"ray": {"address": "10.0.0.1:6379"}},
    ],
    ids=lambda each: next(iter(each)),
)
async def test_a_service_joins_actors_that_do_not_know_of_what_it_has_otherwise(
    fake_ray: FakeRay, changed: dict[str, Any]
) -> None:
    first, second = actors_of(), actors_of(**changed)
    await first.activate_router()
    await first.activate(spec())

    await second.activate_router()
    outdated = await second.activate(spec())

    assert not outdated
    assert (names_of(fake_ray), fake_ray.killed) == (["router", "subscription:sub1"], [])


@pytest.mark.parametrize(
    ("changed", "renewed"),
    [
        ({"alerts": {"percent": [50]}}, ["router"]),
        ({"claude": {"model": "opus"}}, ["router"]),
        ({"api_keys": [{"name": "ci", "key_env": "K"}]}, ["router"]),
        ({"claude": {"system_prompt": "Be brief."}}, ["router", "subscription:sub1"]),
        ({"limits": {"new_work_percent": 50}}, ["router", "subscription:sub1"]),
    ],
    ids=lambda each: str(each) if isinstance(each, dict) else "",
)
async def test_whoever_uses_what_has_changed_is_renewed_and_nobody_else(
    fake_ray: FakeRay, changed: dict[str, Any], renewed: list[str]
) -> None:
    first, second = actors_of(), actors_of(**changed)
    await first.activate_router()
    await first.activate(spec())

    await second.activate_router()
    if await second.activate(spec()):
        await second.renew(spec())

    assert fake_ray.killed == renewed
    assert not await second.activate(spec())


async def test_a_change_that_a_running_subscription_is_told_renews_nobody(
    fake_ray: FakeRay,
) -> None:
    actors = actors_of()
    await actors.activate(spec(weekly_budget_usd=456))

    outdated = await actors.activate(spec(weekly_budget_usd=100))

    assert not outdated
    assert (
        fake_ray.named["subscription:sub1"].shell._calls._object.specs[-1].weekly_budget_usd == 100
    )


async def test_another_way_to_sign_in_renews_that_subscription_alone(fake_ray: FakeRay) -> None:
    actors = actors_of()
    await asyncio.gather(*(actors.activate(spec(id_)) for id_ in ("sub1", "sub2")))
    other = spec("sub1", credential={"oauth_token_env": "ANOTHER"})

    outdated = [await actors.activate(each) for each in (other, spec("sub2"))]

    assert outdated == [True, False]


async def test_another_version_of_the_code_renews_everybody(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    await actors_of().activate_router()
    await actors_of().activate(spec())
    monkeypatch.setattr("actors.runtime.blueprint.code", lambda: OTHER_VERSION)

    outdated = await actors_of().activate(spec())
    await actors_of().activate_router()

    assert outdated
    assert fake_ray.killed == ["router"]


async def test_an_outdated_actor_leaves_in_order_before_it_is_ended(fake_ray: FakeRay) -> None:
    actors = actors_of()
    await actors.activate(spec())
    before = fake_ray.named["subscription:sub1"]
    inside = before.shell._calls._object

    await actors.renew(spec())

    assert inside.is_closed
    assert fake_ray.calls.index("subscription:sub1.leave") < len(fake_ray.calls) - 1
    assert fake_ray.named["subscription:sub1"] is not before


async def test_a_call_that_waits_in_an_actor_that_leaves_is_answered_by_its_successor(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LEAVE_SECONDS", 0.05)
    actors = actors_of()
    await actors.activate_router()
    await actors.activate(spec())
    subscription: Any = actors.subscription("sub1")
    waiting = asyncio.create_task(subscription.wait(0.5))
    await asyncio.sleep(0.05)

    await actors.renew(spec())

    assert await waiting == "waited"
    assert fake_ray.calls.count("subscription:sub1.call") >= 4


async def test_one_that_has_nothing_to_do_leaves_and_what_it_leaves_is_told(
    fake_ray: FakeRay,
) -> None:
    actors = actors_of()
    await actors.activate(spec())
    inside = fake_ray.named["subscription:sub1"].shell._calls._object

    left: Any = await actors.fall_asleep("sub1", "1-5")

    assert (left, inside.is_closed) == ("farewell, after 1-5", True)
    assert fake_ray.killed == ["subscription:sub1"]
    await asyncio.sleep(0)
    assert fake_ray.named == {}


async def test_one_that_has_something_to_do_stays(fake_ray: FakeRay) -> None:
    actors = actors_of()
    await actors.activate(spec())
    inside = fake_ray.named["subscription:sub1"].shell._calls._object
    inside.is_busy = True

    assert await actors.fall_asleep("sub1", None) is None

    assert fake_ray.killed == []
    assert await actors.subscription("sub1").wait(0) == "waited"  # type: ignore[attr-defined]


async def test_one_that_fell_silent_as_it_was_to_leave_is_ended(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_actors, "LEAVING_SECONDS", 0.05)
    actors = actors_of()
    await actors.activate(spec())
    fake_ray.named["subscription:sub1"].is_frozen = True

    with pytest.raises(ActorLost, match="did not fall asleep"):
        await actors.fall_asleep("sub1", None)

    assert fake_ray.killed == ["subscription:sub1"]


async def test_one_that_is_not_there_has_nothing_to_leave(fake_ray: FakeRay) -> None:
    assert await actors_of().fall_asleep("sub1", None) is None


async def test_a_call_of_one_that_sleeps_has_the_router_wake_it_and_is_made_then(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors, woken = actors_of(), []

    class Waking:
        async def wake(self, subscription_id: str) -> None:
            woken.append(subscription_id)
            await actors.activate(spec(subscription_id))

    monkeypatch.setattr(actors, "router", Waking)
    await actors.activate(spec())
    subscription: Any = actors.subscription("sub1")
    assert await subscription.wait(0) == "waited"
    await actors.fall_asleep("sub1", None)

    assert await subscription.wait(0) == "waited"

    assert woken == ["sub1"]


async def test_the_namespace_of_another_pool_is_told_and_its_actors_are_left_alone(
    fake_ray: FakeRay,
) -> None:
    await actors_of().activate_router()
    other = RayActors("claude-pool", parse({"pool": {"data_dir": "/srv/other"}}))

    with pytest.raises(ConfigError, match=r"ray\.namespace: .*another pool.*/srv/pool"):
        await other.activate_router()

    assert fake_ray.killed == []


async def test_one_that_never_came_up_is_ended_without_being_asked_to_leave(
    fake_ray: FakeRay,
) -> None:
    fake_ray.comes_up = False
    actors = actors_of()
    coming = asyncio.create_task(actors.activate(spec()))
    await asyncio.sleep(0.05)
    coming.cancel()

    async with asyncio.timeout(2):
        await actors.deactivate("sub1")

    assert fake_ray.killed == ["subscription:sub1"]


async def test_with_sqlite_every_actor_is_bound_to_the_node_of_whoever_makes_it(
    fake_ray: FakeRay,
) -> None:
    actors = actors_of(organizations=[ORGANIZATION])
    await actors.activate_router()
    await actors.activate(spec())
    await actors.activate_reconciler()

    bound = [options["scheduling_strategy"] for options in fake_ray.options.values()]

    assert [(each.node_id, each.soft) for each in bound] == [(NODE_OF_THE_DATA, False)] * 3


async def test_with_postgresql_an_actor_may_be_on_any_node(
    fake_ray: FakeRay, tmp_path: Path
) -> None:
    store = {"data_dir": str(tmp_path), "store": "postgresql://pool:secret@db/pool"}

    await actors_of(pool=store).activate_router()

    assert "scheduling_strategy" not in fake_ray.options["router"]


async def test_a_router_whose_store_is_anothers_is_told_and_none_is_left_behind(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def make() -> Thing:
        return Refused("router")

    monkeypatch.setattr(makers, "router_maker", lambda *_: make)

    with pytest.raises(ConfigError, match="another pool has this database"):
        await actors_of().activate_router()

    assert (fake_ray.killed, fake_ray.named) == (["router"], {})


async def test_one_that_no_node_can_have_is_told_and_not_asked_of_ray(fake_ray: FakeRay) -> None:
    with pytest.raises(ConfigError, match=r"subscriptions\.sub1\.node: no node is called 'gpu'"):
        await actors_of().activate(spec(node="gpu"))

    assert fake_ray.made == []


async def test_one_that_no_node_can_have_comes_up_anywhere_to_let_go_and_is_gone_afterwards(
    fake_ray: FakeRay,
) -> None:
    actors, nowhere = actors_of(), spec(node="rack=9")
    with pytest.raises(ConfigError):
        await actors.activate(nowhere)

    left = await actors.release(nowhere, "why")

    assert (left, names_of(fake_ray)) == (0, ["subscription:sub1"])
    assert fake_ray.killed == ["subscription:sub1"]
    assert fake_ray.named == {}


async def test_one_that_is_up_without_what_it_was_made_with_makes_way_for_one_that_lets_go(
    fake_ray: FakeRay,
) -> None:
    actors = actors_of()
    await actors.activate(spec())

    left = await actors.release(spec(), "why")

    assert (left, names_of(fake_ray)) == (0, ["subscription:sub1"] * 2)
    assert fake_ray.killed == ["subscription:sub1"] * 2
    assert fake_ray.named == {}


async def test_one_that_was_left_behind_as_it_let_go_is_renewed(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The router that had it made died meanwhile."""

    async def dies(*_: object) -> int:
        raise ActorLost("router", "it was killed")

    actors = actors_of()
    monkeypatch.setattr(actors, "_end", dies)
    with pytest.raises(ActorLost):
        await actors.release(spec(), "why")

    assert await actors_of().activate(spec()), "it is taken for one that is as it is to be"

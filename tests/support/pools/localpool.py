"""A whole pool in one process: the real classes and the real SQLite, with a runner that is told
what to answer and a clock that is set. The real CLI and real Ray are in ``tests/trips``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from actors.client.client import PoolClient
from actors.router.dispatching.settings import DispatchSettings
from actors.router.router import Router
from actors.router.settings import RouterSettings
from actors.subscription.context import Dependencies
from actors.subscription.subscription import Subscription
from pool.claude.runner import Runner
from pool.errors import StoreError
from pool.storage.sqlite import SqliteStores
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.local_peers import THIS_NODE, LocalPeers, Make
from tests.support.stores.ready_stores import ReadyStores
from tests.support.values.examples import POLICY, SONNET, spec
from tests.support.values.manual_clock import ManualClock


@dataclass
class LocalPool:
    client: PoolClient
    router: Router
    actors: LocalPeers
    stores: SqliteStores
    clock: ManualClock
    left: list[StoreError]
    runner: FakeRunner = field(default_factory=FakeRunner)

    async def close(self) -> None:
        await self.router.close()
        for id_ in tuple(self.actors.subscriptions):
            await self.actors.deactivate(id_)

    async def restart(self, subscription_id: str) -> Subscription:
        """End an activation and begin the next one."""
        spec = next(
            each.spec
            for each in await self.router.registrations()
            if each.spec.id == subscription_id
        )
        await self.actors.deactivate(subscription_id)
        await self.actors.activate(spec)
        return self.actors.subscription(subscription_id)


async def local_pool_at(
    folder: Path,
    *specs: SubscriptionSpec,
    clock: ManualClock,
    runner_of: Callable[[SubscriptionSpec], Runner],
    environment: Callable[[SubscriptionSpec], Mapping[str, str]] = lambda each: {
        "SUBSCRIPTION": each.id
    },
    roots: tuple[Path, ...] = (),
    policy: SubscriptionPolicy = POLICY,
    peers: Callable[[Make], LocalPeers] = LocalPeers,
    idle: timedelta = timedelta(0),
) -> LocalPool:
    """A local pool whose stores are in a folder, each subscription with a runner of its own.
    With ``idle`` they fall asleep, which takes ``peers`` that leave.
    """
    stores = ReadyStores(folder)
    left: list[StoreError] = []

    async def make(wanted: SubscriptionSpec, released: str | None = None) -> Subscription:
        around = Dependencies(
            runner=runner_of(wanted),
            environment=environment,
            clock=clock,
            actors=actors,
            leave=left.append,
            policy=policy,
            system_prompt="You are terse.",
            retention=timedelta(days=35),
            node=THIS_NODE.inventory.node_id if THIS_NODE.inventory else None,
            roots=roots,
        )
        ledger = await stores.open_ledger(wanted.id)
        return await Subscription.activate(wanted, ledger, around, released=released)

    actors = peers(make)
    router = await Router.activate(
        await stores.open_directory(),
        actors,
        RouterSettings(
            dispatch=DispatchSettings(default_model=SONNET, timeout_seconds=600),
            backups_dir=folder / "backups",
            idle=idle,
            tags=policy.tags,
        ),
        clock,
        stores,
        runner_of=lambda id_: runner_of(spec(id_)),
    )
    actors.the_router = router
    await router.declare(specs)
    for each in specs:
        await router.subscription(each.id)
    return LocalPool(PoolClient(actors, clock), router, actors, stores, clock, left)

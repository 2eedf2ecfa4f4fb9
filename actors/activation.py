"""How a router and a subscription come to life in a process of their own.

Everything that touches this process (its environment, its disk, its end) is put in their hands
here. The makers cross to the actor's process and run there.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

from actors.client import now_in_utc
from actors.dispatching import DispatchSettings
from actors.life import Surroundings
from actors.peers import Peers
from actors.router import Router, RouterSettings
from actors.subscription import Subscription
from pool import config as configuration
from pool.claude.environment import environment
from pool.claude.installation import Installation
from pool.claude.runner import ProcessRunner
from pool.config import Config
from pool.errors import StoreError
from pool.routing import RoutingPolicy
from pool.snapshot import SeatPolicy
from pool.store.postgresql import PostgresqlStores
from pool.store.protocol import Stores
from pool.store.sqlite import SqliteStores
from pool.subscription import SubscriptionSpec


def stores_of(config: Config) -> Stores:
    """The stores that a configuration names."""
    if config.pool.store == "sqlite":
        return SqliteStores(config.pool.data_dir)
    return PostgresqlStores(config.pool.store.get_secret_value())


def subscription_maker(
    spec: SubscriptionSpec, config: Config
) -> Callable[[], Awaitable[Subscription]]:
    return partial(_make_subscription, spec, config)


def router_maker(config: Config, peers: Peers) -> Callable[[], Awaitable[Router]]:
    return partial(_make_router, config, peers)


async def _make_subscription(spec: SubscriptionSpec, config: Config) -> Subscription:
    home = config.pool.data_dir / "subscriptions" / spec.id
    ledger = await stores_of(config).open_ledger(spec.id)
    try:
        return await Subscription.activate(spec, ledger, _surroundings(config, home))
    except BaseException:
        await ledger.close()
        raise


async def _make_router(config: Config, peers: Peers) -> Router:
    settings = RouterSettings(
        dispatch=DispatchSettings(
            policy=RoutingPolicy(limits=config.limits, weights=config.health),
            default_model=config.claude.model,
            timeout_seconds=config.claude.timeout_seconds,
        ),
        backups_dir=config.pool.data_dir / "backups",
        retention=timedelta(days=config.pool.retention_days),
    )
    directory = await stores_of(config).open_directory()
    return await Router.activate(directory, peers, settings, config.claude.knows, now_in_utc)


def _surroundings(config: Config, home: Path) -> Surroundings:
    return Surroundings(
        runner=_runner(config, home),
        environment=partial(_environment, config, home),
        clock=now_in_utc,
        leave=_leave,
        policy=SeatPolicy(limits=config.limits, weights=config.health),
        system_prompt=config.claude.system_prompt,
        retention=timedelta(days=config.pool.retention_days),
    )


def _runner(config: Config, home: Path) -> ProcessRunner:
    installation = Installation(config.claude.path, configuration.environment().get("PATH"))
    return ProcessRunner(
        installation.executable, home / "runs", max_output_bytes=config.claude.max_output_bytes
    )


def _environment(config: Config, home: Path, spec: SubscriptionSpec) -> Mapping[str, str]:
    """The variables of a run; its home and, unless another is named, its config directory are
    the subscription's own.
    """
    config_dir = spec.config_dir or home / "claude"
    for directory in (home / "home", config_dir):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return environment(
        spec,
        parent=configuration.environment(),
        config_dir=config_dir,
        home=home / "home",
        extra=config.claude.env,
        max_retries=config.claude.max_retries,
        is_root=os.geteuid() == 0,
    )


def _leave(_: StoreError) -> None:
    """The ledger belongs to somebody else, or its last commit is in doubt: nothing that this
    process believes may be acted upon. Ray starts it again, and the next activation recovers.
    """
    os._exit(1)

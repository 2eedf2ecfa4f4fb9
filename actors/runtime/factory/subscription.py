"""What a subscription is made of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

from actors.interfaces.other_nodes import NONE_REACHABLE, OtherNodes
from actors.interfaces.protocols import Actors
from actors.interfaces.subscription_actor import SubscriptionActor
from actors.runtime.blueprint import code
from actors.runtime.factory.runners import home_of, runner_of
from actors.runtime.factory.stores import leave, stores_of
from actors.runtime.nodes.places import Places
from actors.runtime.nodes.ray_other_nodes import RayOtherNodes
from actors.subscription.context import Dependencies
from actors.subscription.subscription import Subscription
from actors.telemetry import logs
from actors.telemetry.exporter import tracing_to
from pool import config as configuration
from pool.claude.launch.environment import environment
from pool.config import Config
from pool.errors import ConfigError, StoreError
from pool.nodes.identity import names_on, node_id
from pool.nodes.inventory import note_activation
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.subscriptions.spec import SubscriptionSpec
from pool.values import now_in_utc

log = logging.getLogger(__name__)

LOST = "ledgers-lost"
"""A file next to a ledger, as many bytes long as activations had to leave it."""


async def made(
    spec: SubscriptionSpec, config: Config, actors: Actors, released: str | None = None
) -> SubscriptionActor:
    logs.belongs_to(subscription_id=spec.id)
    home = home_of(config, spec.id)
    if released is None:  # else it runs nothing, and is here for want of its place
        await asyncio.to_thread(_check_directory, spec)
    ledger = await stores_of(config).open_ledger(spec.id)
    try:
        if released is None:
            await asyncio.to_thread(note_activation, home, ledger.epoch)
        await asyncio.to_thread(code)  # is read from every file of it, once
        dependencies = _dependencies(spec.id, config, home, actors)
        return await Subscription.activate(spec, ledger, dependencies, released=released)
    except BaseException:
        await ledger.close()
        raise


def _check_directory(spec: SubscriptionSpec) -> None:
    """A directory that is named is never made: an empty one is no login. Blocking."""
    if spec.config_dir is not None and not spec.config_dir.is_dir():
        problem = f"{spec.config_dir} is no directory on {platform.node()}, where it was to be"
        raise ConfigError(f"subscriptions.{spec.id}.config_dir", problem)


def _dependencies(subscription_id: str, config: Config, home: Path, actors: Actors) -> Dependencies:
    return Dependencies(
        runner=runner_of(config, home),
        actors=actors,
        environment=partial(_environment, config, home),
        clock=now_in_utc,
        leave=partial(_leave_behind, home / LOST),
        tracing=tracing_to(config.tracing.endpoint, subscription_id),
        ledgers_lost=_lost(home / LOST),
        policy=SubscriptionPolicy(
            limits=config.limits,
            weights=config.health,
            max_attempts=config.routing.max_attempts,
            tags=config.pool.tags,
            tools=config.tools,
        ),
        system_prompt=config.claude.system_prompt,
        node=node_id(config.pool.data_dir),
        build=code(),
        nodes_here=names_on(config.pool.data_dir),
        other_nodes=_other_nodes(config, home),
        roots=config.agents.roots,
        retention=timedelta(days=config.pool.retention_days),
        keep_prompts=config.pool.keep_prompts,
    )


def _other_nodes(config: Config, home: Path) -> OtherNodes:
    """A pool on SQLite has none."""
    if config.pool.store == "sqlite":
        return NONE_REACHABLE
    return RayOtherNodes(Places(config), partial(runner_of, config, home))


def _environment(config: Config, home: Path, spec: SubscriptionSpec) -> Mapping[str, str]:
    """The variables of a run; its home and, unless another is named, its config directory are
    the subscription's own. Nothing on disk is touched: it is asked for on the event loop.
    """
    return environment(
        spec,
        parent=configuration.environment(),
        config_dir=spec.config_dir or home / "claude",
        home=home / "home",
        extra=config.claude.env,
        max_retries=config.claude.max_retries,
        is_root=os.geteuid() == 0,
    )


def _lost(file: Path) -> int:
    """How many activations have left their mark here."""
    return file.stat().st_size if file.exists() else 0


def _leave_behind(mark: Path, error: StoreError) -> None:
    """Leave, and a mark of it, one byte: the only witness of a write that was fenced off."""
    with contextlib.suppress(OSError), mark.open("ab") as file:
        file.write(b"!")
    log.error(
        "ledger lost: the subscription leaves",
        extra={"subscription_id": mark.parent.name, "problem": error.problem},
    )
    leave(error)

"""The factory of the actors: what a router, a subscription and a reconciler are made of.

Everything that touches this process (its environment, its disk, its end) is put in their hands
here. The makers cross to the actor's process and run there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx

from actors.client.client import now_in_utc
from actors.interfaces.other_nodes import NONE_REACHABLE, OtherNodes
from actors.interfaces.protocols import Actors, SubscriptionActors
from actors.interfaces.reconciler_actor import ReconcilerActor
from actors.interfaces.router_actor import RouterActor
from actors.interfaces.subscription_actor import SubscriptionActor
from actors.reconciler.poll import ReconcilerSettings
from actors.reconciler.reconciler import Reconciler
from actors.router.dispatcher import DispatchSettings
from actors.router.router import Router, RouterSettings
from actors.runtime.nodes.places import Places
from actors.runtime.nodes.runs_elsewhere import RunsElsewhere
from actors.subscription.context import Dependencies
from actors.subscription.subscription import Subscription
from actors.telemetry import logs
from actors.telemetry.exporter import tracing_to
from pool import config as configuration
from pool.admin_api.client import AdminApi
from pool.admin_api.organizations import Organization
from pool.claude.binary.installation import Installation
from pool.claude.launch.environment import environment
from pool.claude.process.idle.kept import MOST_AGE_SECONDS, Keeping
from pool.claude.process.idle.machine import PROCESS_BYTES, memory_bytes
from pool.claude.process.spawner import ProcessRunner
from pool.config import Config
from pool.errors import ConfigError, StoreError
from pool.nodes.identity import names_on, node_id
from pool.nodes.inventory import note_activation
from pool.reconciliation.problems import ProblemKind, ReportProblem
from pool.routing.policy import RoutingPolicy
from pool.storage.postgresql import PostgresqlStores
from pool.storage.sqlite import SqliteStores
from pool.storage.stores import Stores
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.subscriptions.spec import SubscriptionSpec

log = logging.getLogger(__name__)

AUTO_SPARES = 2
LEAST_AT_ONCE = 2
"""Activations, on a machine of one core: one may wait for a disk while the other computes."""
LOST = "ledgers-lost"
"""A file next to a ledger, as many bytes long as activations had to leave it."""


def stores_of(config: Config) -> Stores:
    """The stores that a configuration names."""
    if config.pool.store == "sqlite":
        return SqliteStores(config.pool.data_dir)
    return PostgresqlStores(config.pool.store.get_secret_value())


def subscription_maker(
    spec: SubscriptionSpec, config: Config, actors: Actors
) -> Callable[[], Awaitable[SubscriptionActor]]:
    return partial(_make_subscription, spec, config, actors)


def router_maker(
    config: Config, actors: SubscriptionActors
) -> Callable[[], Awaitable[RouterActor]]:
    return partial(_make_router, config, actors)


def reconciler_maker(config: Config, actors: Actors) -> Callable[[], Awaitable[ReconcilerActor]]:
    return partial(_make_reconciler, config, actors)


async def _make_subscription(
    spec: SubscriptionSpec, config: Config, actors: Actors
) -> SubscriptionActor:
    logs.belongs_to(subscription_id=spec.id)
    home = _home(config, spec.id)
    await asyncio.to_thread(_check_directory, spec)
    ledger = await stores_of(config).open_ledger(spec.id)
    try:
        await asyncio.to_thread(note_activation, home, ledger.epoch)
        dependencies = _dependencies(spec.id, config, home, actors)
        return await Subscription.activate(spec, ledger, dependencies)
    except BaseException:
        await ledger.close()
        raise


async def _make_router(config: Config, actors: SubscriptionActors) -> RouterActor:
    settings = RouterSettings(
        dispatch=DispatchSettings(
            policy=RoutingPolicy(
                limits=config.limits, weights=config.health, settings=config.routing
            ),
            default_model=config.claude.model,
            models=config.claude.models,
            timeout_seconds=config.claude.timeout_seconds,
        ),
        backups_dir=config.pool.data_dir / "backups",
        retention=timedelta(days=config.pool.retention_days),
        keep_prompts=config.pool.keep_prompts,
        tags=config.pool.tags,
        rebalancing=config.rebalancing,
        alerts=config.alerts,
        webhooks=configuration.webhooks(config, configuration.environment()),
        keys=config.api_keys,
        activations_at_once=max(LEAST_AT_ONCE, os.cpu_count() or 1),
        idle=timedelta(seconds=config.hibernation.idle_seconds),
    )
    stores = stores_of(config)
    directory = await stores.open_directory()
    return await Router.activate(
        *(directory, actors, settings, now_in_utc, stores),
        runner_of=lambda id_: _runner(config, _home(config, id_)),
        tracing=tracing_to(config.tracing.endpoint, "router"),
    )


async def _make_reconciler(config: Config, actors: Actors) -> ReconcilerActor:
    base_url = config.reconciliation.base_url
    # A proxy of the environment is for the world; plain http is allowed to this machine alone.
    http = httpx.AsyncClient(base_url=base_url, trust_env=not base_url.startswith("http:"))
    settings = ReconcilerSettings(
        organizations=config.organizations,
        settings=config.reconciliation,
        retention=timedelta(days=config.pool.retention_days),
        backups_dir=config.pool.data_dir / "backups",
    )
    store = await stores_of(config).open_reconciliations()
    reports = partial(_admin_api, http)
    return await Reconciler.activate(
        store, actors, settings, reports, now_in_utc, asyncio.sleep, _leave
    )


def _admin_api(
    http: httpx.AsyncClient, organization: Organization, turn: Callable[[], Awaitable[None]]
) -> AdminApi | ReportProblem:
    """The reports of an organization. Its key is read anew each time, and kept nowhere."""
    name = organization.admin_key_env
    key = configuration.environment().get(name, "").strip()
    if not key.isascii() or not key.isprintable() or not key:
        detail = f"the environment variable {name} holds no key: export it and start again"
        return ReportProblem(kind=ProblemKind.KEY_MISSING, detail=detail)
    return AdminApi(http, key, turn=turn, clock=now_in_utc, sleep=asyncio.sleep)


def _check_directory(spec: SubscriptionSpec) -> None:
    """A directory that is named is never made: an empty one is no login. Blocking."""
    if spec.config_dir is not None and not spec.config_dir.is_dir():
        problem = f"{spec.config_dir} is no directory on {platform.node()}, where it was to be"
        raise ConfigError(f"subscriptions.{spec.id}.config_dir", problem)


def _home(config: Config, subscription_id: str) -> Path:
    return config.pool.data_dir / "subscriptions" / subscription_id


def _dependencies(subscription_id: str, config: Config, home: Path, actors: Actors) -> Dependencies:
    return Dependencies(
        runner=_runner(config, home),
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
    return RunsElsewhere(Places(config), partial(_runner, config, home))


def _runner(config: Config, home: Path) -> ProcessRunner:
    installation = Installation(config.claude.path, configuration.environment().get("PATH"))
    return ProcessRunner(
        *(installation.executable, home / "runs"),
        max_output_bytes=config.claude.max_output_bytes,
        keeping=_keeping(config),
    )


def _keeping(config: Config) -> Keeping:
    """How many processes may be idle on this machine, which all subscriptions here share."""
    settings = config.processes
    most = memory_bytes() // 4 if settings.max_memory == "auto" else settings.max_memory
    age = min(MOST_AGE_SECONDS, config.pool.keep_prompts.total_seconds())
    return Keeping(
        most_age_seconds=age,
        spares=AUTO_SPARES if settings.spares == "auto" else settings.spares,
        seconds=settings.keep_session_seconds,
        reuses=settings.reuse == "same_key",
        places=config.pool.data_dir / "idle-processes",
        most=most // PROCESS_BYTES,
    )


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
    _leave(error)


def _leave(_: StoreError) -> None:
    """The ledger belongs to somebody else, or its last commit is in doubt: nothing that this
    process believes may be acted upon. Ray starts it again, and the next activation recovers.
    """
    os._exit(1)

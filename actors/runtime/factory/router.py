"""What a router is made of."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial

from actors.interfaces.protocols import SubscriptionActors
from actors.interfaces.router_actor import RouterActor
from actors.router.dispatching.settings import DispatchSettings
from actors.router.router import Router
from actors.router.settings import RouterSettings
from actors.router.term import Term
from actors.runtime import cluster
from actors.runtime.factory.stores import leave, stores_of
from actors.runtime.spare_process import SPARE
from actors.telemetry.exporter import tracing_to
from pool import config as configuration
from pool.claude.runner import Runner
from pool.config import Config
from pool.routing.policy import RoutingPolicy
from pool.values import now_in_utc

LEAST_AT_ONCE = 2
"""Activations, on a machine of one core: one may wait for a disk while the other computes."""


async def made(config: Config, actors: SubscriptionActors, holder: str) -> RouterActor:
    """``holder`` is its pool, as a database knows it."""
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
    try:
        router = await Router.activate(
            *(directory, actors, settings, now_in_utc, stores),
            runner_of=partial(_runner_of, config),
            tracing=tracing_to(config.tracing.endpoint, "router"),
            term=Term(directory.terms, holder, leave, cluster.has_head),
        )
    except BaseException:
        await directory.close()
        raise
    SPARE.keep()
    return router


def _runner_of(config: Config, subscription_id: str) -> Runner:
    from actors.runtime.factory.runners import home_of, runner_of  # noqa: PLC0415 - 40 ms of each router's start, for what it seldom does

    return runner_of(config, home_of(config, subscription_id))

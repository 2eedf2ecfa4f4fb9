"""What a reconciler is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import httpx

from actors.interfaces.protocols import Actors
from actors.interfaces.reconciler_actor import ReconcilerActor
from actors.reconciler.poll import ReconcilerSettings
from actors.reconciler.reconciler import Reconciler
from actors.runtime.factory.stores import leave, stores_of
from pool import config as configuration
from pool.admin_api.client import AdminApi
from pool.admin_api.organizations import Organization
from pool.config import Config
from pool.reconciliation.problems import ProblemKind, ReportProblem
from pool.values import now_in_utc


async def made(config: Config, actors: Actors) -> ReconcilerActor:
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
        store, actors, settings, reports, now_in_utc, asyncio.sleep, leave
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

"""The blueprint of an actor: the part of the configuration that it uses, and the code, by a digest.

An actor of a cluster outlives the service that made it. Whether one that is there does what one
made now would do is known by the digest of its blueprint: of exactly what it is given, and of the
code. So a port, a key or another subscription that changes replaces nobody who does not know of it.
What a running subscription can be given (its budget, its slots) is no part of it either.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import actors
import pool
from actors.telemetry.log_stream import stream_of
from pool.config import ClaudeSettings, Config
from pool.routing.policy import RoutingSettings
from pool.subscriptions.spec import SubscriptionSpec
from pool.values import Value

_FOR_RUNS = ("path", "env", "system_prompt", "max_retries", "max_output_bytes")
"""Of ``[claude]``; the rest is the router's."""


class Blueprint(Value):
    """What an actor is made by, as it knows it itself."""

    digest: str
    pool: str
    """Which pool it belongs to: no other may take its place."""
    log_level: str
    log_stream: Path


def pool_of(config: Config) -> str:
    """The name of a pool among those of a machine or a cluster: where its records are kept."""
    store = config.pool.model_dump(mode="json")["store"]
    return str(config.pool.data_dir) if store == "sqlite" else str(store)


def of_router(config: Config) -> Config:
    """What a router uses; it makes the subscriptions, so that theirs is part of it."""
    return Config(
        **{
            name: getattr(config, name)
            for name in Config.model_fields
            if name not in {"server", "ray", "subscriptions", "organizations", "reconciliation"}
        }
    )


def of_subscription(config: Config) -> Config:
    """What any subscription uses."""
    return Config(
        pool=config.pool,
        claude=ClaudeSettings(**{name: getattr(config.claude, name) for name in _FOR_RUNS}),
        processes=config.processes,
        limits=config.limits,
        health=config.health,
        routing=RoutingSettings(max_attempts=config.routing.max_attempts),
        tracing=config.tracing,
        agents=config.agents,
    )


def of_reconciler(config: Config) -> Config:
    """What a reconciler uses."""
    return Config(
        pool=config.pool,
        reconciliation=config.reconciliation,
        organizations=config.organizations,
    )


def blueprint_of(name: str, part: Config, spec: SubscriptionSpec | None = None) -> Blueprint:
    """The blueprint of the actor of a name, which uses this part of the configuration. A
    subscription's has in it how it signs in and where it is to be, too: an activation finds that
    out once.
    """
    signs_in = spec and spec.model_dump(
        mode="json", include={"id", "config_dir", "credential", "node"}
    )
    used: list[Any] = [code(), part.model_dump(mode="json"), signs_in]
    digest = hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()
    return Blueprint(
        digest=digest,
        pool=pool_of(part),
        log_level=part.pool.log_level,
        log_stream=stream_of(part.pool.data_dir, name),
    )


@cache
def code() -> str:
    """The version of the code, to the letter: of one that is worked on, too."""
    digest = hashlib.sha256()
    for package in (pool, actors):
        _digest_of(files(package), digest)
    return f"{version('claude-subscription-pool')}+{digest.hexdigest()[:16]}"


def _digest_of(folder: Traversable, digest: Any) -> None:
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_dir() and each.name != "__pycache__":
            _digest_of(each, digest)
        elif each.name.endswith((".py", ".sql")):
            digest.update(each.name.encode() + each.read_bytes())

"""The version that a running pool serves, beside the one that is installed here.

Actors of a cluster outlive the service that made them, and keep the code that they came up with
until the next ``claude-pool serve`` renews them, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from actors.runtime.blueprint import code
from api.cli.service import Complaint, Service
from api.server.checkup import Finding
from api.web.operator_key import operator_key
from pool.config import load
from pool.errors import ConfigError
from pool.subscriptions.report import Report


def served(path: Path) -> list[Finding]:
    """What there is to say of the pool of a configuration that is served on this machine; nothing
    where none is, or it does not answer.
    """
    try:
        config = load(path)
        url = f"http://{config.server.host}:{config.server.port}"
        with closing(Service(url, operator_key(config.pool.data_dir) or "")) as service:
            return list(stale(service.subscriptions(), code()))
    except (ConfigError, Complaint):
        return []


def stale(reports: Iterable[Report], installed: str) -> Iterator[Finding]:
    """A warning for each subscription whose actor came up with another version than is installed:
    at each version that there is, those that have it.
    """
    builds: dict[str, list[str]] = {}
    for each in reports:
        if each.build not in {None, installed}:
            builds.setdefault(str(each.build), []).append(each.id)
    for build, ids in sorted(builds.items()):
        detail = f"{', '.join(sorted(ids))} came up with version {build}, {installed} is installed"
        remedy = "claude-pool serve renews them, one at a time, while requests are served"
        yield Finding("warning", "version", f"{detail}: {remedy}")

"""A backup of a running pool, as it is told."""

from __future__ import annotations

from datetime import datetime

from pool.values import Instant, Value


class Backup(Value):
    """A folder that can take the place of the data directory. Each store in it is consistent; they
    were copied one after the other.
    """

    path: str
    """On the machine that serves the pool."""
    subscriptions: tuple[str, ...]
    bytes: int
    taken_at: Instant


def backup_name(now: datetime) -> str:
    """The folder of a backup: ``2026-01-28T15-00-00.000Z``."""
    return now.strftime("%Y-%m-%dT%H-%M-%S.") + f"{now.microsecond // 1000:03}Z"

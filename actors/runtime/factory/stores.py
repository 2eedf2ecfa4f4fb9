"""The stores that a configuration names, and what an actor does that has lost its own."""

from __future__ import annotations

import os

from pool.config import Config
from pool.errors import StoreError
from pool.storage.sqlite import SqliteStores
from pool.storage.stores import Stores


def stores_of(config: Config) -> Stores:
    """The stores that a configuration names."""
    if config.pool.store == "sqlite":
        return SqliteStores(config.pool.data_dir)
    from pool.storage.postgresql import PostgresqlStores  # noqa: PLC0415 - its driver takes 5 MB

    return PostgresqlStores(config.pool.store.get_secret_value())


def leave(_: StoreError) -> None:
    """The ledger belongs to somebody else, or its last commit is in doubt, or another router has
    taken over: nothing that this process believes may be acted upon. Where it is still an actor,
    Ray starts it again, and the next activation recovers.
    """
    os._exit(1)

"""The files of the stores: ``subscriptions/<id>/ledger.sqlite``, ``directory.sqlite``,
``reconciler.sqlite``.
"""

from __future__ import annotations

from pathlib import Path

from pool.storage.owner import owned_name
from pool.storage.protocol import Directory, Ledger
from pool.storage.reconciliations import Reconciliations
from pool.storage.sqlite.commits import Commits
from pool.storage.sqlite.directory import SqliteDirectory
from pool.storage.sqlite.ledger import SqliteLedger
from pool.storage.sqlite.reconciliations import SqliteReconciliations


class SqliteStores:
    """The stores below a data directory, each opened by one owner at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    async def open_ledger(self, subscription_id: str, *, patience: float = 10.0) -> Ledger:
        """Take a subscription's ledger over, see ``Stores``."""
        path = self._data_dir / "subscriptions" / owned_name(subscription_id) / "ledger.sqlite"
        return SqliteLedger(subscription_id, await Commits.opened(path, "ledger", patience))

    async def open_directory(self, *, patience: float = 10.0) -> Directory:
        path = self._data_dir / "directory.sqlite"
        return SqliteDirectory(await Commits.opened(path, "directory", patience))

    async def open_reconciliations(self, *, patience: float = 10.0) -> Reconciliations:
        path = self._data_dir / "reconciler.sqlite"
        return SqliteReconciliations(await Commits.opened(path, "reconciler", patience))

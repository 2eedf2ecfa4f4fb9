"""The files of the stores: ``subscriptions/<id>/ledger.sqlite``, ``directory.sqlite``,
``reconciler.sqlite``.
"""

from __future__ import annotations

from pathlib import Path

from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.storage.owner import owned_name
from pool.storage.reconciliations import Reconciliations
from pool.storage.sqlite.commits import Commits
from pool.storage.sqlite.database import SqliteDatabase


class SqliteStores:
    """The stores below a data directory, each opened by one owner at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    async def open_ledger(self, subscription_id: str, *, patience: float = 10.0) -> Ledger:
        """Take a subscription's ledger over, see ``Stores``."""
        path = self._data_dir / "subscriptions" / owned_name(subscription_id) / "ledger.sqlite"
        commits = await Commits.opened(path, "ledger", patience)
        return Ledger(subscription_id, SqliteDatabase(commits, "ledger"))

    async def open_directory(self, *, patience: float = 10.0) -> Directory:
        path = self._data_dir / "directory.sqlite"
        commits = await Commits.opened(path, "directory", patience)
        return Directory(SqliteDatabase(commits, "directory", "outbox", "keys"))

    async def open_reconciliations(self, *, patience: float = 10.0) -> Reconciliations:
        path = self._data_dir / "reconciler.sqlite"
        commits = await Commits.opened(path, "reconciler", patience)
        return Reconciliations(SqliteDatabase(commits, "reconciliations"))

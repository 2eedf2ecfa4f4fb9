"""The files of the stores: ``subscriptions/<id>/ledger.sqlite``, ``directory.sqlite``,
``reconciler.sqlite``.
"""

from __future__ import annotations

import asyncio
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
        self._ledgers = data_dir / "subscriptions"

    async def open_ledger(self, subscription_id: str, *, wait_seconds: float = 10.0) -> Ledger:
        """Take a subscription's ledger over, see ``Stores``."""
        path = self._ledgers / owned_name(subscription_id) / "ledger.sqlite"
        commits = await Commits.opened(path, "ledger", wait_seconds)
        return Ledger(subscription_id, SqliteDatabase(commits, "ledger"))

    async def open_removed(self, subscription_id: str, *, wait_seconds: float = 10.0) -> Ledger:
        """One that lives is not shut out: it holds the lock of its file."""
        return await self.open_ledger(subscription_id, wait_seconds=wait_seconds)

    async def read_ledger(self, subscription_id: str) -> Ledger | None:  # noqa: ARG002
        """Whoever has the file has it alone."""
        return None

    async def ledgers(self) -> tuple[str, ...]:
        files = await asyncio.to_thread(lambda: list(self._ledgers.glob("*/ledger.sqlite")))
        return tuple(sorted(file.parent.name for file in files))

    async def open_directory(self, *, wait_seconds: float = 10.0) -> Directory:
        path = self._data_dir / "directory.sqlite"
        commits = await Commits.opened(path, "directory", wait_seconds)
        return Directory(SqliteDatabase(commits, "directory", "outbox", "keys"))

    async def open_reconciliations(self, *, wait_seconds: float = 10.0) -> Reconciliations:
        path = self._data_dir / "reconciler.sqlite"
        commits = await Commits.opened(path, "reconciler", wait_seconds)
        return Reconciliations(SqliteDatabase(commits, "reconciliations"))

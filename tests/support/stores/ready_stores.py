"""SQLite stores whose files are there before they are opened: to make them takes half of what a
local pool does before a test begins. That stores make themselves is seen in ``tests/contracts``.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import apsw

from pool.storage.directory.directory import Directory
from pool.storage.ledger.ledger import Ledger
from pool.storage.sqlite import SqliteStores
from pool.storage.sqlite.statements import migrations


class ReadyStores(SqliteStores):
    """Each store as one that was made, and never taken over."""

    async def open_ledger(self, subscription_id: str, *, wait_seconds: float = 10.0) -> Ledger:
        _lay(self._ledgers / subscription_id / "ledger.sqlite", "ledger")
        return await super().open_ledger(subscription_id, wait_seconds=wait_seconds)

    async def open_directory(self, *, wait_seconds: float = 10.0) -> Directory:
        _lay(self._data_dir / "directory.sqlite", "directory")
        return await super().open_directory(wait_seconds=wait_seconds)


def _lay(path: Path, schema: str) -> None:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(_made(schema))


@cache
def _made(schema: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.sqlite"
        db = apsw.Connection(str(path))
        db.pragma("journal_mode", "WAL")
        for number, script in migrations(schema):
            db.execute(script)
            db.pragma("user_version", number)
        db.close()
        return path.read_bytes()

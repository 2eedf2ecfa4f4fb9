"""Stores in a folder of SQLite files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pool.storage.sqlite import SqliteStores


@pytest.fixture
def stores(tmp_path: Path) -> SqliteStores:
    return SqliteStores(tmp_path)


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    return tmp_path / "subscriptions" / "sub1" / "ledger.sqlite"

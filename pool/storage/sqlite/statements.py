"""The SQL of the embedded stores. See ``pool.storage.statements``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apsw

from pool.storage import statements as files


def statements(name: str) -> Mapping[str, str]:
    """The statements of a file in ``queries`` by their name."""
    return files.statements("pool.storage.sqlite", name)


def migrations(schema: str) -> tuple[tuple[int, str], ...]:
    """``(version, script)`` of a schema, in the order in which they are applied."""
    return files.migrations("pool.storage.sqlite", schema)


def first_row(db: apsw.Connection, sql: str, bindings: Mapping[str, Any] | None = None) -> Any:
    """The first row of a statement that is run to its end; None where it has no rows."""
    rows = db.execute(sql, bindings).fetchall()
    return rows[0] if rows else None

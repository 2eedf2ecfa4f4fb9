"""The SQL of the PostgreSQL stores, and how it is run. See ``pool.storage.statements``.

Parameters are written ``:name`` in the files, as for SQLite, and become the ``$1`` of the protocol
once, when a file is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from pool.storage import statements as files

Db: TypeAlias = Any
"""A connection of asyncpg, lent by its pool: asyncpg has no types."""

_COMMENT = re.compile(r"--.*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")


class Statement(NamedTuple):
    """A statement, and the names of its parameters in the order of their numbers."""

    sql: str
    names: tuple[str, ...]

    def values(self, bindings: Mapping[str, Any]) -> list[Any]:
        return [bindings[name] for name in self.names]


def _numbered(text: str) -> Statement:
    bare = _COMMENT.sub("", text).strip()
    names = tuple(dict.fromkeys(_PARAMETER.findall(bare)))
    return Statement(_PARAMETER.sub(lambda at: f"${names.index(at[1]) + 1}", bare), names)


@cache
def statements(name: str) -> Mapping[str, Statement]:
    """The statements of a file in ``queries`` by their name."""
    texts = files.statements("pool.storage.postgresql", name)
    return MappingProxyType({title: _numbered(text) for title, text in texts.items()})


def migrations() -> tuple[tuple[int, str], ...]:
    """``(version, script)`` in the order in which they are applied."""
    return files.migrations("pool.storage.postgresql", "pool")


async def rows(db: Db, statement: Statement, bindings: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = await db.fetch(statement.sql, *statement.values(bindings))
    return found


async def first_row(db: Db, statement: Statement, bindings: Mapping[str, Any]) -> Any:
    """None where there is no row."""
    return await db.fetchrow(statement.sql, *statement.values(bindings))


async def run(db: Db, statement: Statement, bindings: Mapping[str, Any]) -> int:
    """The number of rows that were written."""
    done: str = await db.execute(statement.sql, *statement.values(bindings))
    return int(done.rpartition(" ")[2])


async def run_many(db: Db, statement: Statement, many: Iterable[Mapping[str, Any]]) -> None:
    """Once for each of the bindings, sent together."""
    await db.executemany(statement.sql, [statement.values(bindings) for bindings in many])

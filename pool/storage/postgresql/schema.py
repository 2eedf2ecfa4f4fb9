"""The tables: made, and brought up to this version, by whoever opens a store first.

A version table says how far they are. An advisory lock lets one process at a time work on them, so
that a whole cluster may start at once on an empty database. They work on every row there is: what
a statement of the stores may take does not hold for them.
"""

from __future__ import annotations

from pool.errors import StoreError
from pool.storage.postgresql.connection.statements import Db, first_row, migrations, run, statements

_SQL = statements("schema")
MIGRATION_SECONDS = 600.0
"""For a migration, and for waiting while somebody else does it."""
_LIMITS = f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{MIGRATION_SECONDS:g}s'"
_LOCK = "SET LOCAL lock_timeout = '20s'"
"""For a table that others use: whoever comes after this one waits behind it."""


async def prepare(store: str, db: Db) -> None:
    """Raise ``StoreError`` for tables of a newer version than this one knows."""
    newest = migrations()[-1][0]
    while (version := await _version(db)) < newest:
        await db.execute("BEGIN")
        await _migrate(db)
        await run_script(db, "COMMIT")
    if version > newest:
        problem = f"has schema {version}, and this version knows {newest}: install a newer one"
        raise StoreError(store, problem)


async def _version(db: Db) -> int:
    if not (await first_row(db, _SQL["is_there"], {}))[0]:
        return 0
    version: int = (await first_row(db, _SQL["version"], {}))[0]
    return version


async def _migrate(db: Db) -> None:
    """The next migration alone: a table that it changes is locked until its transaction ends."""
    await run_script(db, _LIMITS)
    await run_script(db, _SQL["one_at_a_time"].sql)
    await run_script(db, _LOCK)
    await run_script(db, _SQL["create"].sql)
    version = await _version(db)  # somebody may have done it while this one waited
    for number, script in migrations():
        if number > version:
            await run_script(db, script)
            await run(db, _SQL["set_version"], {"version": number})
            return


async def run_script(db: Db, script: str) -> None:
    """Several statements at once, without parameters."""
    await db.execute(script, timeout=MIGRATION_SECONDS)

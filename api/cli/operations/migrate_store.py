"""``claude-pool migrate-store``: a pool's records from one kind of store to another."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from api.cli.service import complain
from pool.config import Config, load, parse
from pool.errors import PoolError
from pool.money import usd

ConfigPath = Annotated[
    Path,
    typer.Option("--config", envvar="CLAUDE_POOL_CONFIG", help="The configuration file."),
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        envvar="CLAUDE_POOL_MIGRATE_TO",
        show_default=False,
        help="Where to: postgresql://user:password@host:5432/database, or sqlite. A URL with a "
        "password belongs in the environment variable, since others can read a command's line.",
    ),
]


def migrate_store(to: To, *, config: ConfigPath = Path("pool.toml")) -> None:
    """Copy everything that the pool has kept into another, empty store, and verify it there.

    Stop the pool first. The store that pool.toml names is left as it is; when this has succeeded,
    write the new one into `store` under `[pool]` and serve.
    """
    try:
        before = load(config)
        summary = asyncio.run(_moved(before, _with_store(before, to)))
    except PoolError as error:
        complain("Nothing may be served from there", str(error))
        raise typer.Exit(1) from None
    typer.echo(summary)


def _with_store(config: Config, store: str) -> Config:
    settings = {**config.pool.model_dump(), "store": store}
    return parse({**config.model_dump(), "pool": settings})


async def _moved(before: Config, after: Config) -> str:
    from actors.runtime.factory.stores import stores_of  # noqa: PLC0415 - --help need not wait for it
    from pool.storage.migrate import move  # noqa: PLC0415

    declared = [spec.id for spec in before.subscriptions]
    moved = await move(stores_of(before), stores_of(after), declared)
    return (
        f"Moved and verified: {len(moved.subscriptions)} subscriptions, {moved.executions} "
        f"executions, {moved.records} usage records, {usd(moved.cost_nano_usd)} USD in all, "
        f"{moved.claims} claims, {moved.reconciliations} reconciliations. Now name the new "
        "store in pool.toml."
    )

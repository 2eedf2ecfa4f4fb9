"""``claude-pool backup``: a copy of a running pool."""

from __future__ import annotations

import typer

from api.cli.service import Service, asking, understood
from pool.storage.backup import Backup
from pool.values import instant_text


@asking
def backup(asked: Service) -> None:
    """Copy the records of a running pool into a new folder, while it goes on.

    The folder is on the machine that serves the pool, below `backups` in its data directory, and is
    laid out as the data directory is. To restore: stop the pool, put the folder's content into an
    empty data directory, and serve. The CLI's own logins and sessions are not in it; prompts and
    answers that the pool has not removed yet are, and stay in it: its `contents.json` says since
    when. A pool in PostgreSQL is backed up with `pg_dump` instead.
    """
    taken = understood(Backup, asked.ask("POST", "/v1/backups").value)
    count = len(taken.subscriptions)
    typer.echo(f"{count} subscriptions, {taken.bytes / 1e6:.1f} MB: {taken.path}")
    since = instant_text(taken.prompts_since)
    typer.echo(f"it holds prompts and answers of executions that ended after {since}", err=True)

"""``claude-pool doctor``: what would keep the pool from working, and what to do about it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pool.config import environment

_MARKS = {
    "ok": Text("ok", style="green"),
    "warning": Text("warning", style="yellow"),
    "problem": Text("problem", style="bold red"),
}


def doctor(
    config: Annotated[
        Path,
        typer.Option("--config", envvar="CLAUDE_POOL_CONFIG", help="The configuration file."),
    ] = Path("pool.toml"),
) -> None:
    """Check a configuration on this machine, before it is served.

    Finds the Claude CLI and its version, and looks at each subscription's directory, credential
    and login, at the API keys, at the data directory, at where Ray keeps its files, and at proxies.
    It warns where two subscriptions are one account. In a cluster it looks at this node, and at
    whether the cluster answers; `claude-pool nodes` shows what the others have. Where the pool is
    served here already, it warns of what came up with another version than is installed. It starts
    nothing, changes nothing and spends nothing. Exit code 1 when something would not work.
    """
    from api.cli.operations.served_version import served  # noqa: PLC0415 - --help need not wait for it
    from api.server.checkup import examine  # noqa: PLC0415 - as above

    findings = [*asyncio.run(examine(config, environment())), *served(config)]
    table = Table.grid(padding=(0, 2))
    for level, subject, message in findings:
        table.add_row(_MARKS[level], Text(subject, style="bold"), Text(message, overflow="fold"))
    Console().print(table)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)

"""``claude-pool demo``: the whole pool with the real CLI, before a stand-in for the API."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from api.cli.service import complain
from pool.errors import ConfigError


def demo(
    *,
    executions: Annotated[
        int, typer.Option(min=1, max=50, help="How many to run at once in the first act.")
    ] = 8,
    once: Annotated[
        bool,
        typer.Option("--once", help="End after the comparison, as it does without a terminal."),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's folder: stores, runs, sessions.")
    ] = False,
) -> None:
    """See the pool at work, in under a minute, without an account and without spending anything.

    Starts a stand-in for Anthropic's API, a pool of three subscriptions with made-up tokens, and
    the HTTP service on a free port; all on this machine. Runs the real Claude CLI: some executions
    at once, a session of three turns, a caller with a tool of its own, a limit that moves a
    session, an overload. At the end the pool's records are compared with the stand-in's bill, to
    the nano-dollar. Exit code 1 when they disagree. At a terminal light traffic goes on afterwards
    until Ctrl-C, for the page whose address is shown, and for `claude-pool top`.
    """
    from actors.telemetry import logs  # noqa: PLC0415 - Ray takes seconds that --help need not wait for
    from api.demo.show import perform  # noqa: PLC0415

    logs.configure("error")
    folder = Path(tempfile.mkdtemp(prefix="claude-pool-demo-"))
    try:
        stays = sys.stdout.isatty() and not once
        agreed = asyncio.run(perform(Console(), folder, executions, stays=stays))
    except ConfigError as error:
        complain("The demo cannot run here", str(error))
        agreed = False
    except TimeoutError as error:
        complain("The demo took too long", str(error))
        agreed = False
    finally:
        if keep:
            typer.echo(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if not agreed:
        raise typer.Exit(1)

"""``claude-pool serve``: the pool and its HTTP service, until it is told to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from api.cli.service import complain
from pool.config import Config, check, environment, load, parse
from pool.errors import ConfigError

DEFAULT_CONFIG = Path("pool.toml")

ConfigPath = Annotated[
    Path,
    typer.Option("--config", envvar="CLAUDE_POOL_CONFIG", help="The configuration file."),
]
Host = Annotated[str | None, typer.Option(help="Listen there instead of where pool.toml says.")]
Port = Annotated[int | None, typer.Option(help="Listen on this port; 0 takes a free one.")]


def serve(config: ConfigPath = DEFAULT_CONFIG, *, host: Host = None, port: Port = None) -> None:
    """Run the pool and serve it over HTTP.

    Prints one line when it takes requests, and its log as JSON lines on standard error. SIGTERM or
    Ctrl-C ends it in order: what runs may go on for `server.drain_seconds`, then it is interrupted
    and settled; what waits is taken up by the next start. A second signal ends it at once. Check a
    configuration first with `claude-pool doctor`.
    """
    try:
        settings = configured(config, host=host, port=port)
        check(settings, environment())
        _run(settings)
    except ConfigError as error:
        complain("The configuration cannot be used", str(error))
        raise typer.Exit(1) from None
    except asyncio.CancelledError:
        complain("Stopped", "before it was ready, or while it was stopping")
        raise typer.Exit(130) from None


def configured(path: Path, *, host: str | None, port: int | None) -> Config:
    """The file's configuration, with what the command line says instead."""
    config = load(path)
    asked = {"host": host, "port": port}
    changes = {name: value for name, value in asked.items() if value is not None}
    if not changes:
        return config
    server = {**config.server.model_dump(), **changes}
    return parse({**config.model_dump(), "server": server})


def _run(config: Config) -> None:
    from actors.telemetry import logs  # noqa: PLC0415
    from api.server import serve as server  # noqa: PLC0415 - Ray takes seconds that --help need not wait for

    logs.configure(config.pool.log_level)
    asyncio.run(server.serve(config, typer.echo))

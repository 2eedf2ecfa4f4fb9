"""``claude-pool serve``: the pool and its HTTP service, until a signal stops it."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from actors.telemetry.logs import line_of
from pool.config import Config, check, environment, load, parse
from pool.errors import ConfigError, PoolError

log = logging.getLogger(__name__)

DEFAULT_CONFIG = Path("pool.toml")
UNUSABLE = "The configuration cannot be used"

ConfigPath = Annotated[
    Path,
    typer.Option("--config", envvar="CLAUDE_POOL_CONFIG", help="The configuration file."),
]
Host = Annotated[str | None, typer.Option(help="Listen there instead of where pool.toml says.")]
Port = Annotated[int | None, typer.Option(help="Listen on this port; 0 takes a free one.")]


def serve(config: ConfigPath = DEFAULT_CONFIG, *, host: Host = None, port: Port = None) -> None:
    """Run the pool and serve it over HTTP.

    Prints one line when it takes requests; subscriptions come up meanwhile. Standard error is JSON
    lines and nothing else: the log of the service, and of the router and the subscriptions on this
    machine; `claude-pool logs` follows it, too. SIGTERM or Ctrl-C ends the pool in order: what runs
    may go on for `server.drain_seconds`, then it is interrupted and settled; what waits is taken up
    by the next start. A second signal ends it at once. Beside a service of the same pool this one
    joins it, on another port. Check a configuration first with `claude-pool doctor`.
    """
    try:
        settings = configured(config, host=host, port=port)
        check(settings, environment())
    except ConfigError as error:
        typer.echo(line_of(logging.ERROR, __name__, UNUSABLE, problem=str(error)), err=True)
        raise typer.Exit(1) from None
    _run(settings)


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
    from actors.telemetry import log_stream  # noqa: PLC0415
    from actors.telemetry.log_relay import relayed  # noqa: PLC0415
    from api.server import serve as server  # noqa: PLC0415 - Ray takes seconds that --help need not wait for

    stream = log_stream.stream_of(config.pool.data_dir, f"serve-{config.server.port}")
    standard_error = log_stream.begin(config.pool.log_level, stream, echo=True)
    announce = partial(print, file=sys.stdout, flush=True)
    try:
        with redirect_stdout(sys.stderr), relayed(stream.parent, standard_error):  # Ray prints
            asyncio.run(server.serve(config, announce))
    except ConfigError as error:
        log.error(UNUSABLE, extra={"problem": str(error)})  # noqa: TRY400 - it says all there is
        raise typer.Exit(1) from None
    except PoolError as error:
        log.error("The pool cannot be served", extra={"problem": str(error)})  # noqa: TRY400
        raise typer.Exit(1) from None
    except asyncio.CancelledError:
        log.warning("Stopped before it was ready, or while it was stopping")
        raise typer.Exit(130) from None
    except Exception:
        log.critical("The service has failed", exc_info=True)
        raise typer.Exit(1) from None

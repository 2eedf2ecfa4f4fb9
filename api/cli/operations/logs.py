"""``claude-pool logs``: what all processes of the pool on this machine say."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Annotated

import typer

from actors.telemetry.log_follower import LogFollower
from actors.telemetry.log_stream import FOLDER
from api.cli.serve import DEFAULT_CONFIG, ConfigPath
from api.cli.service import complain
from pool.config import load
from pool.errors import ConfigError

LOOK_SECONDS = 0.2

Lines = Annotated[int, typer.Option("--lines", "-n", min=0, help="Begin with so many lines.")]


def logs(config: ConfigPath = DEFAULT_CONFIG, *, lines: Lines = 20) -> None:
    """Follow the log of the pool: of its services, its router and its subscriptions, as one.

    Each process on this machine has a stream of its own, a file of JSON lines below
    `<data_dir>/logs/`; this prints the last lines of all of them, and what comes, until Ctrl-C.
    """
    try:
        folder = load(config).pool.data_dir / FOLDER
    except ConfigError as error:
        complain("The configuration cannot be used", str(error))
        raise typer.Exit(1) from None
    if not folder.is_dir():
        complain("No pool has run here", f"there is no {folder}: begin with `claude-pool serve`")
        raise typer.Exit(1)
    follower = LogFollower(folder)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        _print(follower.last(lines))
        while True:
            time.sleep(LOOK_SECONDS)
            _print(follower.new())


def _print(lines: list[bytes]) -> None:
    for line in lines:
        sys.stdout.buffer.write(line + b"\n")
    sys.stdout.flush()

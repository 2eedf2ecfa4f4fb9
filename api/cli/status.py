"""``claude-pool status``: what every subscription has spent, and what it can take."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from api.cli.display.board import board
from api.cli.service import AsJson, Service, asking

REFRESH_SECONDS = 1.0

IsLive = Annotated[bool, typer.Option("--live", help="Go on showing it until Ctrl-C.")]


@asking
def status(
    asked: Service,
    *,
    live: IsLive = False,
    as_json: AsJson = False,
) -> None:
    """Show every subscription: its state, block, week, health and work.

    The block is a fixed span of five hours (the last of a day: four), the week the last seven
    days. A percentage marked Anthropic comes from a limit that Anthropic reported itself.
    """
    if as_json:
        typer.echo(asked.pool().model_dump_json(indent=2))
    elif live:
        _watch(asked)
    else:
        Console().print(_shown(asked))


def _shown(asked: Service) -> RenderableType:
    return board(asked.subscriptions(), asked.pool())


def _watch(asked: Service) -> None:
    try:
        with Live(_shown(asked), auto_refresh=False) as screen:
            while True:
                time.sleep(REFRESH_SECONDS)
                screen.update(_shown(asked), refresh=True)
    except KeyboardInterrupt:
        return

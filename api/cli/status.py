"""``claude-pool status``: what every subscription has spent, and what it can take."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from api.cli.display.board import board
from api.cli.service import AsJson, Service, asking
from api.cli.top.command import watch

IsLive = Annotated[bool, typer.Option("--live", help="The same as `claude-pool top`.")]


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
        watch(asked)
    else:
        Console().print(board(asked.subscriptions(), asked.pool()))

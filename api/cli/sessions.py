"""``claude-pool sessions``: the conversations of a running service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from api.cli.display.board import plain, span
from api.cli.service import AsJson, Service, asking, given, show_json, understood
from pool.executions.session import Session
from pool.storage.paging import Page

commands = typer.Typer(
    no_args_is_help=True, help="List, show or forget the conversations of a running service."
)

Id = Annotated[str, typer.Argument(help="The session's id.", metavar="ID")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="How many at most.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where the list before ended.")]
Subscription = Annotated[str | None, typer.Option(help="Those that live there.")]


@commands.command("list")
@asking
def list_(
    asked: Service,
    *,
    subscription: Subscription = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """Show the sessions, those used last first."""
    params = given(limit=limit, cursor=cursor, subscription_id=subscription)
    value = asked.ask("GET", "/v1/sessions", params=params).value
    if as_json:
        show_json(value)
        return
    page = understood(Page[Session], value)
    Console().print(_table(page.items) if page.items else "There are no sessions.")
    if page.next_cursor is not None:
        typer.echo(f"more with --cursor {page.next_cursor}")


@commands.command()
@asking
def show(asked: Service, id_: Id, *, as_json: AsJson = False) -> None:
    """Show one session, and the subscriptions that it has been at."""
    value = asked.ask("GET", f"/v1/sessions/{id_}").value
    if as_json:
        show_json(value)
        return
    session = understood(Session, value)
    Console().print(_table([session]), _moves(session))


@commands.command()
@asking
def forget(asked: Service, id_: Id) -> None:
    """Remove a session and its transcripts. What its turns cost stays recorded."""
    asked.ask("DELETE", f"/v1/sessions/{id_}")
    typer.echo(f"{id_} is forgotten")


def _table(sessions: Sequence[Session]) -> RenderableType:
    now = datetime.now(UTC)
    table = plain()
    for heading in ("session", "lives at", "state", "used"):
        table.add_column(heading, no_wrap=True)
    table.add_column("moving")
    for each in sessions:
        rested = max(0.0, (now - each.last_used_at).total_seconds())
        moving = "" if each.fetch_from is None else f"from {each.fetch_from}, at its next turn"
        table.add_row(
            each.id,
            Text(each.subscription_id),
            each.state.value,
            f"{span(rested)} ago",
            Text(moving),
        )
    return table


def _moves(session: Session) -> RenderableType:
    if not session.moves:
        return "It has been nowhere else."
    table = plain("moved at", "from", "to")
    for each in session.moves:
        table.add_row(
            f"{each.moved_at:%Y-%m-%d %H:%M:%S} UTC",
            Text(each.from_subscription_id),
            Text(each.to_subscription_id),
        )
    return table

"""``claude-pool keys``: who may call a running service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from api.cli.display.board import plain
from api.cli.service import AsJson, Service, asking, errors, given, show_json, understood
from pool.keys.api_keys import DEFAULT_GRACE_SECONDS, ShownKey
from pool.values import instant_text

commands = typer.Typer(
    no_args_is_help=True,
    help="Create, list, revoke or rotate the keys of a running service.",
)

Id = Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.", metavar="ID")]
Many = list[str] | None


@commands.command()
@asking
def create(
    asked: Service,
    name: Annotated[
        str, typer.Argument(help="Whose key it is. Idempotency keys are kept apart by it.")
    ],
    *,
    tenant: Annotated[
        str | None,
        typer.Option(help="The team it belongs to: its keys see each other's work. Default: none."),
    ] = None,
    scope: Annotated[
        Many,
        typer.Option(
            help="execute, read (the pool), read_all (everybody's), report (usage), admin; may be "
            "repeated. Default: the first two."
        ),
    ] = None,
    requests_per_minute: Annotated[float | None, typer.Option(help="Requests a minute.")] = None,
    burst: Annotated[int | None, typer.Option(help="Requests at once beyond it.")] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(help="Executions that run or wait at once.")
    ] = None,
    daily_budget: Annotated[str | None, typer.Option(help="US dollars a day, in UTC.")] = None,
    weekly_budget: Annotated[str | None, typer.Option(help="US dollars in seven days.")] = None,
    max_request: Annotated[
        str | None,
        typer.Option(help="US dollars held for one request; one with tools is stopped there."),
    ] = None,
    model: Annotated[
        Many, typer.Option(help="A pattern of models; may be repeated. Default: all.")
    ] = None,
    subscription: Annotated[
        Many, typer.Option(help="A pattern of subscriptions; may be repeated. Default: all.")
    ] = None,
    tool: Annotated[
        Many, typer.Option(help="A tool of the CLI to grant; may be repeated. Default: none.")
    ] = None,
    directory: Annotated[
        Many, typer.Option(help="A directory to work in; may be repeated. Default: none.")
    ] = None,
    expires_in_days: Annotated[float | None, typer.Option(min=0.001, max=36_500)] = None,
) -> None:
    """Make a key and print it, alone, on standard output. It is never shown again."""
    expires_at = None
    if expires_in_days is not None:
        expires_at = instant_text(datetime.now(UTC) + timedelta(days=expires_in_days))
    body = given(
        name=name,
        tenant=tenant,
        scopes=scope,
        requests_per_minute=requests_per_minute,
        burst=burst,
        max_concurrent=max_concurrent,
        daily_budget_usd=daily_budget,
        weekly_budget_usd=weekly_budget,
        max_request_usd=max_request,
        models=model,
        subscriptions=subscription,
        tools=tool,
        working_directories=directory,
        expires_at=expires_at,
    )
    _tell(asked.ask("POST", "/v1/keys", body).value, "is made; keep it, it is not shown again")


@commands.command("list")
@asking
def list_(asked: Service, *, as_json: AsJson = False) -> None:
    """Show every key with what it may do and has used, a line each."""
    value = asked.ask("GET", "/v1/keys").value
    if as_json:
        show_json(value)
        return
    Console().print(_table([understood(ShownKey, each) for each in value["items"]]))


@commands.command()
@asking
def revoke(asked: Service, id_: Id) -> None:
    """Let a key open nothing any more. What it has running goes on."""
    asked.ask("DELETE", f"/v1/keys/{id_}")
    typer.echo(f"{id_} is revoked")


@commands.command()
@asking
def rotate(
    asked: Service,
    id_: Id,
    *,
    grace_seconds: Annotated[
        float, typer.Option(help="For how long the old secret stays valid.")
    ] = DEFAULT_GRACE_SECONDS,
) -> None:
    """Give a key a new secret and print it, alone, on standard output."""
    params = {"grace_seconds": grace_seconds}
    issued = asked.ask("POST", f"/v1/keys/{id_}/rotate", params=params).value
    _tell(issued, f"is rotated; the old secret is valid for another {grace_seconds:g} s")


def _tell(issued: Any, what: str) -> None:
    """The secret where a program reads it, and everything else where a person does."""
    key = understood(ShownKey, issued["key"])
    errors.print(f"{key.name} ({key.id}) {what}:", markup=False, highlight=False)
    typer.echo(issued["secret"])


def _table(keys: list[ShownKey]) -> Table:
    table = plain("id", "name", "tenant", "scopes", "limits", "USD used", "state")
    for key in keys:
        scopes = ", ".join(key.scopes)
        tenant = key.tenant or "-"
        table.add_row(key.id, key.name, tenant, scopes, _limits(key), _used(key), _state(key))
    return table


def _limits(key: ShownKey) -> str:
    each = {
        "/min": key.requests_per_minute,
        " at once": key.max_concurrent,
        " USD/day": key.daily_budget_usd,
        " USD/week": key.weekly_budget_usd,
        " USD each": key.max_request_usd,
    }
    return ", ".join(f"{float(limit):g}{unit}" for unit, limit in each.items() if limit) or "none"


def _used(key: ShownKey) -> str:
    if key.used is None:
        return "-"
    used = key.used
    return f"{used.today_usd:.2f} today, {used.week_usd:.2f} in 7 days"


def _state(key: ShownKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d %H:%M} UTC"
    if key.expires_at is not None:
        word = "expired" if key.has_expired(datetime.now(UTC)) else "until"
        return f"{word} {key.expires_at:%Y-%m-%d %H:%M} UTC"
    return "in pool.toml" if key.declared else "valid"

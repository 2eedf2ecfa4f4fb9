"""``claude-pool subscriptions``: the registry of a running service."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.display.board import board
from api.cli.service import (
    DEFAULT_KEY_ENV,
    DEFAULT_URL,
    AsJson,
    KeyEnv,
    Service,
    Url,
    service,
    understood,
)
from pool.subscriptions.report import Report

commands = typer.Typer(
    no_args_is_help=True,
    help="List, show, add, pause, resume, drain or remove the subscriptions of a running service.",
)

Id = Annotated[str, typer.Argument(help="The subscription's id.", metavar="ID")]


@commands.command("list")
def list_(
    *, as_json: AsJson = False, url: Url = DEFAULT_URL, key_env: KeyEnv = DEFAULT_KEY_ENV
) -> None:
    """Show every subscription, a line each."""
    with service(url, key_env) as asked:
        if as_json:
            _echo(asked.ask("GET", "/v1/subscriptions").value)
            return
        Console().print(board(asked.subscriptions(), asked.pool()))


@commands.command()
def show(
    id_: Id, *, as_json: AsJson = False, url: Url = DEFAULT_URL, key_env: KeyEnv = DEFAULT_KEY_ENV
) -> None:
    """Show one subscription, with what its health score is made of and Anthropic's windows."""
    with service(url, key_env) as asked:
        value = asked.ask("GET", f"/v1/subscriptions/{id_}").value
        if as_json:
            _echo(value)
            return
        report = understood(Report, value)
        Console().print(board([report], asked.pool()), _health(report), _windows(report))


@commands.command()
def add(
    id_: Id,
    *,
    config_dir: Annotated[
        str | None, typer.Option(help="The CLI's own directory, with its login and sessions.")
    ] = None,
    oauth_token_env: Annotated[
        str | None, typer.Option(help="The service's variable that holds a setup-token.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="The service's variable that holds an API key.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Whose subscription it is.")] = None,
    kind: Annotated[str | None, typer.Option(help="pro, max, team, api_key ...")] = None,
    weekly_budget: Annotated[str | None, typer.Option(help="US dollars for seven days.")] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Runs at once.")] = None,
    max_queued: Annotated[int | None, typer.Option(help="Runs that may wait.")] = None,
    weight: Annotated[float | None, typer.Option(help="Plan size, 1.0 is usual.")] = None,
    url: Url = DEFAULT_URL,
    key_env: KeyEnv = DEFAULT_KEY_ENV,
) -> None:
    """Add a subscription to the running service.

    Directory and variable are looked up where the service runs. Name a config directory with a
    login, or the variable of one credential. What pool.toml declares needs no adding.
    """
    named = {"oauth_token_env": oauth_token_env, "api_key_env": api_key_env}
    credential = {name: value for name, value in named.items() if value is not None}
    wanted = {
        "id": id_,
        "config_dir": config_dir,
        "credential": credential or None,
        "email": email,
        "kind": kind,
        "weekly_budget_usd": weekly_budget,
        "max_concurrent": max_concurrent,
        "max_queued": max_queued,
        "weight": weight,
    }
    body = {name: value for name, value in wanted.items() if value is not None}
    with service(url, key_env) as asked:
        _tell(asked, "POST", "/v1/subscriptions", body)


@commands.command()
def pause(id_: Id, url: Url = DEFAULT_URL, key_env: KeyEnv = DEFAULT_KEY_ENV) -> None:
    """Take no new work; what runs or waits goes on."""
    _order(id_, "pause", url, key_env)


@commands.command()
def resume(id_: Id, url: Url = DEFAULT_URL, key_env: KeyEnv = DEFAULT_KEY_ENV) -> None:
    """Take work again, after a pause, a drain or a cooldown."""
    _order(id_, "resume", url, key_env)


@commands.command()
def drain(id_: Id, url: Url = DEFAULT_URL, key_env: KeyEnv = DEFAULT_KEY_ENV) -> None:
    """End what runs or waits and take nothing new: the step before remove."""
    _order(id_, "drain", url, key_env)


@commands.command()
def remove(id_: Id, url: Url = DEFAULT_URL, key_env: KeyEnv = DEFAULT_KEY_ENV) -> None:
    """Forget a subscription that has no work left. Its records stay on disk."""
    with service(url, key_env) as asked:
        asked.ask("DELETE", f"/v1/subscriptions/{id_}")
        typer.echo(f"{id_} is removed")


def _order(id_: str, order: str, url: str, key_env: str) -> None:
    with service(url, key_env) as asked:
        _tell(asked, "POST", f"/v1/subscriptions/{id_}/{order}")


def _tell(asked: Service, method: str, path: str, body: Any = None) -> None:
    """Ask for something, and say how the subscription stands now."""
    report = understood(Report, asked.ask(method, path, body).value)
    typer.echo(f"{report.id} is {report.state}: {report.state_reason}")


def _echo(value: Any) -> None:
    Console(soft_wrap=True).print_json(data=value)


def _health(report: Report) -> Table:
    table = Table("points", "of the health score", box=None, pad_edge=False, header_style="bold")
    for each in report.health.components:
        table.add_row(f"{each.points + 0:+.1f}", Text(each.sentence))
    return table


def _windows(report: Report) -> Table | str:
    if not report.windows:
        return "Anthropic has reported no limits yet."
    table = Table(
        "Anthropic's window", "used", "resets at", "seen", box=None, pad_edge=False,
        header_style="bold",
    )  # fmt: skip
    for name, window in report.windows.items():
        used = "?" if window.utilization is None else f"{100 * window.utilization:.1f}%"
        resets = "?" if window.resets_at is None else f"{window.resets_at:%Y-%m-%d %H:%M} UTC"
        seen = f"{window.age_seconds:.0f} s ago" + ("" if window.fresh else ", no longer counts")
        table.add_row(name, used, resets, seen)
    return table

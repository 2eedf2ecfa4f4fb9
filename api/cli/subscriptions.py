"""``claude-pool subscriptions``: the registry of a running service."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.display.board import board, dollars, plain
from api.cli.service import AsJson, Service, asking, given, show_json, understood
from pool.subscriptions.report import Report
from pool.usage.retraction import RetractedUsage

commands = typer.Typer(
    no_args_is_help=True,
    help="List, show, add, pause, resume, drain or remove the subscriptions of a running service, "
    "or take back usage that was reported for one.",
)

Id = Annotated[str, typer.Argument(help="The subscription's id.", metavar="ID")]


@commands.command("list")
@asking
def list_(asked: Service, *, as_json: AsJson = False) -> None:
    """Show every subscription, a line each."""
    if as_json:
        show_json(asked.ask("GET", "/v1/subscriptions").value)
        return
    Console().print(board(asked.subscriptions(), asked.pool()))


@commands.command()
@asking
def show(asked: Service, id_: Id, *, as_json: AsJson = False) -> None:
    """Show one subscription, with what its health score is made of and Anthropic's windows."""
    value = asked.ask("GET", f"/v1/subscriptions/{id_}").value
    if as_json:
        show_json(value)
        return
    report = understood(Report, value)
    Console().print(board([report], asked.pool()), health_table(report), windows_table(report))


@commands.command()
@asking
def add(
    asked: Service,
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
) -> None:
    """Add a subscription to the running service.

    Directory and variable are looked up where the service runs. Name a config directory with a
    login, or the variable of one credential. What pool.toml declares needs no adding.
    """
    body = given(
        id=id_,
        config_dir=config_dir,
        credential=given(oauth_token_env=oauth_token_env, api_key_env=api_key_env) or None,
        email=email,
        kind=kind,
        weekly_budget_usd=weekly_budget,
        max_concurrent=max_concurrent,
        max_queued=max_queued,
        weight=weight,
    )
    _tell(asked, "/v1/subscriptions", body)


@commands.command()
@asking
def pause(asked: Service, id_: Id) -> None:
    """Give a subscription no new work; what runs or waits there goes on."""
    _tell(asked, f"/v1/subscriptions/{id_}/pause")


@commands.command()
@asking
def resume(asked: Service, id_: Id) -> None:
    """Give a subscription work again, after a pause, a drain or a cooldown."""
    _tell(asked, f"/v1/subscriptions/{id_}/resume")


@commands.command()
@asking
def drain(asked: Service, id_: Id) -> None:
    """Let a subscription end what runs or waits there, and give it nothing new: then remove it."""
    _tell(asked, f"/v1/subscriptions/{id_}/drain")


@commands.command()
@asking
def remove(asked: Service, id_: Id) -> None:
    """Forget a subscription that has no work left. Its records stay on disk."""
    asked.ask("DELETE", f"/v1/subscriptions/{id_}")
    typer.echo(f"{id_} is removed")


@commands.command()
@asking
def retract_usage(
    asked: Service,
    id_: Id,
    records: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of usage records: GET /v1/subscriptions/ID/usage has them."),
    ] = None,
    *,
    source: Annotated[
        str | None,
        typer.Option(help="Instead of ids: all records of a source, external or outside."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="With --source: the begin of the period, ISO 8601.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Its end.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever reads the records.")] = None,
) -> None:
    """Take back usage from outside the pool that was reported by mistake."""
    body = given(ids=records or None, source=source, since=since, until=until, reason=reason)
    taken, cost, more = 0, Decimal(0), True
    while more:
        answer = asked.ask("POST", f"/v1/subscriptions/{id_}/usage/retract", body)
        retracted = understood(RetractedUsage, answer.value)
        taken, cost, more = (
            taken + len(retracted.records),
            cost + retracted.cost_usd,
            retracted.more,
        )
    typer.echo(f"{id_}: {taken} records taken back, {dollars(cost)}")


def _tell(asked: Service, path: str, body: Any = None) -> None:
    """Order something, and say how the subscription stands now."""
    report = understood(Report, asked.ask("POST", path, body).value)
    typer.echo(f"{report.id} is {report.state}: {report.state_reason}")


def health_table(report: Report) -> Table:
    table = plain("points", "of the health score")
    for each in report.health.components:
        table.add_row(f"{each.points + 0:+.1f}", Text(each.sentence))
    return table


def windows_table(report: Report) -> Table | str:
    if not report.windows:
        return "Anthropic has reported no limits yet."
    table = plain("Anthropic's window", "used", "resets at", "seen", "the one before left")
    for name, window in report.windows.items():
        used = "?" if window.utilization is None else f"{100 * window.utilization:.1f}%"
        resets = "?" if window.resets_at is None else f"{window.resets_at:%Y-%m-%d %H:%M} UTC"
        seen = f"{window.age_seconds:.0f} s ago" + ("" if window.fresh else ", no longer counts")
        table.add_row(name, used, resets, seen, _left(report, name))
    return table


def _left(report: Report, name: str) -> str:
    forecast = report.forecast.windows.get(name)
    if forecast is None or forecast.past is None:
        return "?"
    past = forecast.past
    worth = "" if past.unused_usd is None else f" ({dollars(past.unused_usd)})"
    return f"{past.unused_percent:.0f}%{worth}"

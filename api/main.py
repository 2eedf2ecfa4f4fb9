"""``claude-pool``: the command line.

Commands stand in ``api.cli``; this module only names them. Whatever is slow to load (Ray, the web
framework, the HTTP client) is loaded by the command that needs it.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from api.cli import explain, keys, run, serve, sessions, status, subscriptions, usage
from api.cli.operations import backup, doctor, logs, migrate_store, nodes, reconcile
from api.cli.top import command as top
from api.demo import command as demo
from pool.config import spare_loopback

app = typer.Typer(
    name="claude-pool",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
    epilog="Begin with `claude-pool demo`, which spends nothing; then write a pool.toml, "
    "check it with `claude-pool doctor`, and `claude-pool serve`.",
)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"claude-pool {version('claude-subscription-pool')}")
        raise typer.Exit


@app.callback()
def main(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _print_version(wanted=wanted),
            is_eager=True,
            help="Print the version and end.",
        ),
    ] = False,
) -> None:
    """A pool of Claude subscriptions: it runs prompts where there is headroom, and knows what each
    subscription has spent.

    All commands but `serve`, `doctor`, `logs`, `migrate-store` and `demo` speak with a running
    service, found at CLAUDE_POOL_URL (by default this machine, port 8600), with the key in
    CLAUDE_POOL_KEY if it wants one.
    """
    spare_loopback()


app.command()(serve.serve)
app.command()(run.run)
app.command()(status.status)
app.command()(top.top)
app.command()(explain.explain)
app.command()(usage.usage)
app.add_typer(subscriptions.commands, name="subscriptions")
app.add_typer(sessions.commands, name="sessions")
app.add_typer(keys.commands, name="keys")
app.command()(reconcile.reconcile)
app.command()(nodes.nodes)
app.command()(doctor.doctor)
app.command()(logs.logs)
app.command()(backup.backup)
app.command(name="migrate-store")(migrate_store.migrate_store)
app.command()(demo.demo)

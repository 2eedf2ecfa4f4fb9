"""``claude-pool``: the command line.

Commands stand in ``api.cli``; this module only names them. Who asks for one waits for what that one
needs, and who asks for help for none: to load them all takes three times as long. Whatever else is
slow to load (Ray, the web framework, the HTTP client) is loaded by what needs it of a command.
"""

from __future__ import annotations

from importlib.metadata import version
from pkgutil import resolve_name
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

COMMANDS = {
    "serve": ("api.cli.serve:serve", "Run the pool and serve it over HTTP."),
    "run": ("api.cli.run:run", "Run PROMPT on the pool and print the answer as it comes."),
    "status": (
        "api.cli.status:status",
        "Show every subscription: its state, block, week, health and work.",
    ),
    "top": (
        "api.cli.top.command:top",
        "Watch the pool: is it safe, who runs dry first, what runs, what needs attention.",
    ),
    "explain": ("api.cli.explain:explain", "Explain why an execution went where it went."),
    "usage": (
        "api.cli.usage:usage",
        "Show what was used: a table by what you name, and on a terminal a chart of the days.",
    ),
    "subscriptions": (
        "api.cli.subscriptions:commands",
        (
            "List, show, add, pause, resume, drain or remove the subscriptions of a running "
            "service, or take back usage that was reported for one."
        ),
    ),
    "sessions": (
        "api.cli.sessions:commands",
        "List, show or forget the conversations of a running service.",
    ),
    "keys": (
        "api.cli.keys:commands",
        "Create, list, revoke or rotate the keys of a running service.",
    ),
    "reconcile": (
        "api.cli.operations.reconcile:reconcile",
        "Compare what the pool recorded with what Anthropic reports, hour by hour and day by day.",
    ),
    "nodes": (
        "api.cli.operations.nodes:nodes",
        "Show the nodes of the pool's Ray, and which subscriptions are where.",
    ),
    "doctor": (
        "api.cli.operations.doctor:doctor",
        "Check a configuration on this machine, before it is served.",
    ),
    "logs": (
        "api.cli.operations.logs:logs",
        "Follow the log of the pool: of its services, its router and its subscriptions, as one.",
    ),
    "backup": (
        "api.cli.operations.backup:backup",
        "Copy the records of a running pool into a new folder, while it goes on.",
    ),
    "migrate-store": (
        "api.cli.operations.migrate_store:migrate_store",
        "Copy everything that the pool has kept into another, empty store, and verify it there.",
    ),
    "demo": (
        "api.demo.command:demo",
        (
            "See the pool at work, in under a minute, without an account and without spending "
            "anything."
        ),
    ),
}
"""Where each is, a function or a group of them, and how its own help begins."""


class _Commands(TyperGroup):
    """Knows all commands by name, and loads the one that is asked for."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, name and loaded(name), rest


def loaded(name: str) -> Any:
    """A command as Typer makes it of its function, or of its group."""
    alone, found = typer.Typer(rich_markup_mode="markdown"), resolve_name(COMMANDS[name][0])
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    return get_group(alone).commands[name]


def _not_loaded() -> None:
    """In the place of each command in the list of all."""


app = typer.Typer(
    name="claude-pool",
    cls=_Commands,
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
    from pool.config import spare_loopback  # noqa: PLC0415 - --help need not wait for it

    spare_loopback()


for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(_not_loaded)

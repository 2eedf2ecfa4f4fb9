"""``claude-pool nodes``: the machines of a running pool, and what of it is where."""

from __future__ import annotations

from collections.abc import Iterable

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.service import AsJson, Service, asking, show_json, understood
from pool.nodes.overview import Node, NodeList


@asking
def nodes(asked: Service, *, as_json: AsJson = False) -> None:
    """Show the nodes of the pool's Ray, and which subscriptions are where.

    A node's name is the same after any restart of Ray or of the machine. Exit code 1 where a
    subscription can be on no node as it is configured: the reason is shown.
    """
    value = asked.ask("GET", "/v1/nodes").value
    found = understood(NodeList, value)
    if as_json:
        show_json(value)
    else:
        console = Console()
        console.print(_table(found.items))
        for each in found.unplaced:
            console.print(Text(f"{each.subscription_id}: {each.reason}", style="bold red"))
    if found.unplaced:
        raise typer.Exit(1)


def _table(items: Iterable[Node]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("node", "host", "address", "state", "running", "queued", "subscriptions"):
        table.add_column(heading, overflow="fold")
    for node in items:
        table.add_row(
            *(node.id or "-", node.hostname or "-", node.address, _state(node)),
            *(str(node.running), str(node.queued), ", ".join(node.subscriptions)),
        )
    return table


def _state(node: Node) -> Text:
    if not node.alive:
        return Text("gone", style="bold red")
    if node.answers:
        return Text(node.problem, style="bold red") if node.problem else Text("alive")
    since = f" since {node.silent_since:%H:%M:%S}" if node.silent_since else ""
    return Text(f"silent{since}", style="yellow")

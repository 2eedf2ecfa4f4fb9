"""``claude-pool reconcile``: the pool's records beside Anthropic's reports."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.service import AsJson, Service, asking, complain, understood
from pool.reconciliation.findings import Finding, Reconciliation, ReconciliationOrder
from pool.storage.paging import Page
from pool.values import instant_text

POLL_SECONDS = 1.0

Since = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="In UTC. Default: 24 hours ago."),
]
Until = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="In UTC. Default: now."),
]
OrganizationId = Annotated[str | None, typer.Option("--organization", help="Only this one.")]
Wait = Annotated[
    float,
    typer.Option(min=0, help="Seconds to wait for results. Anthropic allows a poll a minute."),
]


@asking
def reconcile(
    asked: Service,
    *,
    since: Since = None,
    until: Until = None,
    organization: OrganizationId = None,
    wait: Wait = 300,
    as_json: AsJson = False,
) -> None:
    """Compare what the pool recorded with what Anthropic reports, hour by hour and day by day.

    Exit code 1 where a report could not be had, or a difference is beyond the threshold; what has
    not ended, or not come yet, stays pending and is compared by the service later.
    """
    now = datetime.now(UTC)
    body = {
        "starts_at": instant_text(_utc(since) or now - timedelta(days=1)),
        "ends_at": instant_text(_utc(until) or now),
        "organization_id": organization,
    }
    answer = asked.ask("POST", "/v1/reconciliations", body)
    rows = _results(asked, understood(ReconciliationOrder, answer.value), wait)
    if as_json:
        typer.echo(Page[Reconciliation](items=tuple(rows)).model_dump_json(indent=2))
    else:
        Console().print(_table(rows))
    troubled = [row for row in rows if row.problem is not None or row.exceeds]
    if troubled:
        complain("Look at these", f"{len(troubled)} of {len(rows)} hours and days")
        raise typer.Exit(1)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _results(asked: Service, order: ReconciliationOrder, wait: float) -> list[Reconciliation]:
    """The list of the range, once nothing in it is due any more, or the wait is over."""
    deadline = time.monotonic() + wait
    while True:
        rows = [row for each in order.organizations for row in _listed(asked, order, each)]
        if time.monotonic() >= deadline or not any(map(_is_due, rows)):
            return rows
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _is_due(row: Reconciliation) -> bool:
    at = row.next_attempt_at
    return row.state == "pending" and at is not None and at <= datetime.now(UTC)


def _listed(asked: Service, order: ReconciliationOrder, organization: str) -> list[Reconciliation]:
    params: dict[str, Any] = {
        "organization_id": organization,
        "since": instant_text(order.starts_at),
        "until": instant_text(order.ends_at),
        "limit": 200,
    }
    rows: list[Reconciliation] = []
    while True:
        value = asked.ask("GET", "/v1/reconciliations", params=params).value
        page = understood(Page[Reconciliation], value)
        rows += page.items
        if page.next_cursor is None:
            return rows
        params = {**params, "cursor": page.next_cursor}


def _table(rows: list[Reconciliation]) -> Table:
    table = Table("begins (UTC)", "report", "what", "verdict", "local", "remote", "difference")
    for row in reversed(rows):
        begins = f"{row.starts_at:%Y-%m-%d %H:%M}"
        for line in _lines(row):
            table.add_row(*map(Text, (begins, row.kind.value, *line)))
    return table


def _lines(row: Reconciliation) -> list[tuple[str, ...]]:
    if row.problem is not None:
        return [("", row.state, row.problem.detail, "", "")]
    return [_line(each) for each in row.findings] or [("", row.verdict, "", "", "")]


def _line(finding: Finding) -> tuple[str, ...]:
    what = (finding.email, finding.model, finding.subscription_id)
    if finding.difference is None:
        return " ".join(filter(None, what)), finding.verdict, finding.reason or "", "", ""
    sides = (finding.local, finding.remote, finding.difference)
    amounts = [
        "-" if side is None else "?" if side.cost_usd is None else f"{side.cost_usd:.4f} USD"
        for side in sides
    ]
    mark = " !" if finding.exceeds else ""
    return " ".join(filter(None, what)), finding.verdict + mark, *amounts

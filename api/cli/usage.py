"""``claude-pool usage``: what was used, by day, model, key and so on.

On a terminal a table and a chart; in a pipe the data alone, as CSV unless JSON lines are asked for.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.display.board import plain
from api.cli.display.chart import DayChart, money
from api.cli.display.words import printable
from api.cli.service import Service, asking, complain, given, understood
from api.web.usage_lines import csv_lines, json_lines
from pool.keys.own_usage import OwnUsage
from pool.usage.breakdown.breakdown import UsageBreakdown, UsageRow, part_of
from pool.usage.breakdown.groups import CostSource
from pool.usage.breakdown.question import GroupBy, Grouping, parse_grouping
from pool.usage.records import UsageReport
from pool.values import instant_text

DAYS_SHOWN = 7
_HEADINGS = ("records", "cost", "input", "output", "cache writes", "cache reads")


class Form(StrEnum):
    """The form in which usage is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON_LINES = "jsonl"


By = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        help="day, block, model, session, key, subscription, or tag:KEY for a key of the requests' "
        "metadata that pool.tags names. Repeat it for up to three. Default: day.",
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"],
        help="In UTC. Default: the beginning of the day, six days before --until.",
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"],
        help="In UTC; a day alone means its beginning. Default: now.",
    ),
]
SubscriptionId = Annotated[str | None, typer.Option("--subscription", help="Only this one.")]
As = Annotated[
    Form | None, typer.Option("--format", help="Default: a table on a terminal, else CSV.")
]


_GLANCE = (("today", "today"), ("block", "this block"), ("week", "seven days"))


def _glance(own: OwnUsage) -> Table:
    """A line for each time, and one for each model in it."""
    table = plain("", "model", "cost", "input", "output")
    for name, title in _GLANCE:
        spent: UsageReport = getattr(own, name)
        for model, each in ((None, spent), *spent.models.items()):
            tokens = (_count(each.input_tokens), _count(each.output_tokens))
            shown = Text(printable(model) if model else "")
            table.add_row("" if model else title, shown, money(each.cost_usd), *tokens)
    return table


def _left(own: OwnUsage) -> Iterator[str]:
    for title in ("daily", "weekly") if own.budgets else ():
        budget = getattr(own.budgets, f"{title}_usd")
        if budget is not None:
            left = getattr(own.budgets, f"{title}_left_usd")
            yield f"{money(left)} of the {title} budget of {money(budget)} are left"


@asking
def usage(
    asked: Service,
    *,
    by: By = None,
    since: Since = None,
    until: Until = None,
    subscription: SubscriptionId = None,
    written_as: As = None,
    own: Annotated[
        bool, typer.Option("--own", help="Your key's: today, this block, seven days, what is left.")
    ] = False,
) -> None:
    """Show what was used: a table by what you name, and on a terminal a chart of the days.

    Days and blocks are those of UTC. Of what is older than the pool keeps its records, only days,
    blocks and models are known.
    """
    if own:
        seen = understood(OwnUsage, asked.ask("GET", "/v1/usage/own").value)
        Console().print(_glance(seen))
        for line in _left(seen):
            typer.echo(line)
        return
    is_terminal = sys.stdout.isatty()
    form = written_as or (Form.TABLE if is_terminal else Form.CSV)
    groupings = [_group_by(each) for each in by or [Grouping.DAY]]
    params = {**_range(since, until), "subscription_id": subscription}
    found = _asked(asked, params, groupings)
    if form is Form.TABLE:
        console = Console()
        console.print(_table(found))
        if is_terminal and found.items:
            console.print()
            console.print(_chart(asked, params))
    else:
        for line in csv_lines(found) if form is Form.CSV else json_lines(found):
            sys.stdout.write(line)
    if not found.is_complete:
        detail = "of a part of this time the pool keeps no records, or only whole blocks"
        complain("These sums are not of the whole range", detail)


def _group_by(text: str) -> GroupBy:
    try:
        return parse_grouping(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--by") from None


def _range(since: datetime | None, until: datetime | None) -> dict[str, str]:
    end = datetime.now(UTC) if until is None else until.replace(tzinfo=UTC)
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    begin = midnight - timedelta(days=DAYS_SHOWN - 1) if since is None else since
    return {"since": instant_text(begin.replace(tzinfo=UTC)), "until": instant_text(end)}


def _asked(asked: Service, params: dict[str, Any], by: Sequence[GroupBy]) -> UsageBreakdown:
    wanted = {**given(**params), "group_by": [str(each) for each in by]}
    return understood(UsageBreakdown, asked.ask("GET", "/v1/usage", params=wanted).value)


def _chart(asked: Service, params: dict[str, Any]) -> DayChart:
    """By day and subscription; where there is but one, by day and model."""
    found = _asked(asked, params, [Grouping.DAY, Grouping.SUBSCRIPTION])
    costs = _costs(found, Grouping.SUBSCRIPTION)
    if len({part for parts in costs.values() for part in parts}) < 2:
        costs = _costs(_asked(asked, params, [Grouping.DAY, Grouping.MODEL]), Grouping.MODEL)
    last = (found.until - timedelta(microseconds=1)).date()
    return DayChart(costs, found.since.date(), last)


def _costs(found: UsageBreakdown, part: Grouping) -> dict[date, dict[str, Decimal]]:
    costs: dict[date, dict[str, Decimal]] = defaultdict(dict)
    for row in found.items:
        costs[date.fromisoformat(str(row.day))][printable(part_of(row, part))] = row.cost_usd
    return costs


def _table(found: UsageBreakdown) -> Table:
    table = Table(
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="bold",
        show_footer=bool(found.items),
    )
    for index, each in enumerate(found.group_by):
        is_time = each in {Grouping.DAY, Grouping.BLOCK}
        total = "total" if index == 0 else ""
        table.add_column(str(each), total, overflow="fold", no_wrap=is_time)
    for heading, footer in zip(_HEADINGS, _figures(found.total), strict=True):
        table.add_column(heading, footer, justify="right")
    if any(map(_sources, found.items)):
        table.add_column("of which", _sources(found.total))
    for row in found.items:
        names = [Text(_shown(each, part_of(row, each))) for each in found.group_by]
        cells: list[Text | str] = [*names, *_figures(row), _sources(row)]
        table.add_row(*cells[: len(table.columns)])
    return table


def _shown(grouping: GroupBy, name: str | None) -> str:
    if grouping is Grouping.BLOCK and name is not None:
        return f"{datetime.fromisoformat(name):%Y-%m-%d %H:%M}"
    return printable(name)


def _figures(row: UsageRow) -> tuple[str, ...]:
    return (
        "?" if row.records is None else str(row.records),
        money(row.cost_usd),
        _count(row.input_tokens),
        _count(row.output_tokens),
        _count(row.cache_creation_input_tokens),
        _count(row.cache_read_input_tokens),
    )


def _sources(row: UsageRow) -> str:
    """Where the cost comes from, unless all of it is what the CLI said of the pool's own runs."""
    others = {each: cost for each, cost in row.cost_usd_by_source.items() if each != CostSource.CLI}
    return ", ".join(f"{source} {money(cost)}" for source, cost in others.items())


def _count(tokens: int) -> str:
    """Tokens with three digits or more, and their thousands or millions."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if abs(tokens) >= size:
            return f"{tokens / (1000 if unit == 'k' else size):.1f}{unit}"
    return str(tokens)

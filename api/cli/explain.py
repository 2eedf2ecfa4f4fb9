"""``claude-pool explain``: why an execution went where it went."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from api.cli.display.board import plain, spent
from api.cli.service import AsJson, Service, asking, understood
from pool.executions.attempt import Attempt
from pool.executions.execution import Execution
from pool.executions.routing_record import Candidate, Routing

ExecutionId = Annotated[str, typer.Argument(help="The execution's id.", metavar="EXECUTION_ID")]


@asking
def explain(
    asked: Service,
    execution_id: ExecutionId,
    *,
    as_json: AsJson = False,
) -> None:
    """Explain why an execution went where it went.

    Shows the subscriptions as they stood when the last one was chosen, the best first: the score
    with what it is made of, or why it refused and until when; of many the best eight, and counts of
    the others. Then every run for it, with its end and its cost.
    """
    execution = understood(Execution, asked.ask("GET", f"/v1/executions/{execution_id}").value)
    if as_json:
        typer.echo(execution.routing.model_dump_json(indent=2))
        return
    Console().print(explanation(execution))


def explanation(execution: Execution) -> RenderableType:
    """The reason, the candidates and the attempts."""
    reason = Text.assemble(
        *("It went to ", (execution.subscription_id, "bold"), f" ({execution.status.value}): "),
        f"{execution.routing.reason}.",
    )
    others = (_others(execution.routing),) if _is_shortened(execution.routing) else ()
    return Group(reason, "", _candidates(execution), *others, "", _attempts(execution))


def _candidates(execution: Execution) -> RenderableType:
    if not execution.routing.candidates:
        return "No subscription was compared."
    table = plain()
    table.add_column("subscription", no_wrap=True)
    table.add_column("tier", justify="right")
    table.add_column("score", justify="right")
    table.add_column("made of, or refused because")
    table.add_column("report's age", justify="right", no_wrap=True)
    for each in execution.routing.candidates:
        is_chosen = each.subscription_id == execution.subscription_id
        table.add_row(
            Text(each.subscription_id, style="bold green" if is_chosen else ""),
            str(each.tier),
            f"{each.score:.1f}",
            _why(each),
            f"{each.report_age_seconds:.1f} s",
        )
    return table


def _is_shortened(routing: Routing) -> bool:
    return routing.considered > len(routing.candidates)


def _others(routing: Routing) -> str:
    """How all of them stood, where not every one has a line."""
    counts = ", ".join(f"{count} {cause}" for cause, count in routing.refused.items())
    refused = f"; refused: {counts}" if counts else ""
    return f"{routing.considered} were compared, {routing.usable} could take it{refused}."


def _why(candidate: Candidate) -> Text:
    """What made the score, without the terms that made nothing; or the refusal with its expiry."""
    if candidate.refusal is not None:
        cause = f"{candidate.refusal_cause}: " if candidate.refusal_cause else ""
        text = Text(f"{cause}{candidate.refusal}", style="red")
        if candidate.refused_until is not None:
            text.append(f"\nuntil {candidate.refused_until:%Y-%m-%d %H:%M:%S} UTC", style="dim")
        return text
    terms = (
        f"{each.points + 0:+.1f}  {each.sentence}" for each in candidate.components if each.points
    )
    return Text("\n".join(terms) or "nothing is held against it")


def _attempts(execution: Execution) -> RenderableType:
    if not execution.attempts:
        return "Nothing was run for it."
    table = plain()
    table.add_column("attempt", justify="right")
    has_nodes = any(each.node for each in execution.attempts)
    for heading in ("subscription", "outcome", "process", *(("node",) if has_nodes else ())):
        table.add_column(heading, no_wrap=True)
    table.add_column("cost", justify="right", no_wrap=True)
    table.add_column("reason")
    for number, each in enumerate(execution.attempts, start=1):
        table.add_row(*_row(number, each, has_nodes=has_nodes))
    return table


def _row(number: int, attempt: Attempt, *, has_nodes: bool) -> tuple[RenderableType, ...]:
    return (
        str(number),
        Text(attempt.subscription_id),
        Text(attempt.outcome),
        Text("" if attempt.process is None else attempt.process.value),
        *((Text(attempt.node or ""),) if has_nodes else ()),
        spent(attempt),
        Text(attempt.reason or ""),
    )

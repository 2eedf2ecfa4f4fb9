"""``claude-pool run``: one prompt, one answer.

The execution is started and then asked for by its id, so that a connection that breaks, or Ctrl-C,
loses nothing.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from api.cli.board import dollars
from api.cli.service import (
    DEFAULT_KEY_ENV,
    DEFAULT_URL,
    AsJson,
    KeyEnv,
    Service,
    Url,
    complain,
    errors,
    service,
    understood,
)
from pool.execution import Execution, ExecutionStatus

Prompt = Annotated[str, typer.Argument(help="What the model should do; `-` reads standard input.")]
Model = Annotated[str | None, typer.Option(help="A model; without it the pool's default.")]
Session = Annotated[str | None, typer.Option(help="Go on with this session (its id).")]
Subscription = Annotated[
    str | None, typer.Option(help="Run there or nowhere; without it the healthiest is taken.")
]
SystemPrompt = Annotated[str | None, typer.Option(help="Instead of the pool's system prompt.")]
MaxTurns = Annotated[int | None, typer.Option(help="Stop after so many turns.")]
MaxBudget = Annotated[str | None, typer.Option(help="Stop at a cost of so many US dollars.")]
Timeout = Annotated[float | None, typer.Option(help="Stop after so many seconds.")]
Background = Annotated[
    bool, typer.Option(help="Do not wait: print the execution's id as soon as it is admitted.")
]


def run(
    prompt: Prompt,
    *,
    model: Model = None,
    session: Session = None,
    subscription: Subscription = None,
    system_prompt: SystemPrompt = None,
    max_turns: MaxTurns = None,
    max_budget: MaxBudget = None,
    timeout: Timeout = None,
    background: Background = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_env: KeyEnv = DEFAULT_KEY_ENV,
) -> None:
    """Run PROMPT on the pool and print the answer.

    The answer goes to standard output; what it cost, where it ran and its session to standard
    error. Exit code 0 when it succeeded, 1 otherwise.
    """
    wanted = {
        "prompt": sys.stdin.read() if prompt == "-" else prompt,
        "model": model,
        "session_id": session,
        "subscription_id": subscription,
        "system_prompt": system_prompt,
        "max_turns": max_turns,
        "max_budget_usd": max_budget,
        "timeout_seconds": timeout,
    }
    body = {name: value for name, value in wanted.items() if value is not None}
    with service(url, key_env) as asked:
        execution = _started(asked, body)
        if not background:
            execution = _awaited(asked, execution)
    _print(execution, as_json=as_json)
    if not background and execution.status is not ExecutionStatus.SUCCEEDED:
        raise typer.Exit(1)


def _started(asked: Service, body: dict[str, Any]) -> Execution:
    answer = asked.ask("POST", "/v1/executions", {**body, "background": True})
    return understood(Execution, answer.value)


def _awaited(asked: Service, execution: Execution) -> Execution:
    try:
        return asked.ended(execution)
    except KeyboardInterrupt:
        complain("Not waiting any longer", f"execution {execution.id} goes on")
        raise typer.Exit(130) from None


def _print(execution: Execution, *, as_json: bool) -> None:
    if as_json:
        typer.echo(execution.model_dump_json(indent=2))
    elif not execution.status.is_final:
        typer.echo(execution.id)
    elif execution.structured_output is not None:
        typer.echo(json.dumps(execution.structured_output, indent=2))
    elif execution.result is not None:
        typer.echo(execution.result)
    if execution.error is not None:
        complain(f"{execution.status}, {execution.error.type}", execution.error.message)
    errors.print(summary(execution), style="dim", markup=False, highlight=False)


def summary(execution: Execution) -> str:
    """Cost, subscription and session in a line."""
    took = "" if execution.duration_ms is None else f" in {execution.duration_ms / 1000:.1f} s"
    return (
        f"{execution.status}{took}, {dollars(execution.usage.cost_usd)} on "
        f"{execution.subscription_id}, session {execution.session_id}"
    )

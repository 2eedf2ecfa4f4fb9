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
from pool.progress import Ended, Text, Withdrawn

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
Stream = Annotated[bool, typer.Option("--stream", help="Print the answer as it comes.")]


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
    stream: Stream = False,
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
    is_shown = stream and not background and not as_json
    with service(url, key_env) as asked:
        execution = _started(asked, {**body, "stream": is_shown})
        if is_shown:
            is_shown = _shown(asked, execution)
        if not background:
            execution = _awaited(asked, execution)
    _print(execution, as_json=as_json, is_shown=is_shown)
    if not background and execution.status is not ExecutionStatus.SUCCEEDED:
        raise typer.Exit(1)


def _started(asked: Service, body: dict[str, Any]) -> Execution:
    answer = asked.ask("POST", "/v1/executions", {**body, "background": True})
    return understood(Execution, answer.value)


def _shown(asked: Service, execution: Execution) -> bool:
    """Print the answer as it comes. Whether it was seen to its end."""
    try:
        for progress in asked.progress(execution):
            match progress:
                case Text(text=text):
                    typer.echo(text, nl=False)
                case Withdrawn():
                    typer.echo()
                    complain("The API broke off", "the last piece is void, it begins anew")
                case Ended():
                    typer.echo()
                    return True
                case _:
                    pass
    except KeyboardInterrupt:
        raise _left(execution) from None
    complain("The connection broke", "the whole answer follows once it is there")
    return False


def _left(execution: Execution) -> typer.Exit:
    complain("Not waiting any longer", f"execution {execution.id} goes on")
    return typer.Exit(130)


def _awaited(asked: Service, execution: Execution) -> Execution:
    try:
        return asked.ended(execution)
    except KeyboardInterrupt:
        raise _left(execution) from None


def _print(execution: Execution, *, as_json: bool, is_shown: bool) -> None:
    if is_shown:
        pass
    elif as_json:
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

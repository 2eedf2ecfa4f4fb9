"""``claude-pool run``: one prompt, one answer.

The execution is started and then asked for by its id, so that a connection that breaks, or Ctrl-C,
loses nothing.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from api.cli.display.board import spent
from api.cli.display.waiting import Waiting
from api.cli.display.words import printable
from api.cli.service import AsJson, Service, asking, complain, errors, given, understood
from pool.executions.execution import Execution
from pool.executions.progress import (
    AttemptBegan,
    AttemptFailed,
    Ended,
    Text,
    ToolAnswered,
    ToolUse,
    Withdrawn,
)
from pool.executions.status import ExecutionStatus

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


@asking
def run(
    asked: Service,
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
) -> None:
    """Run PROMPT on the pool and print the answer as it comes.

    The answer goes to standard output; where it went, what it cost and why it failed to standard
    error. Exit code 0 when it succeeded, 1 otherwise.
    """
    body = given(
        prompt=sys.stdin.read() if prompt == "-" else prompt,
        model=model,
        session_id=session,
        subscription_id=subscription,
        system_prompt=system_prompt,
        max_turns=max_turns,
        max_budget_usd=max_budget,
        timeout_seconds=timeout,
    )
    streams, shown = not background and not as_json, ""
    with Waiting(errors, "Asking the pool") as waiting:
        execution = _started(asked, {**body, "stream": streams})
        waiting.for_(f"{execution.id} waits for {execution.subscription_id}")
        try:
            if streams:
                shown = _show(asked, execution, waiting)
            if not background:
                execution = asked.ended(execution)
        except KeyboardInterrupt:
            waiting.over()
            complain("Not waiting any longer", f"execution {execution.id} goes on")
            raise typer.Exit(130) from None
    _print(execution, as_json=as_json, shown=shown)
    if not background and execution.status is not ExecutionStatus.SUCCEEDED:
        raise typer.Exit(1)


def _started(asked: Service, body: dict[str, Any]) -> Execution:
    answer = asked.ask("POST", "/v1/executions", {**body, "background": True})
    return understood(Execution, answer.value)


def _show(asked: Service, execution: Execution, waiting: Waiting) -> str:
    """Print the answer as it comes; what was printed of it. Where both go to one terminal, the
    answer takes the place of what was waited for.
    """
    shown = ""
    for progress in asked.progress(execution):
        match progress:
            case AttemptBegan():
                _remark(
                    f"{execution.id} runs on {progress.subscription_id} with {progress.model}, "
                    f"session {progress.session_id}"
                )
                waiting.for_(f"{progress.subscription_id} works")
            case AttemptFailed(attempt=attempt):
                reason = attempt.reason or "it says no more"
                complain(f"{attempt.outcome} on {attempt.subscription_id}", reason)
            case Text(text=text):
                if sys.stdout.isatty():
                    waiting.over()
                typer.echo(text, nl=False)
                shown += text
            case ToolUse(name=name):
                waiting.for_(f"it uses {printable(name)}")
            case ToolAnswered():
                waiting.for_("it goes on")
            case Withdrawn(text_characters=void) if void:
                typer.echo()
                complain("The API broke off", f"the last {void} characters come anew")
                shown = shown[:-void]
            case Ended():
                return shown
            case _:
                pass
    complain("The connection broke", "the rest of the answer follows once it is there")
    return shown


def _print(execution: Execution, *, as_json: bool, shown: str) -> None:
    """Print what was not shown yet."""
    if as_json:
        typer.echo(execution.model_dump_json(indent=2))
    elif not execution.status.is_final:
        typer.echo(execution.id)
    elif (rest := _rest(_answer(execution), shown)) is not None:
        typer.echo(rest)
    if execution.error is not None:
        complain(f"{execution.status}, {execution.error.type}", execution.error.message)
    _remark(summary(execution))


def _answer(execution: Execution) -> str | None:
    if execution.structured_output is not None:
        return json.dumps(execution.structured_output, indent=2)
    return execution.result


def _rest(answer: str | None, shown: str) -> str | None:
    """What follows what was shown, which may be of several turns; None where nothing does."""
    if answer is None or (shown and shown.endswith(answer)):
        return "" if shown else None
    return answer.removeprefix(shown) if answer.startswith(shown) else f"\n{answer}"


def _remark(text: str) -> None:
    errors.print(text, style="dim", markup=False, highlight=False)


def summary(execution: Execution) -> str:
    """Cost, subscription and session in a line."""
    took = "" if execution.duration_ms is None else f" in {execution.duration_ms / 1000:.1f} s"
    return (
        f"{execution.status}{took}, {spent(execution.usage)} on "
        f"{execution.subscription_id}, session {execution.session_id}"
    )

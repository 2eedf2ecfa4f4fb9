"""A CLI that is a script: it prints what a case says it printed, and ends as the case says.

It stands where the real one would, behind the real supervisor, so that what a case shows went the
whole way: spool, reader, conclusion, ledger, HTTP. Each subscription has its own runs, in turn; the
last one is repeated.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SONNET = "claude-sonnet-4-5"
COST = "0.0006"

_SCRIPT = """#!/bin/sh
case "$1" in
    --version) echo "2.1.332 (Claude Code)"; exit 0 ;;
    auth) echo '{"loggedIn":true}'; exit 0 ;;
esac
read -r opening
read -r prompt || exit 0
turn=0
until mkdir "$RUNS/turn-$turn" 2>/dev/null; do turn=$((turn + 1)); done
[ -e "$RUNS/$turn.sh" ] || turn=last
. "$RUNS/$turn.sh"
"""


@dataclass(frozen=True)
class Prints:
    """One run. A line is a message, raw text or bytes; a number is a pause in seconds."""

    lines: tuple[dict[str, Any] | str | bytes | float, ...]
    exit: int = 0
    stderr: str = ""
    kills_itself: str | None = None
    """A signal that ends it, instead of an exit."""
    lingers: bool = False
    """It has printed everything, and does not exit by itself."""
    never: str | None = None
    """Why no process was started at all; only of runs that are read without one."""


def prints(*lines: dict[str, Any] | str | bytes | float, **how: Any) -> Prints:
    return Prints(lines, **how)


def init(model: str = SONNET) -> dict[str, Any]:
    return {"type": "system", "subtype": "init", "model": model, "claude_code_version": "2.1.332"}


def ok(text: str = "yes", **fields: Any) -> dict[str, Any]:
    """A success that cost 0.0006 USD."""
    used = {"inputTokens": 100, "outputTokens": 20, "costUSD": float(COST)}
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "num_turns": 1,
        "result": text,
        "stop_reason": "end_turn",
        "total_cost_usd": float(COST),
        "modelUsage": {SONNET: used},
        "model_usage_since_last_result": {SONNET: used},
        **fields,
    }


def error(status: int | None, type_: str | None, text: str, **fields: Any) -> dict[str, Any]:
    """An error result that cost nothing. The CLI calls API errors ``success``."""
    return {
        "type": "result",
        "subtype": "success",
        "is_error": True,
        "num_turns": 1,
        "result": text,
        "api_error_status": status,
        "api_error_type": type_,
        "total_cost_usd": 0,
        "modelUsage": {},
        "model_usage_since_last_result": {},
        **fields,
    }


def says(text: str, **message: Any) -> dict[str, Any]:
    """An ``assistant`` message of the main thread."""
    used = {"input_tokens": 100, "output_tokens": 1}
    content = [{"type": "text", "text": text}]
    body = {"id": "msg_1", "model": SONNET, "role": "assistant", "content": content, "usage": used}
    return {"type": "assistant", "parent_tool_use_id": None, "message": {**body, **message}}


def limit(status: str, type_: str | None = None, **info: Any) -> dict[str, Any]:
    """A ``rate_limit_event``."""
    named = {} if type_ is None else {"rateLimitType": type_}
    return {"type": "rate_limit_event", "rate_limit_info": {"status": status, **named, **info}}


OK = prints(init(), ok(), exit=0)
"""The run of a subscription with which nothing is wrong."""


def failed(status: int | None, type_: str | None, text: str, *before: Any, **fields: Any) -> Prints:
    """A run that ends with an error result."""
    return prints(init(), *before, error(status, type_, text, **fields), exit=1)


def scripted_cli(folder: Path) -> Path:
    """The script, to be run with ``RUNS`` naming a folder that ``write_runs`` has filled."""
    path = folder / "claude"
    path.write_text(_SCRIPT, encoding="utf-8")
    path.chmod(0o700)
    return path


def write_runs(folder: Path, runs: Sequence[Prints]) -> None:
    folder.mkdir(parents=True)
    for number, run in enumerate(runs):
        commands = "\n".join(_commands(folder, number, run))
        name = "last" if number == len(runs) - 1 else str(number)
        (folder / f"{name}.sh").write_text(commands + "\n", encoding="utf-8")


def _commands(folder: Path, number: int, run: Prints) -> list[str]:
    commands = []
    for index, line in enumerate(run.lines):
        if isinstance(line, float | int):
            commands.append(f"sleep {line}")
            continue
        file = folder / f"{number}-{index}"
        file.write_bytes(as_printed(line))
        commands.append(f"cat {shlex.quote(str(file))}")
    if run.stderr:
        commands.append(f"printf '%s\\n' {shlex.quote(run.stderr)} >&2")
    if run.lingers:
        commands.append("exec sleep 600")
    commands.append(f"kill -{run.kills_itself} $$" if run.kills_itself else f"exit {run.exit}")
    return commands


def as_printed(line: dict[str, Any] | str | bytes) -> bytes:
    """A line as it stands in the output."""
    match line:
        case dict():
            return json.dumps(line).encode() + b"\n"
        case str():
            return line.encode() + b"\n"
        case _:
            return line

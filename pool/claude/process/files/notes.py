"""The notes that a supervisor leaves in the directory of its process, as read by the pool.
Blocking.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, ValidationError

from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.process.identity import ProcessIdentity, boot_id
from pool.values import Value

_STDERR_BYTES = 4096


class Started(Value):
    """What the supervisor noted before it executed the CLI."""

    supervisor: ProcessIdentity
    cli: ProcessIdentity
    monotonic: float
    """The system's monotonic clock at the start; comparable within one boot."""


class Stretch(Value):
    """A run's part in the output of its process, from the instant at which it was begun."""

    begins: NonNegativeInt
    begun_at: float
    """On the system's monotonic clock."""
    answer_ends: NonNegativeInt | None = None
    """Where the result ends that is the run's: what is printed after it is no part of the answer.
    None where there is none, or where nobody was left to see it."""
    answered_at: float | None = None
    ended_by: EndedBy | None = None
    """Why the run was made to end, where it was and has given a result nevertheless."""
    ends: NonNegativeInt | None = None
    """Where the next run's stretch begins."""


def started_in(process_dir: Path) -> Started | None:
    """Who runs; None where no CLI was ever executed."""
    fields = _json(process_dir / "started")
    boot = fields.get("boot_id")
    try:
        return Started(
            supervisor=ProcessIdentity(
                pid=fields["supervisor_pid"],
                start_time=fields["supervisor_start"],
                boot_id=boot,
            ),
            cli=ProcessIdentity(
                pid=fields["cli_pid"], start_time=fields["cli_start"], boot_id=boot
            ),
            monotonic=fields["monotonic"],
        )
    except (KeyError, ValidationError):
        return None


def stretch_in(process_dir: Path, run_id: str) -> Stretch | None:
    """A run's part in what was printed; None where it was not begun."""
    known: dict[str, str] = {}
    for what, place, at, why, run in _turns(process_dir):
        if run == run_id and what == "begins":
            known = {"begins": place, "begun_at": at}
        elif run == run_id:
            known |= {"answer_ends": place, "answered_at": at}
            known |= {} if why == "-" else {"ended_by": why}
        elif known:
            known["ends"] = place
            break
    try:
        return Stretch.model_validate_strings(known)
    except ValidationError:  # not begun; or the power went as it was noted
        return None


def ending_in(process_dir: Path, run_id: str) -> Ending:
    """How the process ended, in which a run was to be, as far as anybody saw it."""
    fields, stderr = _json(process_dir / "ended"), _stderr(process_dir)
    if fields:
        return _ending(fields, stderr)
    if (started := started_in(process_dir)) is not None:
        lost = started.supervisor.boot_id != boot_id()
        return Ending(stderr=stderr, may_have_lost_output=lost)
    asked = {"ended_by": "request"} if (process_dir / f"stop.{run_id}").exists() else {}
    return _ending({"started": 0, **asked}, stderr)


def _turns(process_dir: Path) -> list[list[str]]:
    """What is noted of runs, line by line, each with the run's name last."""
    try:
        text = (process_dir / "turns").read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return []
    *lines, _ = text.split("\n")
    return [words for line in lines if len(words := line.split(" ", 4)) == 5]


def _stderr(process_dir: Path) -> str:
    try:
        with (process_dir / "stderr").open("rb") as file:
            return file.read(_STDERR_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _ending(fields: dict[str, Any], stderr: str) -> Ending:
    errno = fields.get("exec_errno")
    known = {name: fields[name] for name in Ending.model_fields if name in fields}
    problem = os.strerror(errno) if isinstance(errno, int) else None
    return Ending.model_validate({**known, "problem": problem, "stderr": stderr})


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}

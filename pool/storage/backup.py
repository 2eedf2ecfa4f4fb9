"""A backup of a running pool, as its caller sees it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pool.values import Instant, Value

CONTENTS = "contents.json"
"""Says in the folder of a backup what is in it."""
_HOLDS = (
    "ledgers, the directory and the reconciler's history: accounting, hashes of keys, and what was "
    "asked and answered by executions that had not ended, or had done so after `prompts_since`. "
    "The pool removes its own prompts and answers in time, and those of a copy with it only if you "
    "do. Logins and the CLI's transcripts of sessions are not in it."
)


class Backup(Value):
    """A folder that can take the place of the data directory. Each store in it is consistent; they
    were copied one after the other.
    """

    path: str
    """On the machine that serves the pool."""
    subscriptions: tuple[str, ...]
    bytes: int
    taken_at: Instant
    prompts_since: Instant
    """It holds prompts and answers of executions that ended after this, or had not ended."""
    holds: str = _HOLDS


def note_contents(folder: Path, backup: Backup) -> None:
    """Say in its folder what a backup holds, to this user alone. Blocking."""
    note = folder / CONTENTS
    note.touch(mode=0o600)
    note.write_text(backup.model_dump_json(indent=2), encoding="utf-8")


def backup_name(now: datetime) -> str:
    """The folder of a backup: ``2026-01-28T15-00-00.000Z``."""
    return now.strftime("%Y-%m-%dT%H-%M-%S.") + f"{now.microsecond // 1000:03}Z"

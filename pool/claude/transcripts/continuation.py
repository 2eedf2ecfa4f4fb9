"""Whether somebody else went on in a session since it was looked at. Blocking.

A process that is kept knows its session by heart, and reads its transcript no more. Whoever goes on
with the session elsewhere, such as a person with ``claude --resume`` in the same config directory,
adds to the transcript what the process would not know of: the next turn has to read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pool.claude.output.lines import message_of
from pool.claude.output.tail import Tail, piece_of

MOST_BYTES = 1_000_000
"""Added meanwhile; a process that has nothing to do adds some lines of its own accounts."""

Sizes = Mapping[Path, int]


def sizes_of(config_dir: Path, session_id: str) -> Sizes:
    """The files of a session's transcript, and how long they are."""
    found = (config_dir / "projects").glob(f"*/{session_id}.jsonl")
    return {path: path.stat().st_size for path in found}


def has_gone_on(before: Sizes, config_dir: Path, session_id: str) -> bool:
    """Whether anything was asked in a session since, or its transcript is another one."""
    now = sizes_of(config_dir, session_id)
    if now.keys() != before.keys():
        return True
    return any(_has_gone_on(path, before[path], size) for path, size in now.items())


def _has_gone_on(path: Path, before: int, size: int) -> bool:
    if size == before:
        return False
    if not before < size <= before + MOST_BYTES:
        return True
    entries = (message_of(line.text) for line in Tail(partial(piece_of, path), before).lines())
    return any(_is_prompt(entry) for entry in entries)


def _is_prompt(entry: Mapping[str, object]) -> bool:
    return entry.get("type") == "user" and entry.get("promptSource") not in (None, "system")

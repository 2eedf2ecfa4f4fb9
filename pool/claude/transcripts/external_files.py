"""The transcripts of a config directory, read as they grow.

Each file is read once, and later only what was added to it; a file that was replaced or shortened
is read anew, with its session. How far it was read is kept in memory alone: what is told twice is
counted once. What the pool itself has copied here was answered at another subscription, and is
counted there. Blocking: not for the event loop.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pool.claude.output.lines import MAX_LINE_BYTES
from pool.claude.transcripts.copy import copied_bytes
from pool.claude.transcripts.external_usage import ExternalAnswer, ExternalUsageReader
from pool.claude.transcripts.files import MAX_SUBAGENTS

MAX_SESSIONS = 2_000
"""The sessions that were used last; no directory of a week has as many."""
MAX_BYTES_AT_ONCE = 64 * 1024 * 1024
"""Of one reading; the rest comes with the next."""


@dataclass
class _File:
    inode: int
    reader: ExternalUsageReader
    copied: int
    """Bytes from its beginning that tell of another subscription."""
    offset: int = 0
    """Behind the line that was read last."""

    def take(self, line: bytes) -> ExternalAnswer | None:
        seen = self.reader.take(line)
        return seen if self.offset > self.copied else None


@dataclass
class _Session:
    prompt_ids: set[str] = field(default_factory=set)
    files: dict[Path, _File] = field(default_factory=dict)


class ExternalFiles:
    """The sessions of one config directory, and how far each was read."""

    def __init__(self) -> None:
        self._sessions: dict[Path, _Session] = {}

    def read(self, config_dir: Path, since: datetime) -> tuple[ExternalAnswer, ...]:
        """What was added since the last reading to sessions that were used after ``since``."""
        found: list[ExternalAnswer] = []
        paths = _used_after(config_dir, since)
        self._sessions = {path: self._sessions.get(path, _Session()) for path in paths}
        left = MAX_BYTES_AT_ONCE
        for path in paths:
            if left <= 0:
                break
            if _was_replaced(self._sessions[path]):
                self._sessions[path] = _Session()
            session = self._sessions[path]
            for file in _files(path):
                for line in _added(file, session, left):
                    left -= len(line)
                    seen = session.files[file].take(line)
                    if seen is not None and seen.at >= since:
                        found.append(seen)
        return tuple(found)


def _used_after(config_dir: Path, since: datetime) -> list[Path]:
    """The sessions' own files, those that were used last first."""
    found: list[tuple[float, Path]] = []
    for path in (config_dir / "projects").glob("*/*.jsonl"):
        try:
            used_at = path.stat().st_mtime
        except OSError:
            continue
        if used_at >= since.timestamp():
            found.append((used_at, path))
    return [path for _, path in sorted(found, reverse=True)[:MAX_SESSIONS]]


def _files(path: Path) -> list[Path]:
    subagents = sorted(path.with_suffix("").glob("subagents/agent-*.jsonl"))
    return [path, *subagents[:MAX_SUBAGENTS]]


def _was_replaced(session: _Session) -> bool:
    for path, file in session.files.items():
        try:
            status = path.stat()
        except OSError:
            continue
        if status.st_ino != file.inode or status.st_size < file.offset:
            return True
    return False


def _added(path: Path, session: _Session, limit: int) -> Iterator[bytes]:
    """Whole lines that were added to a file; one that is still written to is left for later."""
    try:
        if not path.is_file():  # a pipe would never end
            return
        with path.open("rb") as opened:
            inode = os.fstat(opened.fileno()).st_ino
            new = _File(inode, ExternalUsageReader(session.prompt_ids), copied_bytes(path))
            file = session.files.setdefault(path, new)
            opened.seek(file.offset)
            while limit > 0 and (line := opened.readline(MAX_LINE_BYTES)):
                if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                    return
                file.offset += len(line)
                limit -= len(line)
                yield line
    except OSError:  # what cannot be read says nothing
        return

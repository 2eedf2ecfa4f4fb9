"""The transcripts of a config directory, read as they grow.

Each file is read once, and later only what was added to it; a file that was replaced or shortened
is read anew, with its session. How far it was read is kept in memory alone: what is found twice is
counted once. What the pool itself has copied here was answered at another subscription, and is
counted there. Blocking: not for the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from pool.claude.output.lines import MAX_LINE_BYTES
from pool.claude.output.tail import Line, Tail, piece_of
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
    tail: Tail
    reader: ExternalUsageReader
    copied: int
    """Bytes from its beginning that tell of another subscription."""

    def added(self, most: int) -> Iterator[Line]:
        """Lines that were added to it, until so many bytes have come."""
        until = self.tail.reached + most + MAX_LINE_BYTES
        with suppress(OSError):  # what cannot be read says nothing
            for line in self.tail.lines(until=until) if most > 0 else ():
                yield line
                most -= line.ends - line.begins
                if most <= 0:
                    return

    def take(self, line: Line) -> ExternalAnswer | None:
        seen = self.reader.take(line.text)
        return seen if line.ends > self.copied else None


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
            if _was_replaced(self._sessions[path]):
                self._sessions[path] = _Session()
            session = self._sessions[path]
            for file in _opened(path, session):
                for line in file.added(left):
                    left -= line.ends - line.begins
                    seen = file.take(line)
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


def _opened(path: Path, session: _Session) -> Iterator[_File]:
    """A session's own file, then those of its subagents."""
    subagents = sorted(path.with_suffix("").glob("subagents/agent-*.jsonl"))
    for each in (path, *subagents[:MAX_SUBAGENTS]):
        if each not in session.files:
            with suppress(OSError):
                session.files[each] = _File(
                    inode=each.stat().st_ino,
                    tail=Tail(partial(piece_of, each)),
                    reader=ExternalUsageReader(session.prompt_ids),
                    copied=copied_bytes(each),
                )
        if each in session.files:
            yield session.files[each]


def _was_replaced(session: _Session) -> bool:
    for path, file in session.files.items():
        try:
            status = path.stat()
        except OSError:
            continue
        if status.st_ino != file.inode or status.st_size < file.tail.offset:
            return True
    return False

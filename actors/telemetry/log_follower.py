"""The streams of all processes of a pool on this machine, read as one. Blocking.

A stream is a file that its process appends to, and begins anew when it is full; the one before
stands next to it. Lines come as they are; those that are found at one look, by their times.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from actors.telemetry.log_stream import BEFORE, SUFFIX

LAST_BYTES = 256_000
"""Of each stream, where its last lines are wanted."""
PIECE_BYTES = 1_000_000


class _Stream:
    """One stream, and how far it was read."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._inode: int | None = None
        self._rest = b""

    def to_end(self, last_bytes: int) -> Iterator[bytes]:
        """Its last lines; those that come later are new."""
        size = self._path.stat().st_size
        self._offset = max(0, size - last_bytes)
        lines = self.new()
        if self._offset and size > last_bytes:
            next(lines, None)  # the rest of a line
        yield from lines

    def new(self) -> Iterator[bytes]:
        """Its new lines, the last ones of a file that was full included."""
        with suppress(FileNotFoundError):
            inode = self._path.stat().st_ino
            if self._inode not in {None, inode}:
                before = self._path.with_name(self._path.name + BEFORE)
                with suppress(FileNotFoundError):
                    if before.stat().st_ino == self._inode:
                        yield from self._read(before)
                self._offset, self._rest = 0, b""
            self._inode = inode
            yield from self._read(self._path)

    def _read(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._offset:
                self._offset, self._rest = 0, b""
            file.seek(self._offset)
            while piece := file.read(PIECE_BYTES):
                self._offset += len(piece)
                *lines, self._rest = (self._rest + piece).split(b"\n")
                yield from lines


class LogFollower:
    """Follows the streams of a folder whose names are wanted."""

    def __init__(self, folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> None:
        self._folder = folder
        self._wanted = wanted
        self._streams: dict[str, _Stream] = {}

    def last(self, count: int) -> list[bytes]:
        """The last lines of all, so many; those that come later are new."""
        last_bytes = LAST_BYTES if count else 0
        found = [line for each in self._found() for line in each.to_end(last_bytes)]
        return sorted(found, key=_time)[-count:]

    def new(self) -> list[bytes]:
        """The lines that came since."""
        return sorted((line for each in self._found() for line in each.new()), key=_time)

    def _found(self) -> list[_Stream]:
        with suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if path.suffix == SUFFIX and self._wanted(path.stem):
                    self._streams.setdefault(path.name, _Stream(path))
        return list(self._streams.values())


def _time(line: bytes) -> str:
    with suppress(ValueError, AttributeError):
        return str(json.loads(line).get("time", ""))
    return ""

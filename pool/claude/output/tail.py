"""A file that others append to, read line by line from a position on: a run's output, a session's
transcript. Blocking: to be called on a thread.

A line counts once it has its end. No more than a piece of the file and one line of at most
``MAX_LINE_BYTES`` is held; a longer line is passed over, wherever the reading of it ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pool.claude.output.lines import MAX_LINE_BYTES

PIECE_BYTES = 64_000
TOO_LONG = b"?"
"""In the place of a line that is too long: no message is read from it."""


@dataclass(frozen=True)
class Piece:
    """A piece of a file."""

    data: bytes
    size: int
    """Of the whole file, in bytes."""
    written_at: datetime
    """When it was written to last."""


ReadPiece = Callable[[int, int], Piece | None]
"""At most so many bytes (the second) from an offset (the first); None where there is no file."""


def piece_of(path: Path, offset: int, limit: int) -> Piece | None:
    """A piece of a file; None where there is none. Raises ``OSError`` where it cannot be read."""
    try:
        if not path.is_file():  # a pipe would never end
            return None
        with path.open("rb", buffering=0) as file:
            about = os.fstat(file.fileno())
            file.seek(offset)
            data = file.read(limit) if limit else b""
    except FileNotFoundError:
        return None
    return Piece(data, about.st_size, datetime.fromtimestamp(about.st_mtime, UTC))


@dataclass(frozen=True)
class Line:
    """A line, with the bytes at which it begins and ends."""

    text: bytes
    begins: int
    ends: int
    written_at: datetime


class Tail:
    """The lines of a file after a position, each of them once."""

    def __init__(
        self, read: ReadPiece, offset: int = 0, *, max_line_bytes: int = MAX_LINE_BYTES
    ) -> None:
        self._read = read
        self._max_line_bytes = max_line_bytes
        self.offset = offset
        """The end of the line that was taken last."""
        self.reached = offset
        """How far was read: beyond that end only where a line is too long, and has no end yet."""

    def lines(self, *, until: int | None = None, is_over: bool = False) -> Iterator[Line]:
        """Whole lines that are there by now, up to ``until``; of a file that ``is_over`` also what
        follows the last of them.
        """
        text, at, length = bytearray(), self.reached, self.reached - self.offset
        written_at: datetime | None = None
        while until is None or at < until:
            piece = self._read(at, PIECE_BYTES if until is None else min(PIECE_BYTES, until - at))
            if piece is None:
                break
            at, written_at = at + len(piece.data), piece.written_at
            if not piece.data:
                break
            for part in piece.data.splitlines(keepends=True):
                length += len(part)
                if length <= self._max_line_bytes:
                    text += part
                if part.endswith(b"\n"):
                    yield self._taken(text, length, written_at)
                    text, length = bytearray(), 0
        if is_over and length and written_at is not None:
            yield self._taken(text, length, written_at)
        elif length > self._max_line_bytes:
            self.reached = at

    def _taken(self, text: bytearray, length: int, written_at: datetime) -> Line:
        begins = self.offset
        self.offset = self.reached = begins + length
        whole = bytes(text) if length <= self._max_line_bytes else TOO_LONG
        return Line(whole, begins, self.offset, written_at)

"""A page of a run's events, read from its output at a cursor. Blocking: to be called on a
thread.

What a line means can depend on lines before it, so a page goes on from a ``ReadPosition``: an end
of a line, and the reader that came there. Whoever asks from a place that nobody remembers is
brought there by reading the output from its beginning. A page ends after so many bytes, at the end
of a line; no more than that and one line is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pool.claude.output.lines import MAX_LINE_BYTES
from pool.claude.output.progress import ProgressReader
from pool.errors import InvalidRequest
from pool.executions.progress import AttemptBegan, Cursor, Event


@dataclass(frozen=True)
class Printed:
    """A piece of what a run has printed."""

    data: bytes
    size: int
    """How much it has printed in all, in bytes."""
    printed_at: datetime
    """When it printed last."""


PAGE_BYTES = 256_000
"""Of output, before a page ends."""
_PIECE_BYTES = 64_000

EventPage = Callable[[int, int], Printed | None]
"""At most so many bytes (the second) from an offset (the first)."""


@dataclass(frozen=True)
class ReadPosition:
    """An end of a line in an output, and the reader that has come there."""

    offset: int
    reader: ProgressReader


@dataclass(frozen=True)
class EventExtract:
    """What stands after a place, and the place after that."""

    events: tuple[Event, ...]
    place: ReadPosition
    is_all: bool
    """Nothing more stands there now."""


@dataclass(frozen=True)
class _Line:
    text: bytes
    begins: int
    ends: int
    printed_at: datetime


def position_at(
    read: EventPage, cursor: Cursor, attempt: AttemptBegan, *, until: int | None
) -> ReadPosition:
    """The place of a cursor, read up to from the beginning. ``InvalidRequest`` if there is none."""
    reader, offset = ProgressReader(attempt), 0
    for line in _lines(read, 0, until=until):
        if offset >= cursor.offset:
            break
        reader.read(line.text, line.printed_at)
        offset = line.ends
    if offset != cursor.offset:
        raise no_cursor(cursor)
    return ReadPosition(offset, reader)


def no_cursor(cursor: Cursor) -> InvalidRequest:
    problem = f"{str(cursor)!r} is no cursor of this execution: pass the id of an event"
    return InvalidRequest("after", problem)


def extract(
    read: EventPage, place: ReadPosition, cursor: Cursor, *, until: int | None, raw: bool = False
) -> EventExtract:
    """The events after ``cursor``, which is at ``place``. ``until`` is how far the output is read
    while it goes on; None where the run is over, and its last line may lack its end.
    """
    reader, offset, events = place.reader.copy(), place.offset, list[Event]()
    is_all = True
    for line in _lines(read, offset, until=until):
        if offset - place.offset >= PAGE_BYTES:
            is_all = False
            break
        seen = cursor.events if line.begins == place.offset else 0
        found = reader.read(line.text, line.printed_at, raw=raw)
        for number, progress in enumerate(found[seen:], seen + 1):
            after = Cursor(attempt=cursor.attempt, offset=line.ends)
            if number < len(found):
                after = Cursor(attempt=cursor.attempt, offset=line.begins, events=number)
            events.append(Event(cursor=str(after), progress=progress))
        offset = line.ends
    return EventExtract(tuple(events), ReadPosition(offset, reader), is_all)


def _lines(read: EventPage, offset: int, *, until: int | None) -> Iterator[_Line]:
    """Whole lines from an offset on; of one beyond the limit nothing but its place."""
    line, begins, length = bytearray(), offset, 0
    printed_at: datetime | None = None
    while until is None or offset < until:
        limit = _PIECE_BYTES if until is None else min(_PIECE_BYTES, until - offset)
        piece = read(offset, limit)
        if piece is None or not piece.data:
            break
        offset, printed_at = offset + len(piece.data), piece.printed_at
        for part in piece.data.splitlines(keepends=True):
            length += len(part)
            if length <= MAX_LINE_BYTES:
                line += part
            if part.endswith(b"\n"):
                text = bytes(line) if length <= MAX_LINE_BYTES else b""
                yield _Line(text, begins, begins + length, printed_at)
                begins, length = begins + length, 0
                line.clear()
    if until is None and length and printed_at is not None:
        text = bytes(line) if length <= MAX_LINE_BYTES else b""
        yield _Line(text, begins, begins + length, printed_at)

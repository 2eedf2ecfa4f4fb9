"""A page of a run's events, read from its output at a cursor. Blocking: to be called on a
thread.

What a line means can depend on lines before it, so a page goes on from a ``ReadPosition``: an end
of a line, and the reader that came there. Whoever asks from a place that nobody remembers is
brought there by reading the output from its beginning. A page ends after so many bytes, at the end
of a line; no more than that and one line is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pool.claude.output.progress import ProgressReader
from pool.claude.output.rounds import CallsRefused, RoundEnded
from pool.claude.output.tail import ReadPiece, Tail
from pool.errors import InvalidRequest
from pool.executions.progress import Cursor, Event, Progress, WaitsForCaller

PAGE_BYTES = 256_000
"""Of output, before a page ends."""


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


def position_at(
    read: ReadPiece, cursor: Cursor, reader: ProgressReader, *, until: int | None
) -> ReadPosition:
    """The place of a cursor, read up to from the beginning. ``InvalidRequest`` if there is none."""
    offset = 0
    for line in Tail(read).lines(until=until, is_over=until is None):
        if offset >= cursor.offset:
            break
        reader.read(line.text, line.written_at)
        offset = line.ends
    if offset != cursor.offset:
        raise no_cursor(cursor)
    return ReadPosition(offset, reader)


def no_cursor(cursor: Cursor) -> InvalidRequest:
    problem = f"{str(cursor)!r} is no cursor of this execution: pass the id of an event"
    return InvalidRequest("after", problem)


def extract(
    read: ReadPiece,
    place: ReadPosition,
    cursor: Cursor,
    *,
    until: int | None,
    raw: bool = False,
    rounds: Sequence[WaitsForCaller] = (),
) -> EventExtract:
    """The events after ``cursor``, which is at ``place``. ``until`` is how far the output is read
    while it goes on; None where the run is over, and its last line may lack its end. The end of a
    round is shown once it is one of ``rounds``, which are durable; nothing comes before it.
    """
    reader, offset, events = place.reader.copy(), place.offset, list[Event]()
    is_all = True
    for line in Tail(read, offset).lines(until=until, is_over=until is None):
        if offset - place.offset >= PAGE_BYTES:
            is_all = False
            break
        seen = cursor.events if line.begins == place.offset else 0
        before = reader.copy() if reader.may_end_round else reader
        read_now = reader.read(line.text, line.written_at, raw=raw)
        if (found := _with_rounds(read_now, rounds)) is None:
            reader = before
            break
        for number, progress in enumerate(found[seen:], seen + 1):
            after = Cursor(attempt=cursor.attempt, offset=line.ends)
            if number < len(found):
                after = Cursor(attempt=cursor.attempt, offset=line.begins, events=number)
            events.append(Event(cursor=str(after), progress=progress))
        offset = line.ends
    return EventExtract(tuple(events), ReadPosition(offset, reader), is_all)


def _with_rounds(
    found: Sequence[Progress | RoundEnded | CallsRefused], rounds: Sequence[WaitsForCaller]
) -> list[Progress] | None:
    """What a line says; None where it ends a round that is not durable yet."""
    events = list[Progress]()
    for each in found:
        if isinstance(each, CallsRefused):
            continue
        if not isinstance(each, RoundEnded):
            events.append(each)
        elif each.number < len(rounds):
            events.append(rounds[each.number])
        else:
            return None
    return events

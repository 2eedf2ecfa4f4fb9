"""The entries of a process's inbox, as the pool writes them and its supervisor reads them.

A line that begins with ``#``, as no JSON does, is for the supervisor, every other one for the CLI:

- ``#turn SECONDS BOUND BYTES RUN``: a run begins. The next BYTES are its lines, and it begins when
  all of them are there, so that one whose writer was killed half-way never does. From then on
  it has so many SECONDS for its result, and may print so many bytes (BOUND).
- ``#due SECONDS``: the run that has begun has so many seconds from here on for its result, however
  many it had: it waits for its caller, or goes on after that.
- ``#keep SECONDS``: from here on the process may be idle, without a turn and without a word, for so
  long; then its input ends, and it exits when it has nothing to do. At first that is not at all.

What is not whole is no entry yet; one that is not understood is passed over. (Words and no JSON:
that would take longer to load than all else here.)
"""

from __future__ import annotations

import os

_HEAD_BYTES = 4096
"""More than the first line of an entry for the supervisor has."""


class Turn:
    """A run that is to begin, with the lines that the CLI is to read for it."""

    def __init__(self, run: str, deadline: float, bound: int, lines: bytes) -> None:
        self.run = run
        self.deadline = deadline
        self.bound = bound
        self.lines = lines


class Keep:
    """How long the process may be idle from now on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Due:
    """How long the run that has begun may take from now on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Words:
    """What the CLI is to read, beside a turn or in the midst of one; nothing, of what nobody
    understands.
    """

    def __init__(self, lines: bytes) -> None:
        self.lines = lines


Entry = Turn | Keep | Due | Words


def turn(run: str, deadline: float, bound: int, lines: bytes) -> bytes:
    """The entry that begins a run, whose name is one line."""
    return f"#turn {deadline!r} {bound} {len(lines)} {run}\n".encode() + lines


def keep(seconds: float) -> bytes:
    """The entry that says for how long the process may be idle."""
    return f"#keep {seconds!r}\n".encode()


def due(seconds: float) -> bytes:
    """The entry that says how long the run that has begun may take from here on."""
    return f"#due {seconds!r}\n".encode()


def entry_at(inbox: int, offset: int) -> tuple[Entry, int] | None:
    """The entry at a place of an open inbox, and the place after it; None where it is not whole."""
    found = _span(inbox, offset)
    if found is None:
        return None
    words, begins, ends = found
    if words[:1] == [b"#keep"]:
        return Keep(float(words[1])), ends
    if words[:1] == [b"#due"]:
        return Due(float(words[1])), ends
    lines = os.pread(inbox, ends - begins, begins)
    if words[:1] == [b"#turn"]:
        return Turn(words[4].decode(), float(words[1]), int(words[2]), lines), ends
    return Words(lines), ends


def whole(inbox: int) -> int:
    """Where the last whole entry of an open inbox ends."""
    place = 0
    while (found := _span(inbox, place)) is not None:
        _, _, place = found
    return place


def _span(inbox: int, offset: int) -> tuple[list[bytes], int, int] | None:
    """The words of an entry for the supervisor, and between which places lines for the CLI stand;
    None where it is not whole.
    """
    size = os.fstat(inbox).st_size
    head = os.pread(inbox, _HEAD_BYTES, offset)
    if not head.startswith(b"#"):
        while (end := head.find(b"\n") + 1) == 0 and len(head) < size - offset:
            head += os.pread(inbox, size - offset - len(head), offset + len(head))
        return ([], offset, offset + end) if end else None
    line, end_of_line, _ = head.partition(b"\n")
    begins = offset + len(line) + 1
    if not end_of_line:
        return None
    words = line.split(b" ", 4)
    ends = begins + (int(words[3]) if words[0] == b"#turn" else 0)
    return (words, begins, ends) if ends <= size else None

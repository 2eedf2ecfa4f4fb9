"""Looks at what the CLI printed, for its size and for the result that is a run's.

One without a turn, or of a turn that a background task set off, is not: when a session is resumed,
these come before the turn that was asked for.
"""

from __future__ import annotations

import os

MOST_STARTS = 16  # braces of noise that are tried on one line, as by the module ``lines``
_PIECE_BYTES = 1 << 20


class Output:
    """The output of a process, and of the run that it serves."""

    def __init__(self, stdout: int, stderr: int) -> None:
        self._stdout, self._stderr = stdout, stderr
        self._line = bytearray()
        self.offset = 0
        """The end of the last whole line that was looked at."""
        self._is_awaited = False
        self._before = 0
        self.answer_ends: int | None = None
        """Where the result of the run ends."""
        self.other_results = 0
        """Results that are not the run's."""

    def size(self) -> int:
        """How much was printed since the run began, errors included."""
        return self._total() - self._before

    def begins(self, *, at_start: bool) -> None:
        """A run begins here; or at the start of it all, whatever was printed meanwhile."""
        while not at_start and self.look():
            continue
        self._is_awaited, self._before = True, 0 if at_start else self._total()
        self.answer_ends, self.other_results = None, 0

    def look(self) -> bool:
        """Look at the next piece; whether there was one. Never more, or a flood would hold it."""
        data = os.pread(self._stdout, _PIECE_BYTES, self.offset + len(self._line))
        first, *rest = data.split(b"\n")
        self._line += first
        for part in rest:
            self._take_line()
            self._line = bytearray(part)
        return bool(data)

    def _take_line(self) -> None:
        self.offset += len(self._line) + 1
        if not self._is_awaited:
            return
        for result in results(self._line):
            if is_the_runs(result):
                self._is_awaited, self.answer_ends = False, self.offset
                return
            self.other_results += 1

    def _total(self) -> int:
        return os.fstat(self._stdout).st_size + os.fstat(self._stderr).st_size


def is_the_runs(result: dict[str, object]) -> bool:
    """Whether a result ends the run; as ``pool.claude.output.stream`` has it."""
    origin = result.get("origin")
    if isinstance(origin, dict) and origin.get("kind") == "task-notification":
        return False
    return bool(result.get("is_error") or result.get("num_turns"))


def results(line: bytes | bytearray) -> list[dict[str, object]]:
    """The results on a line, which may have noise or other messages around them."""
    if b'"result"' not in line:
        return []
    import json  # was loaded while the CLI was starting

    decode, text = json.JSONDecoder().raw_decode, line.decode(errors="replace")
    found: list[dict[str, object]] = []
    start = text.find("{")
    for _ in range(MOST_STARTS):
        if start < 0:
            break
        try:
            message, end = decode(text, start)
        except RecursionError:
            break
        except ValueError:
            if text.startswith('{"', start):
                break
            end = start + 1
        else:
            if message.get("type") == "result":
                found.append(message)
        start = text.find("{", end)
    return found

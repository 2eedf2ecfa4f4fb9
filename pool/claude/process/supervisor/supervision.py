"""Feeds the CLI and watches over it, until it ends or has to: turn by turn, and in between."""

from __future__ import annotations

import os
import time

from .entries import Due, Entry, Keep, Turn, entry_at
from .events import Directory, signal
from .files import append_line
from .input import Input
from .ladder import INTERRUPT, Ladder
from .output import Output

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from .cli import Cli

LINGER_GRACES = 2.5
"""5 s; a CLI whose input has ended exits within 0.1 s."""
SILENT_GRACES = 30
"""60 s without output after a result that is not the run's: seen were 8 s."""
LONGEST_WAIT_SECONDS = 10.0
"""Between looks, should a piece of news be missed."""


class Inbox:
    """The inbox of a process, entry by entry."""

    def __init__(self, process_dir: str) -> None:
        self._fd = os.open(f"{process_dir}/inbox", os.O_RDONLY)
        self._offset = 0
        self._seen: tuple[int, int] | None = None
        """What the file looked like when it held no further entry."""

    def entry(self) -> tuple[Entry, int] | None:
        """The next one, if it is whole, and the place after it. It is read anew each time: one that
        was torn may be another's by the next time.
        """
        about = os.fstat(self._fd)
        looks = (about.st_size, about.st_mtime_ns)
        if looks == self._seen:
            return None
        found = entry_at(self._fd, self._offset)
        self._seen = looks if found is None else None
        return found

    def took(self, offset: int) -> None:
        self._offset = offset

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was taken yet: a turn that is there is what the CLI was started for."""
        return self._offset == 0


class Supervision:
    """One process under supervision. ``bound`` is of what it prints before its first turn."""

    def __init__(self, process_dir: str, cli: Cli, bound: int, grace: float) -> None:
        self._directory = Directory(process_dir)
        self._path = process_dir
        self._cli = cli
        self._bound = bound
        self._grace = grace
        self._inbox = Inbox(process_dir)
        self._stdin = Input(cli.stdin)
        self._output = Output(cli.stdout, cli.stderr)
        self._ladder = Ladder(grace)
        self._turn: Turn | None = None
        self._deadline = 0.0
        self._keep = 0.0
        self._spoken_at = cli.begun
        """When the last word was said to it, or its last turn ended."""
        self._printed_at = 0.0
        self._printed = 0
        self._ended_at: float | None = None
        """When its input ended with nothing left to do."""

    def until_its_end(self) -> str | None:
        """Wait for the CLI's end, and bring it about where it must be; the reason, if any."""
        was_asked = False
        self._feed(self._cli.begun)
        self._stdin.pump()
        import json  # noqa: F401 - it takes 9 ms, and a result is read with it: now it holds up nobody

        while not self._cli.has_ended():
            now = time.monotonic()
            has_news = self._output.look()
            self._hear(now)
            self._feed(now)
            self._end_where_it_must(now, was_asked=was_asked)
            self._stdin.pump()
            due_in = 0 if has_news else self._due_at() - time.monotonic()
            was_asked = self._directory.wait(due_in)
        while self._output.look():  # its last words
            continue
        self._hear(time.monotonic())
        return self._ladder.reason

    def _hear(self, now: float) -> None:
        """See whether the turn is over. One that printed more than it may is not answered."""
        if self._printed != self._output.offset:
            self._printed, self._printed_at = self._output.offset, now
        ends = self._output.answer_ends
        if self._turn is None or ends is None or self._has_printed_too_much():
            return
        self._note(f"answered {ends} {now!r} {self._ladder.reason or '-'} {self._turn.run}")
        self._turn = None
        self._spoken_at = now

    def _feed(self, now: float) -> None:
        """Take what the inbox holds, up to a turn that has to wait for the one before."""
        while not self._stdin.ends and (found := self._inbox.entry()) is not None:
            entry, after = found
            if isinstance(entry, Turn):
                if self._turn is not None:
                    return
                self._begin(entry, now)
            elif isinstance(entry, Keep):
                self._keep = entry.seconds
            elif isinstance(entry, Due):
                self._deadline = now + entry.seconds
            else:
                self._stdin.give(entry.lines)
            self._inbox.took(after)
            self._spoken_at = now

    def _begin(self, turn: Turn, now: float) -> None:
        """Begin a turn. Where it begins is noted before any of it is fed."""
        self._output.begins(at_start=self._inbox.is_untouched)
        self._turn, self._bound, self._deadline = turn, turn.bound, now + turn.deadline
        self._note(f"begins {self._output.offset} {now!r} - {turn.run}")
        self._cli.may_print(turn.bound)
        if not self._was_asked_to_stop():  # else it ends here
            self._stdin.give(turn.lines)

    def _note(self, line: str) -> None:
        append_line(f"{self._path}/turns", line)

    def _end_where_it_must(self, now: float, *, was_asked: bool) -> None:
        if self._has_nothing_to_do(now):
            self._stdin.end()  # a CLI that has nothing to do exits, and one that works goes on
        if self._turn is None and self._stdin.ends and self._ended_at is None:
            self._ended_at = now
        if self._ladder.reason is not None:
            number = self._ladder.signal_due(now)
            if number is not None:
                self._cli.kill_group(number)
            if self._output.size() > 2 * self._bound:
                self._cli.kill_group(signal.SIGKILL)
        elif was_asked or self._was_asked_to_stop():
            self._must_end("request", now)
        elif self._has_printed_too_much():
            self._must_end("output_limit", now)
        elif self._turn is not None and now >= self._deadline:
            self._must_end("deadline", now)
        elif self._ended_at is not None and now >= self._lingers_until():
            self._must_end("lingered", now)

    def _must_end(self, reason: str, now: float) -> None:
        self._ladder.begin(reason, now)
        self._stdin.end(INTERRUPT)

    def _has_printed_too_much(self) -> bool:
        return self._output.size() > self._bound

    def _was_asked_to_stop(self) -> bool:
        turn = self._turn
        return turn is not None and os.access(f"{self._path}/stop.{turn.run}", os.F_OK)

    def _has_nothing_to_do(self, now: float) -> bool:
        """Whether it is idle beyond its time, or silent after a result that was not the run's."""
        return now >= self._idle_until() if self._turn is None else now >= self._silent_until()

    def _idle_until(self) -> float:
        return self._spoken_at + self._keep

    def _silent_until(self) -> float:
        if not self._output.other_results:
            return float("inf")
        return self._printed_at + SILENT_GRACES * self._grace

    def _lingers_until(self) -> float:
        return (self._ended_at or 0.0) + LINGER_GRACES * self._grace

    def _due_at(self) -> float:
        """When there is something to be done though nothing happens."""
        due = [time.monotonic() + LONGEST_WAIT_SECONDS]
        if self._ladder.next_at is not None:
            due.append(self._ladder.next_at)
        elif self._ladder.reason is None and self._turn is not None:
            due.append(self._deadline)
            if not self._stdin.ends:
                due.append(self._silent_until())
        elif self._ladder.reason is None and self._ended_at is not None:
            due.append(self._lingers_until())
        elif self._ladder.reason is None and not self._stdin.ends:
            due.append(self._idle_until())
        return min(due)

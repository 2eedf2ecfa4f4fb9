"""The directory of one process of the CLI: its files, and the lock that says "still running".

The pool appends to the process's ``inbox``, the supervisor writes what has become of it
(``supervisor`` says what), and the CLI prints there. Nothing in it holds a credential. What callers
asked stands in ``inbox`` and what the model answered in ``stdout``, so only its user may enter,
and both go with the directory, or sooner.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from pool.claude.outcome.ending import Ending
from pool.claude.output.stream import StreamReading, reading_of
from pool.claude.output.tail import Piece, Tail, piece_of
from pool.claude.process.files.notes import Started, Stretch, ending_in, started_in, stretch_in
from pool.claude.process.identity import belonging, kill
from pool.claude.process.supervisor import entries
from pool.claude.process.supervisor.entries import Turn, entry_at, whole

_KILL_SECONDS = 1.0
LOCK_FD = 3
"""The descriptor under which a process and all that it starts inherit its lock."""

MARK = "CLAUDE_POOL_RUN"


class ProcessDirectory:
    """One process's files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def inbox(self) -> Path:
        """What is said to the process, entry by entry."""
        return self.path / "inbox"

    @property
    def stdout(self) -> Path:
        """The output of the CLI, line by line as it is printed."""
        return self.path / "stdout"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def mark(self) -> str:
        """A variable that the process and all that it starts have in their environment, and no
        others. It tells no place on this machine, since a model may read it.
        """
        return f"{MARK}={hashlib.sha256(str(self.path).encode()).hexdigest()[:32]}"

    def exists(self) -> bool:
        return self.path.is_dir()

    def create(self) -> int:
        """Make the directory and hold its lock; a descriptor that is to be inherited and closed.

        FileExistsError where it is there already: no process starts twice.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700)
        return _held(self.lock)

    def create_whole(self) -> int:
        """Do so for a process that no run has yet, under a name that nobody had: whoever looks for
        processes that are over never sees it without its lock being held.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}")
        draft.mkdir(mode=0o700)
        lock = _held(draft / self.lock.name)
        try:
            draft.rename(self.path)
        except OSError:
            os.close(lock)
            raise
        return lock

    def is_locked(self) -> bool:
        """Whether a part of the process lives."""
        try:
            lock = os.open(self.lock, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    # -- what is said to it ----------------------------------------------------------------------

    def say(self, entry: bytes) -> None:
        """Append an entry to the inbox. OSError where it cannot be whole; then it is none.

        An entry that an earlier activation could not finish is cut off first: nobody has taken it.
        """
        inbox = os.open(self.inbox, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(inbox, fcntl.LOCK_EX)
            place = whole(inbox)
            if place < os.fstat(inbox).st_size:
                os.ftruncate(inbox, place)
            rest = memoryview(entry)
            while rest:
                rest = rest[os.write(inbox, rest) :]
        finally:
            os.close(inbox)

    def end_of_inbox(self) -> int:
        """Where the next entry will stand."""
        try:
            inbox = os.open(self.inbox, os.O_RDONLY)
        except FileNotFoundError:
            return 0
        try:
            return whole(inbox)
        finally:
            os.close(inbox)

    def is_told(self, run_id: str, place: int) -> bool:
        """Whether the whole turn of a run stands at a place of the inbox."""
        try:
            inbox = os.open(self.inbox, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            found = entry_at(inbox, place)
        finally:
            os.close(inbox)
        return found is not None and isinstance(found[0], Turn) and found[0].run == run_id

    def forget_input(self) -> None:
        """Remove the inbox: it holds callers' prompts."""
        self.inbox.unlink(missing_ok=True)

    def request_stop(self, run_id: str) -> None:
        """Ask the supervisor to end a run, whoever started it, if that has not ended yet."""
        with suppress(FileNotFoundError):
            (self.path / f"stop.{run_id}").touch(mode=0o600)

    def let_go(self) -> None:
        """Have it end when it has nothing to do, now or after its turn."""
        self.say(entries.keep(0))
        (self.path / "let_go").touch(mode=0o600)

    def was_let_go_at(self) -> float | None:
        """When that was said, on the system's monotonic clock; None where it was not."""
        try:
            written_at = (self.path / "let_go").stat().st_mtime
        except OSError:
            return None
        return time.monotonic() - max(0.0, time.time() - written_at)

    # -- whose it is -----------------------------------------------------------------------------

    def serve(self, run_id: str) -> None:
        """Note that it has a run, whose output stands here until ``release``."""
        (self.path / f"run.{run_id}").touch(mode=0o600)

    def release(self, run_id: str) -> None:
        """A run is looked after; with the last of them, and the process's end, all of it goes."""
        with suppress(OSError):
            (self.path / f"run.{run_id}").unlink(missing_ok=True)
        if not self.serves():
            self.remove_if_over()

    def serves(self) -> frozenset[str]:
        """The runs whose output stands here."""
        try:
            names = [path.name for path in self.path.glob("run.*")]
        except FileNotFoundError:  # it was removed meanwhile
            return frozenset()
        return frozenset(name.partition(".")[2] for name in names)

    def end_if_nobodys(self) -> None:
        """End it at once and remove it, where it was let go and has no run: what it was given last
        never ran, so that it has nothing to write down. Blocks for a second at most.
        """
        if self.was_let_go_at() is not None and not self.serves():
            self.kill()
            self.remove_if_over()

    def remove_if_over(self) -> None:
        """Remove the directory, unless something of the process lives."""
        if self.has_ended() or not self.is_locked():
            self.remove()

    # -- what it is started with -----------------------------------------------------------------

    def note_config_dir(self, config_dir: str) -> None:
        """Keep where the CLI keeps its transcripts, for whoever settles its runs."""
        self.write("config_dir", config_dir.encode())

    def config_dir(self) -> Path | None:
        """Where the CLI keeps its transcripts, if that is known."""
        try:
            text = (self.path / "config_dir").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None
        return Path(text) if text else None

    def write(self, name: str, content: bytes) -> None:
        """Keep a file that the CLI is to read, from everybody else."""
        path = self.path / name
        path.touch(mode=0o600)
        path.write_bytes(content)

    def workplace(self) -> Path:
        """An empty directory for the CLI to work in."""
        path = self.path / "work"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    # -- what has become of it -------------------------------------------------------------------

    def started(self) -> Started | None:
        """Who runs; None where no CLI was ever executed."""
        return started_in(self.path)

    def stretch(self, run_id: str) -> Stretch | None:
        """A run's part in what was printed; None where it was not begun."""
        return stretch_in(self.path, run_id)

    def is_orphaned(self) -> bool:
        """Whether something of it lives, and its supervisor does not."""
        started = self.started()
        return started is not None and not started.supervisor.is_alive() and self.is_locked()

    def kill(self) -> None:
        """End everything that belongs to it, at once. Blocks until nothing holds its lock, or a
        second.
        """
        started = self.started()
        leader = started.cli.pid if started is not None and started.cli.is_alive() else None
        for pid in belonging(self.lock, LOCK_FD, self.mark, leader):
            kill(pid)
        until = time.monotonic() + _KILL_SECONDS
        while self.is_locked() and time.monotonic() < until:
            time.sleep(0.01)

    def has_ended(self) -> bool:
        return (self.path / "ended").exists()

    def ending(self, run_id: str) -> Ending:
        """How the process ended, in which a run was to be, as far as anybody saw it."""
        return ending_in(self.path, run_id)

    def reading(self, begins: int = 0, ends: int | None = None) -> StreamReading:
        """What the CLI printed between two places; limits are as old as the file."""
        printed = self.printed(begins, ends, 0, 0)
        if printed is None:
            return StreamReading()
        lines = Tail(partial(self.printed, begins, ends)).lines(is_over=True)
        return reading_of((line.text for line in lines), printed.written_at)

    def printed(self, begins: int, ends: int | None, offset: int, limit: int) -> Piece | None:
        """A piece of what stands between two places of the output; None where there is none."""
        most = limit if ends is None else max(0, min(limit, ends - begins - offset))
        piece = piece_of(self.stdout, begins + offset, most)
        if piece is None:
            return None
        return replace(piece, size=(piece.size if ends is None else ends) - begins)

    def remove(self) -> None:
        """Remove the directory and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def _held(lock: Path) -> int:
    fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # others hold it for an instant only, to look
    except BaseException:
        os.close(fd)
        raise
    return fd

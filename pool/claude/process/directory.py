"""The directory of one process of the CLI: its files, and the lock that says "still running".

Whoever owns the process appends to its ``inbox``, the supervisor writes what has become of it
(``supervisor`` says what), and the CLI prints there. Nothing in it holds a credential. What callers
asked stands in ``inbox`` and what the model answered in ``stdout``, so only the owner may enter,
and both go with the directory, or sooner.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, ValidationError

from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.output.stream import StreamReading, reading_of
from pool.claude.output.tail import Piece, Tail, piece_of
from pool.claude.process.identity import ProcessIdentity, boot_id
from pool.claude.process.supervisor.entries import Turn, entry_at, whole
from pool.values import Value

LOCK_FD = 3
"""The descriptor under which a process and all that it starts inherit its lock."""

MARK = "CLAUDE_POOL_RUN"
_STDERR_BYTES = 4096


class Started(Value):
    """What the supervisor noted before it executed the CLI."""

    supervisor: ProcessIdentity
    cli: ProcessIdentity
    monotonic: float
    """The system's monotonic clock at the start; comparable within one boot."""


class Stretch(Value):
    """A run's part in the output of its process, from the instant at which it was begun."""

    begins: NonNegativeInt
    begun_at: float
    """On the system's monotonic clock."""
    answer_ends: NonNegativeInt | None = None
    """Where the result ends that is the run's: what is printed after it is no part of the answer.
    None where there is none, or where nobody was left to see it."""
    answered_at: float | None = None
    ended_by: EndedBy | None = None
    """Why the run was made to end, where it was and has given a result nevertheless."""
    ends: NonNegativeInt | None = None
    """Where the next run's stretch begins."""


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
        """The spool: the CLI's output, line by line as it is printed."""
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
        lock = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # others hold it for an instant only, to look
        except BaseException:
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

        What an earlier owner could not finish is cut off before: nobody has taken it.
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
        inbox = os.open(self.inbox, os.O_RDONLY)
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
        """Remove what was said to it: it holds what callers asked."""
        self.inbox.unlink(missing_ok=True)

    def request_stop(self, run_id: str) -> None:
        """Ask the supervisor to end a run, whoever started it, if that has not ended yet."""
        with suppress(FileNotFoundError):
            (self.path / f"stop.{run_id}").touch(mode=0o600)

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
        fields = _json(self.path / "started")
        boot = fields.get("boot_id")
        try:
            return Started(
                supervisor=ProcessIdentity(
                    pid=fields["supervisor_pid"],
                    start_time=fields["supervisor_start"],
                    boot_id=boot,
                ),
                cli=ProcessIdentity(
                    pid=fields["cli_pid"], start_time=fields["cli_start"], boot_id=boot
                ),
                monotonic=fields["monotonic"],
            )
        except (KeyError, ValidationError):
            return None

    def stretch(self, run_id: str) -> Stretch | None:
        """A run's part in what was printed; None where it was not begun."""
        known: dict[str, str] = {}
        for what, place, at, why, run in self._turns():
            if run == run_id and what == "begins":
                known = {"begins": place, "begun_at": at}
            elif run == run_id:
                known |= {"answer_ends": place, "answered_at": at}
                known |= {} if why == "-" else {"ended_by": why}
            elif known:
                known["ends"] = place
                break
        try:
            return Stretch.model_validate_strings(known)
        except ValidationError:  # not begun; or the power went as it was noted
            return None

    def has_ended(self) -> bool:
        return (self.path / "ended").exists()

    def ending(self, run_id: str) -> Ending:
        """How the process ended, in which a run was to be, as far as anybody saw it."""
        fields, stderr, started = _json(self.path / "ended"), self._stderr(), self.started()
        if fields:
            return _ending(fields, stderr)
        if started is not None:
            lost = started.supervisor.boot_id != boot_id()
            return Ending(stderr=stderr, may_have_lost_output=lost)
        asked = {"ended_by": "request"} if (self.path / f"stop.{run_id}").exists() else {}
        return _ending({"started": 0, **asked}, stderr)

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

    def _turns(self) -> list[list[str]]:
        """What is noted of runs, line by line, each with the run's name last."""
        try:
            text = (self.path / "turns").read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return []
        *lines, _ = text.split("\n")
        return [words for line in lines if len(words := line.split(" ", 4)) == 5]

    def _stderr(self) -> str:
        try:
            with (self.path / "stderr").open("rb") as file:
                return file.read(_STDERR_BYTES).decode(errors="replace")
        except FileNotFoundError:
            return ""


def _ending(fields: dict[str, Any], stderr: str) -> Ending:
    errno = fields.get("exec_errno")
    known = {name: fields[name] for name in Ending.model_fields if name in fields}
    problem = os.strerror(errno) if isinstance(errno, int) else None
    return Ending.model_validate({**known, "problem": problem, "stderr": stderr})


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}

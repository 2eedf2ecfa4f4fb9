"""The directory of one run: its files, and the lock that says "still running".

``supervisor.py`` writes there and the CLI prints there; the pool reads. Nothing in it holds a
prompt or a credential; what the model answered is in ``stdout``, so only the owner may enter.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pool.claude.outcome.ending import Ending
from pool.claude.output.stream import StreamReading, reading_of
from pool.claude.output.tail import Piece, Tail, piece_of
from pool.claude.process.identity import ProcessIdentity
from pool.values import Value

LOCK_FD = 3
"""The descriptor under which a run's processes inherit its lock."""

MARK = "CLAUDE_POOL_RUN"
_STDERR_BYTES = 4096


class Started(Value):
    """What the supervisor made durable before it executed the CLI."""

    supervisor: ProcessIdentity
    cli: ProcessIdentity
    monotonic: float
    """The system's monotonic clock at the start; comparable within one boot."""


class RunDirectory:
    """One run's files below the directory of all runs. ValueError for an id that is no name."""

    def __init__(self, runs_dir: Path, run_id: str) -> None:
        if run_id in {"", ".", ".."} or "/" in run_id or "\x00" in run_id:
            raise ValueError("a run's id names its directory")
        self.run_id = run_id
        self.path = runs_dir / run_id

    @property
    def stdout(self) -> Path:
        """The spool: the CLI's output, line by line as it is printed."""
        return self.path / "stdout"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def mark(self) -> str:
        """A variable that the run's processes have in their environment, and no others. It tells
        no place on this machine, since a model may read it.
        """
        return f"{MARK}={hashlib.sha256(str(self.path).encode()).hexdigest()[:32]}"

    def exists(self) -> bool:
        return self.path.is_dir()

    def create(self) -> int:
        """Make the directory and hold its lock; a descriptor that is to be inherited and closed.

        FileExistsError where it is there already: no id runs twice. When this returns, the
        directory survives a loss of power, so its absence proves that nothing was started.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700)
        lock = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # others hold it for an instant only, to look
            _sync(self.path.parent)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def is_locked(self) -> bool:
        """Whether a process of the run lives."""
        try:
            lock = os.open(self.lock, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def note_config_dir(self, config_dir: str) -> None:
        """Keep where the CLI was told to keep its transcripts, for whoever settles the run."""
        note = self.path / "config_dir"
        note.touch(mode=0o600)
        note.write_text(config_dir, encoding="utf-8")

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

    def config_dir(self) -> Path | None:
        """Where the run's CLI keeps its transcripts, if that is known."""
        try:
            text = (self.path / "config_dir").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None
        return Path(text) if text else None

    def request_stop(self) -> None:
        """Ask the supervisor to end the run, whoever started it; heard within 50 ms."""
        with suppress(FileNotFoundError):
            (self.path / "stop").touch(mode=0o600)

    def stop_was_requested(self) -> bool:
        return (self.path / "stop").exists()

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

    def has_ended(self) -> bool:
        return (self.path / "ended").exists()

    def ending(self) -> Ending:
        """How the process ended, as far as anybody saw it. Reads files."""
        fields = _json(self.path / "ended")
        stderr = self._stderr()
        if fields:
            return _ending(fields, stderr)
        if self.started() is not None:
            return Ending(stderr=stderr)
        asked = {"ended_by": "request"} if self.stop_was_requested() else {}
        return _ending({"started": 0, **asked}, stderr)

    def reading(self) -> StreamReading:
        """What the CLI printed. Reads files; limits are as old as the file."""
        printed = self.printed(0, 0)
        if printed is None:
            return StreamReading()
        lines = Tail(self.printed).lines(is_over=True)
        return reading_of((line.text for line in lines), printed.written_at)

    def never_ran(self) -> bool:
        """Whether it was made and nothing more: no CLI is executed before ``started`` is there, and
        whoever could still do so holds the lock.
        """
        return not self.is_locked() and self.started() is None and not self.has_ended()

    def keep(self) -> None:
        """Note that the run was settled, and that what it printed is still wanted."""
        with suppress(FileNotFoundError):
            (self.path / "kept").touch(mode=0o600)

    def kept_at(self) -> datetime | None:
        """Since when it has been kept; None where it is not."""
        try:
            return datetime.fromtimestamp((self.path / "kept").stat().st_mtime, UTC)
        except FileNotFoundError:
            return None

    def printed(self, offset: int, limit: int) -> Piece | None:
        """A piece of what the CLI printed; None where there is no output."""
        return piece_of(self.stdout, offset, limit)

    def remove(self) -> None:
        """Remove the directory and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)

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


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""The directory of a run, by which it is found again whoever was killed meanwhile, and the
process that has it.

A run that was the reason for its process shares the directory with it. One that was given to a
process that was there has a directory of its own, and there a note of which process that is and
where in its inbox the run stands. The note is there before the run is handed over, so that without
it, or with nothing whole at that place, nothing of the run was handed over.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from pydantic import NonNegativeInt, ValidationError

from pool.claude.output.tail import Piece
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.notes import Stretch
from pool.executions.process_way import ProcessWay
from pool.values import Value

_NOTE = "process"


class _Given(Value):
    """To which process a run was given, in which way, and from where on in its inbox."""

    process: str
    inbox: NonNegativeInt
    way: ProcessWay


class RunDirectory:
    """One run's directory below that of all runs. ValueError for an id that is no name."""

    def __init__(self, runs_dir: Path, run_id: str) -> None:
        if run_id in {"", ".", ".."} or not {"/", "\x00", "\n"}.isdisjoint(run_id):
            raise ValueError("a run's id names its directory")
        self.run_id = run_id
        self.path = runs_dir / run_id

    @cached_property
    def process(self) -> ProcessDirectory:
        """The process that has the run."""
        given = self._given()
        path = self.path if given is None else processes_dir(self.path.parent) / given.process
        return ProcessDirectory(path)

    @property
    def is_process(self) -> bool:
        """Whether the process is the run's alone."""
        return self.process.path == self.path

    @cached_property
    def way(self) -> ProcessWay:
        """How the run came by its process."""
        given = self._given()
        return ProcessWay.COLD if given is None else given.way

    def give_to(self, process: ProcessDirectory, turn: bytes, way: ProcessWay) -> None:
        """Hand the run to a process that is there already, or is just being started for it.
        FileExistsError where it was handed to one before.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700)
        process.serve(self.run_id)
        given = _Given(process=process.path.name, inbox=process.end_of_inbox(), way=way)
        draft = self.path / f"{_NOTE}.tmp"
        draft.write_text(given.model_dump_json(), encoding="utf-8")
        draft.replace(self.path / _NOTE)
        self.process, self.way = process, way
        process.say(turn)

    def exists(self) -> bool:
        return self.path.is_dir()

    def never_ran(self) -> bool:
        """Whether nothing of it was handed over, nor will be. No CLI is executed before ``started``
        is there, and no turn is fed before it is noted; whoever could still do so holds the lock.
        """
        process, given = self.process, self._given()
        if given is None:
            return not (process.is_locked() or process.started() or process.has_ended())
        is_alive = process.is_locked() and not process.has_ended()
        is_told = is_alive and process.is_told(self.run_id, given.inbox)
        return not is_told and process.stretch(self.run_id) is None

    def stretch(self) -> Stretch | None:
        """Its part in the output of its process."""
        return self.process.stretch(self.run_id)

    def printed(self, offset: int, limit: int) -> Piece | None:
        """A piece of what the CLI has printed for it; None where there is none."""
        stretch = self.stretch()
        if stretch is None:
            return self.process.printed(0, None, offset, limit) if self.is_process else None
        ends = stretch.ends if stretch.answer_ends is None else stretch.answer_ends
        return self.process.printed(stretch.begins, ends, offset, limit)

    def keep(self) -> None:
        """Note that the run was settled, and that what it printed is still wanted."""
        with suppress(FileNotFoundError):
            (self.path / "kept").touch(mode=0o600)
            if self.is_process or self.process.has_ended():
                self.process.forget_input()

    def kept_at(self) -> datetime | None:
        """Since when it has been kept; None where it is not."""
        try:
            return datetime.fromtimestamp((self.path / "kept").stat().st_mtime, UTC)
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        """Remove what is the run's alone; with the last run of a process that is over, its own."""
        process, is_process = self.process, self.is_process
        ProcessDirectory(self.path).remove()
        if not is_process:
            process.release(self.run_id)

    def _given(self) -> _Given | None:
        try:
            return _Given.model_validate(json.loads((self.path / _NOTE).read_bytes()))
        except (FileNotFoundError, NotADirectoryError, ValueError, ValidationError):
            return None


def processes_dir(runs_dir: Path) -> Path:
    """Where the processes live that were not started for one run alone."""
    return runs_dir.parent / "processes"

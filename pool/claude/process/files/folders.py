"""The folders of one subscription's runs and processes, and what is removed from them. Blocking."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime
from pathlib import Path

from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.run_directory import RunDirectory, processes_dir


class Folders:
    """All directories of runs and of processes that are below a subscription's."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir

    def runs(self) -> list[RunDirectory]:
        entries = (entry for entry in self._runs_dir.glob("*") if entry.is_dir())
        return [RunDirectory(self._runs_dir, entry.name) for entry in entries]

    def processes(self) -> list[ProcessDirectory]:
        """Those of processes that were not started for one run alone."""
        folder = processes_dir(self._runs_dir)
        return [ProcessDirectory(entry) for entry in folder.glob("[!.]*") if entry.is_dir()]

    def left(self, open_ids: Container[str]) -> tuple[str, ...]:
        """The runs that are not open any more and were not removed; see ``Runner``."""
        runs = (run for run in self.runs() if run.run_id not in open_ids)
        return tuple(run.run_id for run in runs if run.kept_at() is None)

    def sweep(self, keep: Container[str]) -> None:
        """Remove runs that are not in ``keep``, and processes that have none; see ``Runner``."""
        for run_id in self.left(keep):
            run = RunDirectory(self._runs_dir, run_id)
            if run.is_process and run.process.is_orphaned():
                run.process.kill()
            if not (run.is_process and run.process.is_locked()):
                run.remove()
        for process in self.processes():
            for run_id in process.serves():
                if not RunDirectory(self._runs_dir, run_id).exists():
                    process.release(run_id)
        for process in self.processes():
            if process.is_orphaned() and not process.serves():
                process.kill()  # it was stopped as its supervisor died, and ends by nothing else
        for draft in processes_dir(self._runs_dir).glob(".*"):
            ProcessDirectory(draft).remove()
        self._tidy()

    def expire(self, kept_before: datetime) -> None:
        """Remove runs that were kept for those who watch, before an instant; see ``Runner``."""
        for run in self.runs():
            kept_at = run.kept_at()
            if kept_at is not None and kept_at < kept_before:
                run.remove()
        self._tidy()

    def _tidy(self) -> None:
        """Remove processes that are over, and of whose runs nothing is wanted any more."""
        for process in self.processes():
            if not process.serves():
                process.remove_if_over()

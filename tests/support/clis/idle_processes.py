"""One subscription with idle processes, for tests of those that are kept or were started ahead."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.run_directory import processes_dir
from pool.claude.process.idle.kept import Keeping
from pool.claude.process.process_runner import ProcessRunner
from tests.support.clis.talking_cli import BOUND_BYTES, GRACE, talking_cli
from tests.support.suite.waiting import until


class IdleProcesses:
    """The idle processes of one subscription, below a folder, and the CLI that they run."""

    def __init__(self, folder: Path, keeping: Keeping) -> None:
        self.folder = folder
        self.cli = talking_cli(folder)
        config_dir = folder / "config"
        config_dir.mkdir()
        self.login = config_dir / ".credentials.json"
        self.environment = {"PATH": os.environ["PATH"], "CLAUDE_CONFIG_DIR": str(config_dir)}
        self._keeping = keeping
        self.runner = self.anew()

    def anew(self) -> ProcessRunner:
        """The runner of another activation."""

        async def find() -> Path:
            return self.cli

        runs, bound = self.folder / "runs", BOUND_BYTES
        return ProcessRunner(
            find, runs, max_output_bytes=bound, stop_grace=GRACE, keeping=self._keeping
        )

    def update_cli(self) -> None:
        """Have another release of it in its place, as an installer does: it may be running."""
        new = self.cli.with_suffix(".new")
        new.write_text(
            self.cli.read_text(encoding="utf-8") + "# another release\n", encoding="utf-8"
        )
        new.chmod(0o700)
        new.replace(self.cli)

    def processes(self) -> list[ProcessDirectory]:
        folder = processes_dir(self.runner._runs_dir)
        return [ProcessDirectory(path) for path in sorted(folder.glob("*"))]

    def alive(self) -> int:
        return sum(each.is_locked() and not each.has_ended() for each in self.processes())

    async def end(self) -> None:
        """End them all. Asked again and again: one may only just be starting."""
        await until(self._all_ended)

    def _all_ended(self) -> bool:
        for process in self.processes():
            started = process.started()
            if started is not None and started.supervisor.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(started.supervisor.pid, signal.SIGCONT)
                    os.kill(started.supervisor.pid, signal.SIGTERM)
        return not self.alive()

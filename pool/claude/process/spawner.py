"""Runs the CLI so that its runs outlive whoever started them.

Between this process and the CLI stands the ``supervisor``, which leaves its parent at once. What
ties a run to its owner is its directory alone, below ``runs_dir``, under the run's id.

Nothing is synced to the disk on the way of a run. Its intent is, in the ledger, before it comes
here; files outlive the death of any process; and what a loss of power took with it is not missed,
for it ended the CLI as well: ``place`` names the start of the machine, so that of a run which had
begun before it, and of which nothing is found, nobody says that it never ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from uuid import uuid4
from weakref import WeakSet

from pool.claude.binary.auth import AuthStatus, auth_status
from pool.claude.binary.login import login_expires_at
from pool.claude.binary.models import offered_models
from pool.claude.launch.command import prompt_uuid
from pool.claude.launch.directories import make_private
from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.ending import Ending
from pool.claude.output.tail import Piece
from pool.claude.process.directory import ProcessDirectory
from pool.claude.process.identity import boot_id
from pool.claude.process.leftovers import clean
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.rescan import rescan
from pool.claude.process.run_directory import RunDirectory
from pool.claude.process.start import never
from pool.claude.process.watch import Wake, Watcher
from pool.claude.transcripts.copy import (
    SessionCopy,
    copy_session,
    install_session,
    remove_session,
)
from pool.errors import ConfigError
from pool.usage.records import Usage


class ProcessRunner:
    """Runs of one subscription: see ``Runner``. ``executable`` finds the CLI or raises ConfigError.

    All of them share one working directory beside ``runs_dir``, which stays empty. The CLI files a
    session under its directory, and finds it from there again.
    """

    def __init__(
        self,
        executable: Callable[[], Awaitable[Path]],
        runs_dir: Path,
        *,
        max_output_bytes: int = 64_000_000,
        stop_grace: timedelta = timedelta(seconds=2),
    ) -> None:
        self._executable = executable
        self._runs_dir = runs_dir.absolute()
        self._work_dir = self._runs_dir.parent / "work"
        self._max_output_bytes = max_output_bytes
        self._grace_seconds = stop_grace.total_seconds()
        self._watcher = Watcher()
        self._runs = WeakSet[ProcessRun]()

    async def start(self, launch: Launch, environment: Mapping[str, str]) -> ProcessRun:
        """Start the CLI; see ``Runner``. An id that was started before is not started again.

        When this returns, the run's supervisor has left this process, or nothing was started.
        """
        directory = RunDirectory(self._runs_dir, launch.run_id)
        try:
            executable = await self._executable()
        except ConfigError as error:
            files = RunDirectory(self._runs_dir, launch.run_id)
            return self._run(launch, files, never(str(error)))
        launch, settings = await self._with_settings(launch, executable, environment)
        if launch.resumes:
            kept = await self._ways.go_on(launch, settings, environment)
            if kept is not None:
                return kept
        if (reused := await self._ways.go_on_anew(launch, settings)) is not None:
            return reused
        if (ahead := await self._ways.claim(launch, settings, environment)) is not None:
            return ahead
        settings = settings if self._kept.is_on else None
        goes_on_from = launch.forks or (launch.session_id if launch.resumes else None)
        if goes_on_from is not None:
            await self.quiet(goes_on_from)
        never = await asyncio.to_thread(self._started, directory, launch, executable, environment)
        return self._run(launch, directory, never)

    async def quiet(self, session_id: str) -> None:
        """Wait for CLIs that have answered and are exiting; see ``Runner``."""
        exiting = [run for run in self._runs if run.writes_to(session_id)]
        await asyncio.gather(*(run.gone() for run in exiting))

    @cached_property
    def place(self) -> str:
        """A name that was drawn when the directory of the runs was first used, and that of the
        machine's start: what was not written to the disk outlives anything but the next one.
        """
        file = self._runs_dir.parent / "place"
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = file.with_suffix(".new")
            draft.write_text(uuid4().hex, encoding="ascii")
            draft.replace(file)
        return f"{file.read_text(encoding='ascii')}.{boot_id()}"

    async def rescan(
        self, launch: Launch, environment: Mapping[str, str], recorded: Usage
    ) -> Usage | None:
        """Look at the session's transcript again; see ``Runner``."""
        found = await rescan(launch, Path(environment["CLAUDE_CONFIG_DIR"]), recorded)
        return found.usage if found is not None else None

    async def is_signed_in(self, environment: Mapping[str, str]) -> bool:
        """Ask ``claude auth status``; see ``Runner``."""
        return (await self._status(environment)).logged_in

    async def login_expires_at(
        self, environment: Mapping[str, str], now: datetime
    ) -> datetime | None:
        """Look where the CLI keeps its login; see ``Runner``."""
        return await login_expires_at(environment, now, lambda: self._status(environment))

    async def models(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Ask for the models that the CLI offers; see ``Runner``."""
        await asyncio.to_thread(make_private, environment)
        return await offered_models(await self._executable(), environment)

    def copy_session(
        self, environment: Mapping[str, str], session_id: str, without: Iterable[Launch]
    ) -> SessionCopy:
        """A session's transcript; see ``Runner``."""
        prompts = [prompt_uuid(launch) for launch in without]
        return copy_session(Path(environment["CLAUDE_CONFIG_DIR"]), session_id, prompts)

    def install_session(self, environment: Mapping[str, str], copy: SessionCopy) -> None:
        """Put a session where the CLI finds it; see ``Runner``."""
        make_private(environment)
        install_session(Path(environment["CLAUDE_CONFIG_DIR"]), copy)

    def remove_session(self, environment: Mapping[str, str], session_id: str) -> None:
        """Remove a session's transcript; see ``Runner``."""
        remove_session(Path(environment["CLAUDE_CONFIG_DIR"]), session_id)

    def clean(self, environment: Mapping[str, str], older_than: datetime) -> None:
        """Remove sockets and session files of CLIs that are dead; see ``leftovers``."""
        clean(Path(environment["CLAUDE_CONFIG_DIR"]), older_than)

    def left(self, open_ids: Container[str]) -> tuple[str, ...]:
        """The runs that an earlier activation did not remove; see ``Runner``."""
        runs = [RunDirectory(self._runs_dir, entry.name) for entry in self._entries()]
        return tuple(
            run.run_id for run in runs if run.run_id not in open_ids and run.kept_at() is None
        )

    def sweep(self, keep: Container[str]) -> None:
        """Remove the directories of runs that are not in ``keep``; see ``Runner``."""
        for run_id in self.left(keep):
            run = RunDirectory(self._runs_dir, run_id)
            if not (run.is_process and run.process.is_locked()):
                run.remove()

    def expire(self, kept_before: datetime) -> None:
        """Remove what was kept for those who watch; see ``Runner``."""
        for entry in self._entries():
            run = RunDirectory(self._runs_dir, entry.name)
            kept_at = run.kept_at()
            if kept_at is not None and kept_at < kept_before:
                run.remove()

    def printed(self, run_id: str, offset: int, limit: int) -> Piece | None:
        """A piece of what a run has printed; see ``Runner``."""
        return RunDirectory(self._runs_dir, run_id).printed(offset, limit)

    def watch(self, run_id: str) -> AbstractContextManager[Wake]:
        """News of what a run prints; see ``Runner``."""
        return self._watcher.growth_of(partial(self._spool, run_id))

    def _spool(self, run_id: str) -> Path:
        """Where a run prints, without a look at the disk."""
        known = (run.directory for run in self._runs if run.run_id == run_id)
        return next(known, ProcessDirectory(self._runs_dir / run_id)).stdout

    def find(self, launch: Launch) -> ProcessRun | None:
        """The run of this id, alive or ended. None proves that no CLI was ever given it, as long as
        the machine has not been started anew since.
        """
        directory = RunDirectory(self._runs_dir, launch.run_id)
        if directory.exists() and directory.never_ran():
            directory.remove()
        return self._run(launch, directory, None) if directory.exists() else None

    def _entries(self) -> list[Path]:
        return [entry for entry in self._runs_dir.glob("*") if entry.is_dir()]

    async def _status(self, environment: Mapping[str, str]) -> AuthStatus:
        await asyncio.to_thread(make_private, environment)
        return await auth_status(await self._executable(), environment)

    def _run(self, launch: Launch, directory: RunDirectory, never: Ending | None) -> ProcessRun:
        grace = self._grace_seconds
        run = ProcessRun(launch, directory, self._watcher, grace_seconds=grace, never_started=never)
        self._runs.add(run)
        return run

"""Runs the CLI so that its runs outlive whoever started them.

Between this process and the CLI stands the ``supervisor``, which leaves its parent at once. What
ties a run to its subscription is its directory alone, below ``runs_dir``, under the run's id.

A turn of a session goes to the process that was kept with it, where that can run it exactly as one
of its own. Whatever is odd about that, a process is started for it, in the same attempt; but only
once it is proved that it was not begun.

What a loss of power took with it is not missed, for it ended the CLI as well: ``place`` names the
start of the machine, so that of a run which had begun before it, and of which nothing is found,
nobody says that it never ran.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from uuid import uuid4
from weakref import WeakSet

from pool.claude.binary import reported_limits
from pool.claude.binary.auth import AuthStatus, auth_status
from pool.claude.binary.login import login_expires_at
from pool.claude.binary.models import ModelsFile, offered_models
from pool.claude.launch.command import prompt_uuid
from pool.claude.launch.directories import make_private
from pool.claude.launch.launch_spec import Launch
from pool.claude.launch.process_settings import ProcessSettings, surroundings
from pool.claude.outcome.ending import Ending
from pool.claude.output.tail import Piece
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.folders import Folders
from pool.claude.process.files.run_directory import RunDirectory
from pool.claude.process.identity import boot_id
from pool.claude.process.idle.cleared import ClearedProcesses
from pool.claude.process.idle.control import asked
from pool.claude.process.idle.kept import Keeping, KeptProcesses
from pool.claude.process.idle.machine import Places
from pool.claude.process.idle.spares import Spares, wanted
from pool.claude.process.leftovers import clean
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.process_ways import ProcessWays
from pool.claude.process.rescan import rescan
from pool.claude.process.start import ProcessStarter, never
from pool.claude.process.watch import Wake, Watcher
from pool.claude.transcripts.copy import (
    SessionCopy,
    TranscriptGone,
    copy_session,
    install_session,
    remove_session,
)
from pool.claude.transcripts.tool_results import with_prompt, with_results
from pool.errors import ConfigError
from pool.executions.tools.rounds import Continuation
from pool.limits.usage_reading import NoProfile, UsageReading
from pool.usage.records import Usage

log = logging.getLogger(__name__)

_NONE_KEPT = Keeping()
USAGE_SECONDS = 10.0
"""For an idle process to say what is used of the limits: it asks Anthropic for it."""


class ProcessRunner:
    """Runs of one subscription: see ``Runner``. ``executable`` finds the CLI, or raises
    ``ConfigError``.
    """

    def __init__(
        self,
        executable: Callable[[], Awaitable[Path]],
        runs_dir: Path,
        *,
        max_output_bytes: int = 64_000_000,
        stop_grace: timedelta = timedelta(seconds=2),
        keeping: Keeping = _NONE_KEPT,
    ) -> None:
        self._executable = executable
        self._runs_dir = runs_dir.absolute()
        self._folders = Folders(self._runs_dir)
        self._grace_seconds = stop_grace.total_seconds()
        self._starter = ProcessStarter(self._runs_dir, max_output_bytes, self._grace_seconds)
        self._watcher = Watcher()
        self._keeping, places = keeping, Places(keeping.places, keeping.most)
        self._kept = KeptProcesses(keeping, places)
        self._cleared = ClearedProcesses(self._kept, self._starter, self._watcher)
        at_hand = (places, self._kept, self._starter, self._watcher)
        self._spares = Spares(*at_hand, reuses=self._reuses)
        self._runs = WeakSet[ProcessRun]()
        self._ways = ProcessWays(
            *(self._runs_dir, self._starter, self._watcher),
            self._kept,
            self._cleared,
            self._spares,
            self._run,
        )

    async def start(self, launch: Launch, environment: Mapping[str, str]) -> ProcessRun:
        """Start the CLI; see ``Runner``. An id that was started before is not started again.

        When this returns, the run's supervisor has left this process, or nothing was started.
        """
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
        return await self._ways.begin(launch, executable, environment, settings)

    async def _with_settings(
        self, launch: Launch, executable: Path, environment: Mapping[str, str]
    ) -> tuple[Launch, ProcessSettings | None]:
        """A launch and the settings of its process; what serves nobody else has no owner."""
        settings = None
        if not self._reuses:
            launch = launch.model_copy(update={"owner": None})
        if self._kept.is_on or self._keeping.spares:
            settings = await self._ways.settings(launch, executable, environment)
        owner = None if settings is None else settings.owner
        return launch.model_copy(update={"owner": owner}), settings

    @property
    def _reuses(self) -> bool:
        return self._keeping.reuses and self._kept.is_on

    async def let_go(self) -> None:
        """End what is kept, here or by an earlier activation; see ``Runner``."""
        await self._kept.end()
        await self._cleared.let_go()
        await self._spares.let_go()
        await asyncio.to_thread(self._starter.close)
        for process in await asyncio.to_thread(self._let_go_of_the_rest):
            self._spares.see_off(process)

    @property
    def keeps_any(self) -> bool:
        """Whether a process waits for its next turn, or its first; see ``Runner``."""
        return self._kept.is_any or self._spares.is_any

    def _let_go_of_the_rest(self) -> list[ProcessDirectory]:
        """Have those end that nobody here knows; those of them that have no run. One whose
        supervisor is dead is stopped, and takes no order. Blocking.
        """
        rest = []
        for process in self._folders.processes():
            is_new = process.was_let_go_at() is None
            if is_new and process.is_locked():
                with suppress(OSError):
                    process.let_go()
            if (is_new or process.is_orphaned()) and not process.serves():
                rest.append(process)
        return rest

    async def promise(self, launch: Launch, environment: Mapping[str, str]) -> str | None:
        """A session id that is to be had with a process; see ``Runner``."""
        session_id = None
        if self._reuses:
            executable = await self._executable()
            launch, settings = await self._with_settings(launch, executable, environment)
            if settings is not None:
                session_id = await self._cleared.promise(settings, environment)
        return session_id or self._spares.promise()

    async def tend_spares(
        self,
        new_sessions: int,
        environment: Mapping[str, str],
        model: str,
        *,
        may_start: bool = True,
    ) -> None:
        """Have spares as they are needed; see ``Runner``."""
        most = wanted(new_sessions, self._keeping.spares)
        if most or self._spares.is_any:
            executable = await self._executable()
            await self._spares.tend(most, executable, environment, model, may_start=may_start)

    async def quiet(self, session_id: str) -> None:
        """Wait for CLIs that have answered and are exiting; see ``Runner``."""
        await self._kept.end(session_id)
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
        """Ask for the models that the CLI offers, or go by its last answer; see ``Runner``."""
        await asyncio.to_thread(make_private, environment)
        executable = await self._executable()
        asked = await asyncio.to_thread(surroundings, environment, executable, ())
        file = self._runs_dir.with_name("models.json")
        if (told := await asyncio.to_thread(ModelsFile.read, file, asked)) is not None:
            return told
        models = await offered_models(executable, environment)
        await asyncio.to_thread(ModelsFile(asked=asked, models=models).write, file)
        return models

    async def usage(
        self, environment: Mapping[str, str], now: datetime
    ) -> UsageReading | NoProfile:
        """Ask what is used of the account's limits; see ``Runner``."""
        await asyncio.to_thread(make_private, environment)
        executable = await self._executable()
        around = await asyncio.to_thread(surroundings, environment, executable, ())
        idle = self._kept.one_in(around) or self._spares.one_in(around)
        if idle is not None:
            question = (reported_limits.QUESTION_ID, reported_limits.QUESTION, USAGE_SECONDS)
            told = await asked(idle, self._watcher, *question)
            if told:
                return reported_limits.said(reported_limits.usage_told(told, now), executable)
        return await reported_limits.read_usage(executable, environment, now)

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

    def continue_session(
        self, environment: Mapping[str, str], source: str, launch: Launch, wanted: Continuation
    ) -> None:
        """Make a session of results; see ``Runner``."""
        make_private(environment)
        config_dir, now = Path(environment["CLAUDE_CONFIG_DIR"]), datetime.now(UTC)
        try:
            known = copy_session(config_dir, source)
        except TranscriptGone:  # of a CLI that was killed before it wrote any
            if not wanted.is_first:
                raise
            known = with_prompt(launch, self._starter.work_dir, now)
        install_session(config_dir, with_results(known, launch.session_id, wanted, now))

    def remove_session(self, environment: Mapping[str, str], session_id: str) -> None:
        """Remove a session's transcript; see ``Runner``."""
        remove_session(Path(environment["CLAUDE_CONFIG_DIR"]), session_id)

    def clean(self, environment: Mapping[str, str], older_than: datetime) -> None:
        """Remove sockets and session files of CLIs that are dead; see ``leftovers``."""
        clean(Path(environment["CLAUDE_CONFIG_DIR"]), older_than)

    def left(self, open_ids: Container[str]) -> tuple[str, ...]:
        """The runs that an earlier activation did not remove; see ``Runner``."""
        return self._folders.left(open_ids)

    def sweep(self, keep: Container[str]) -> None:
        """Remove the directories of runs that are not in ``keep``; see ``Runner``."""
        self._folders.sweep(keep)

    def expire(self, kept_before: datetime) -> None:
        """Remove what was kept for those who watch; see ``Runner``."""
        self._folders.expire(kept_before)

    def printed(self, run_id: str, offset: int, limit: int) -> Piece | None:
        """A piece of what a run has printed; see ``Runner``."""
        return RunDirectory(self._runs_dir, run_id).printed(offset, limit)

    def watch(self, run_id: str) -> AbstractContextManager[Wake]:
        """News of what a run prints; see ``Runner``."""
        return self._watcher.growth_of(partial(self._output, run_id))

    def _output(self, run_id: str) -> Path:
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
            directory.process.end_if_nobodys()
        return self._run(launch, directory, None) if directory.exists() else None

    async def _status(self, environment: Mapping[str, str]) -> AuthStatus:
        await asyncio.to_thread(make_private, environment)
        return await auth_status(await self._executable(), environment)

    def _run(self, launch: Launch, files: RunDirectory, ended: Ending | None) -> ProcessRun:
        grace = self._grace_seconds
        run = ProcessRun(launch, files, self._watcher, grace_seconds=grace, never_started=ended)
        self._runs.add(run)
        return run

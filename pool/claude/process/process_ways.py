"""The ways in which a run comes by its process: kept with its session, cleared of another one,
started ahead, or for it.

Each is tried in turn, and one that fails is proved to have begun nothing of the run, with nothing
of it alive, before the next is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from pool.claude.launch.command import can_be_claimed
from pool.claude.launch.launch_spec import Launch
from pool.claude.launch.process_settings import ProcessSettings, process_settings, surroundings
from pool.claude.outcome.ending import Ending
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.run_directory import RunDirectory
from pool.claude.process.idle.cleared import ClearedProcesses
from pool.claude.process.idle.kept import KeptProcess, KeptProcesses, is_fit
from pool.claude.process.idle.model_settings import is_set
from pool.claude.process.idle.spares import Spares
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.start import ProcessStarter
from pool.claude.process.supervisor import entries
from pool.claude.process.watch import Watcher
from pool.executions.process_way import ProcessWay

log = logging.getLogger(__name__)

MakeRun = Callable[[Launch, RunDirectory, Ending | None], ProcessRun]


class ProcessWays:
    """The ways of one subscription. ``make_run`` makes a run of its launch, its directory, and how
    it ended where that was before it began.
    """

    def __init__(
        self,
        runs_dir: Path,
        starter: ProcessStarter,
        watcher: Watcher,
        kept: KeptProcesses,
        cleared: ClearedProcesses,
        spares: Spares,
        make_run: MakeRun,
    ) -> None:
        self._runs_dir = runs_dir
        self._starter = starter
        self._watcher = watcher
        self._kept = kept
        self._cleared = cleared
        self._spares = spares
        self._run = make_run

    async def settings(
        self, launch: Launch, executable: Path, environment: Mapping[str, str]
    ) -> ProcessSettings | None:
        """The settings of the run's process; None for one that can serve nobody else."""
        return await asyncio.to_thread(_settings, launch, executable, environment)

    async def go_on(
        self, launch: Launch, settings: ProcessSettings | None, environment: Mapping[str, str]
    ) -> ProcessRun | None:
        """The run in the process that was kept with its session; None where that cannot have it, or
        has proved not to: then nothing of it was run, and no process has it.
        """
        kept = await self._kept.take(settings, launch.session_id)
        if kept is None or settings is None:
            return None
        files = RunDirectory(self._runs_dir, launch.run_id)
        if not (
            await is_set(kept, self._watcher, settings.model_settings, environment)
            and await asyncio.to_thread(self._give, files, launch, kept, ProcessWay.KEPT)
        ):
            self._kept.let_go(kept)
            return None
        kept.settings = kept.settings.after(settings)
        return await self._taken_up(self._with_turn(kept, launch, files), files)

    async def go_on_anew(
        self, launch: Launch, settings: ProcessSettings | None
    ) -> ProcessRun | None:
        """The run in the process that was cleared for it; None where there is none, or where that
        has proved not to run it: it is gone by then, and its session as if it had never been.
        """
        kept = self._cleared.taken(launch.session_id)
        if kept is None:
            return None
        files = RunDirectory(self._runs_dir, launch.run_id)
        fits = kept.settings == settings
        if not (
            fits and await asyncio.to_thread(self._give, files, launch, kept, ProcessWay.REUSED)
        ):
            await self._cleared.end(kept)
            return None
        return await self._taken_up(self._with_turn(kept, launch, files), files)

    def _with_turn(self, kept: KeptProcess, launch: Launch, files: RunDirectory) -> KeptProcess:
        kept.run, kept.turns = self._run(launch, files, None), kept.turns + 1
        kept.cleared_until = None
        return kept

    async def claim(
        self, launch: Launch, settings: ProcessSettings | None, environment: Mapping[str, str]
    ) -> ProcessRun | None:
        """The run in the spare that was promised to it; None where there is none, or where that has
        proved not to run it: it is gone by then.
        """
        fits = settings is not None and can_be_claimed(launch)
        around = settings.surroundings if settings is not None and fits else None
        spare = await self._spares.claimed(launch, around, environment)
        if spare is None or settings is None:
            return None
        files = RunDirectory(self._runs_dir, launch.run_id)
        if not await asyncio.to_thread(self._give_spare, files, launch, spare.process):
            await self._spares.end(spare)
            return None
        run = self._run(launch, files, None)
        kept = KeptProcess(spare.process, settings, run, place=spare.place)
        return await self._taken_up(kept, files)

    async def _taken_up(self, kept: KeptProcess, files: RunDirectory) -> ProcessRun | None:
        """The run that a process was given; None where it has proved never to run it."""
        self._kept.at_work(kept)
        if await kept.run.is_taken_up():
            return kept.run
        self._kept.let_go(kept)
        await asyncio.to_thread(files.remove)
        log.warning("process did not begin its turn", extra={"execution_id": files.run_id})
        return None

    def _give_spare(self, files: RunDirectory, launch: Launch, process: ProcessDirectory) -> bool:
        """Hand a run to a spare that is bound to it; whether that could be done. Blocking."""
        if files.exists():
            return False
        turn = self._starter.turn(launch, is_first=False)
        try:
            files.give_to(process, turn + entries.keep(self._kept.idle_seconds), ProcessWay.AHEAD)
        except OSError:  # what is not whole is no turn
            files.remove()
            return False
        return True

    def _give(
        self, files: RunDirectory, launch: Launch, kept: KeptProcess, way: ProcessWay
    ) -> bool:
        """Hand a run to a process that is kept; whether that could be done. Blocking."""
        if files.exists() or not is_fit(kept):
            return False
        try:
            turn = self._starter.turn(launch, is_first=False)
            files.give_to(kept.process, turn, way)
        except OSError:  # what is not whole is no turn
            files.remove()
            return False
        return True

    async def begin(
        self,
        launch: Launch,
        executable: Path,
        environment: Mapping[str, str],
        settings: ProcessSettings | None,
    ) -> ProcessRun:
        """The run in a process that is started for it."""
        idle = None if settings is None else self._kept.idle_seconds

        def start() -> ProcessRun:
            files = RunDirectory(self._runs_dir, launch.run_id)
            ended = self._starter.start(files, launch, executable, environment, idle)
            return self._run(launch, files, ended)

        run = await asyncio.to_thread(start)
        if settings is not None and run.way is not None:
            self._kept.at_work(KeptProcess(run.directory, settings, run))
        return run


def _settings(
    launch: Launch, executable: Path, environment: Mapping[str, str]
) -> ProcessSettings | None:
    return process_settings(launch, surroundings(environment, executable, launch.tools))

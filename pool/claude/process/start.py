"""The start of a process for a run: its directory, its input, and its supervisor.

Nothing is synced to the disk on the way. The run's intent is, in the ledger, before it comes here;
files outlive the death of any process; and what a loss of power took with it is not missed, for it
ended the CLI as well. Blocking: to be called on a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pool.claude.launch import client_tools
from pool.claude.launch.command import argv, files, input_lines, prompt_line
from pool.claude.launch.directories import entered, make_private
from pool.claude.launch.image_store import occupy
from pool.claude.launch.launch_spec import Launch
from pool.claude.launch.model_settings import variables
from pool.claude.outcome.ending import Ending
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.run_directory import RunDirectory, processes_dir
from pool.claude.process.supervisor import entries
from pool.claude.process.supervisors import Supervised, Supervisors
from pool.claude.transcripts.copy import CopyRefused
from pool.claude.transcripts.files import remove_unbegun, why_not_writable
from pool.claude.transcripts.writing import install_history
from pool.errors import InvalidRequest
from pool.executions.process_way import ProcessWay


class ProcessStarter:
    """Starts the processes of one subscription.

    All of them share one working directory beside ``runs_dir``, which stays empty. The CLI files a
    session under its directory, and finds it from there again.
    """

    def __init__(self, runs_dir: Path, max_output_bytes: int, grace_seconds: float) -> None:
        self._runs_dir = runs_dir
        self.work_dir = runs_dir.parent / "work"
        self._max_output_bytes = max_output_bytes
        self._grace_seconds = grace_seconds
        self._supervisors = Supervisors(str(runs_dir))

    def start(
        self,
        run: RunDirectory,
        launch: Launch,
        executable: Path,
        environment: Mapping[str, str],
        idle_seconds: float | None,
    ) -> Ending | None:
        """Start the CLI for a run, unless it was before; how it ended, where that was before it
        began. Where it may be idle after its answer, for that long, the process is not the run's
        alone. Raises ``InvalidRequest`` where a directory is not any more what was resolved.
        """
        if run.exists():
            return None
        make_private(environment)
        if (why := _unfit(environment)) is not None:
            return never(f"its config_dir cannot be written: {why}", is_unfit=True)
        if not launch.resumes and launch.forks is None:
            remove_unbegun(Path(environment.get("CLAUDE_CONFIG_DIR", "")), launch.session_id)
        is_kept = idle_seconds is not None
        path = processes_dir(self._runs_dir) / uuid4().hex if is_kept else run.path
        directory = ProcessDirectory(path)
        # What the CLI keeps beside its transcripts would outlive the run elsewhere.
        name, _, value = directory.mark.partition("=")
        asked_for = {**environment, **variables(launch.model_settings, environment)}
        own = {
            **asked_for,
            **client_tools.variables(launch, asked_for),
            "CLAUDE_CODE_TMPDIR": str(directory.path),
            name: value,
        }
        command = argv(launch, executable, directory.path)
        problem = self._spawn(run, directory, launch, command, own, idle_seconds)
        return None if problem is None else never(problem)

    def park(
        self,
        launch: Launch,
        executable: Path,
        environment: Mapping[str, str],
        idle_seconds: float,
    ) -> ProcessDirectory | None:
        """Start the CLI for nobody yet, to be claimed; None where it cannot be started."""
        make_private(environment)
        directory = ProcessDirectory(processes_dir(self._runs_dir) / uuid4().hex)
        name, _, value = directory.mark.partition("=")
        own = {**environment, "CLAUDE_CODE_TMPDIR": str(directory.path), name: value}
        command = (*argv(launch, executable, directory.path), "--await-claim")
        try:
            self.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = directory.create_whole()
        except OSError:
            return None
        try:
            directory.note_config_dir(environment.get("CLAUDE_CONFIG_DIR", ""))
            occupy(directory.path, self.work_dir, launch.session_id)
            directory.say(entries.keep(idle_seconds))
            with self._opened(launch, directory) as work_dir:
                self.supervise(directory, command, own, lock, work_dir)
        except (OSError, ValueError):
            directory.remove()
            return None
        finally:
            os.close(lock)
        return directory

    def close(self) -> None:
        """Let go of what would start the next one sooner. Blocking for some milliseconds."""
        self._supervisors.close()

    def turn(self, launch: Launch, *, is_first: bool) -> bytes:
        """The entry of the inbox that begins the run."""
        lines = input_lines(launch) if is_first else prompt_line(launch)
        return entries.turn(launch.run_id, launch.timeout_seconds, self._max_output_bytes, lines)

    def _spawn(
        self,
        run: RunDirectory,
        directory: ProcessDirectory,
        launch: Launch,
        command: tuple[str, ...],
        environment: dict[str, str],
        idle_seconds: float | None,
    ) -> str | None:
        """Start the supervisor and see it leave. The reason, where nothing was started."""
        try:
            self.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_anybodys = idle_seconds is not None
            lock = directory.create_whole() if is_anybodys else directory.create()
        except OSError as error:
            if run.exists():
                return None  # it was started before
            return f"its directory cannot be made: {error.strerror}"
        try:
            directory.note_config_dir(environment.get("CLAUDE_CONFIG_DIR", ""))
            for name, content in files(launch).items():
                directory.write(name, content)
            work_place = self._workplace(launch, directory)
            if launch.images or launch.messages or idle_seconds is not None:  # or a later turn
                occupy(directory.path, work_place, launch.session_id)
            if launch.history:
                install_history(Path(environment["CLAUDE_CONFIG_DIR"]), launch, work_place)
            self._tell(run, directory, launch, idle_seconds)
            with self._opened(launch, directory) as work_dir:
                self.supervise(directory, command, environment, lock, work_dir)
        except InvalidRequest:
            _remove(run, directory)
            raise
        except (OSError, ValueError, CopyRefused) as error:
            _remove(run, directory)
            return _why_not(error)
        finally:
            os.close(lock)
        return None

    def _tell(
        self,
        run: RunDirectory,
        directory: ProcessDirectory,
        launch: Launch,
        idle_seconds: float | None,
    ) -> None:
        turn = self.turn(launch, is_first=True)
        if idle_seconds is None:
            directory.say(turn)
        else:
            run.give_to(directory, turn + entries.keep(idle_seconds), ProcessWay.COLD)

    @contextmanager
    def _opened(self, launch: Launch, directory: ProcessDirectory) -> Iterator[int]:
        """A descriptor of where the CLI works."""
        work_dir = entered(launch.agent)
        if work_dir is None:
            work_dir = os.open(self._workplace(launch, directory), os.O_PATH | os.O_DIRECTORY)
        try:
            yield work_dir
        finally:
            os.close(work_dir)

    def _workplace(self, launch: Launch, directory: ProcessDirectory) -> Path:
        """Where the CLI works: where the launch says; with tools in a directory of its own, which
        goes with it; without any in one that stays empty.
        """
        if launch.agent.working_directory is not None:
            return launch.agent.working_directory
        return directory.workplace() if launch.tools else self.work_dir

    def supervise(
        self,
        directory: ProcessDirectory,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        lock: int,
        work_dir: int,
    ) -> None:
        """Start a command under supervision; see ``Supervisors``."""
        bounds = (self._max_output_bytes, self._grace_seconds)
        parts = (directory, command, environment, lock, work_dir)
        self._supervisors.start(Supervised(*parts, *bounds))


def never(problem: str, *, is_unfit: bool = False) -> Ending:
    """The end of a run that was never started."""
    return Ending(started=False, problem=problem, is_unfit=is_unfit)


def _why_not(error: OSError | ValueError | CopyRefused) -> str:
    """Why the supervisor could not be started."""
    if isinstance(error, CopyRefused):
        return f"its history cannot be written: {error}"
    if isinstance(error, OSError):
        return error.strerror or "the system refused"
    return "its environment or command line holds a NUL character"


def _remove(run: RunDirectory, directory: ProcessDirectory) -> None:
    run.remove()
    directory.remove()


def _unfit(environment: Mapping[str, str]) -> str | None:
    """Why a run's sessions could not be kept."""
    named = environment.get("CLAUDE_CONFIG_DIR")
    return why_not_writable(Path(named)) if named else None

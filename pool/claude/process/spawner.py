"""Starts the CLI, one process a run, so that the run outlives whoever started it.

Between this process and the CLI stands ``supervisor.py``, which leaves its parent at once. What
ties a run to its owner is its directory alone, below ``runs_dir``, under the run's id.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from pool.claude.binary.auth import AuthStatus, auth_status
from pool.claude.binary.login import login_expires_at
from pool.claude.binary.models import offered_models
from pool.claude.launch.command import argv, files, input_lines, prompt_uuid
from pool.claude.launch.directories import entered, make_private
from pool.claude.launch.image_store import occupy
from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.ending import Ending
from pool.claude.output.tail import Piece
from pool.claude.process.directory import LOCK_FD, RunDirectory
from pool.claude.process.leftovers import clean
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.rescan import rescan
from pool.claude.transcripts.copy import (
    SessionCopy,
    copy_session,
    install_session,
    remove_session,
)
from pool.claude.transcripts.files import why_not_writable
from pool.errors import ConfigError, InvalidRequest
from pool.usage.records import Usage

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_PLACE_FD = 4
"""The working directory, open: its name may lead elsewhere by now."""
_DEFAULTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)


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

    async def start(self, launch: Launch, environment: Mapping[str, str]) -> ProcessRun:
        """Start the CLI; see ``Runner``. An id that was started before is not started again.

        When this returns, the run's supervisor has left this process, or nothing was started.
        """
        directory = RunDirectory(self._runs_dir, launch.run_id)
        try:
            executable = await self._executable()
        except ConfigError as error:
            return self._run(launch, directory, _never(str(error)))
        never = await asyncio.to_thread(self._started, directory, launch, executable, environment)
        return self._run(launch, directory, never)

    @cached_property
    def place(self) -> str:
        """A name that was drawn when the directory of the runs was first used."""
        file = self._runs_dir.parent / "place"
        try:
            return file.read_text(encoding="ascii")
        except FileNotFoundError:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = file.with_suffix(".new")
            draft.write_text(uuid4().hex, encoding="ascii")
            draft.replace(file)
            return file.read_text(encoding="ascii")

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

    def sweep(self, keep: Container[str]) -> None:
        """Remove the directories of ended runs that are not in ``keep``: a crash between the end of
        an execution and the removal leaves one behind.
        """
        names = (entry.name for entry in self._runs_dir.glob("*") if entry.is_dir())
        for name in names:
            directory = RunDirectory(self._runs_dir, name)
            if name not in keep and directory.kept_at() is None and not directory.is_locked():
                directory.remove()

    def expire(self, kept_before: datetime) -> None:
        """Remove what was kept for those who watch; see ``Runner``."""
        for entry in self._runs_dir.glob("*/kept"):
            directory = RunDirectory(self._runs_dir, entry.parent.name)
            kept_at = directory.kept_at()
            if kept_at is not None and kept_at < kept_before:
                directory.remove()

    def printed(self, run_id: str, offset: int, limit: int) -> Piece | None:
        """A piece of what a run has printed; see ``Runner``."""
        return RunDirectory(self._runs_dir, run_id).printed(offset, limit)

    def find(self, launch: Launch) -> ProcessRun | None:
        """The run of this id, alive or ended. None proves that no CLI was ever started for it."""
        directory = RunDirectory(self._runs_dir, launch.run_id)
        if directory.exists() and directory.never_ran():
            directory.remove()
        return self._run(launch, directory, None) if directory.exists() else None

    async def _status(self, environment: Mapping[str, str]) -> AuthStatus:
        await asyncio.to_thread(make_private, environment)
        return await auth_status(await self._executable(), environment)

    def _run(self, launch: Launch, directory: RunDirectory, never: Ending | None) -> ProcessRun:
        return ProcessRun(launch, directory, grace_seconds=self._grace_seconds, never_started=never)

    def _started(
        self,
        directory: RunDirectory,
        launch: Launch,
        executable: Path,
        environment: Mapping[str, str],
    ) -> Ending | None:
        """Start the CLI, unless it was before; how it ended, where that was before it began. All
        that touches disk and processes at the start, in one hop to a thread.
        """
        make_private(environment)
        why = None if directory.exists() else _unfit(environment)
        if why is not None:
            return _never(f"its config_dir cannot be written: {why}", is_unfit=True)
        # What the CLI keeps beside its transcripts would outlive the run elsewhere.
        name, _, value = directory.mark.partition("=")
        own = {**environment, "CLAUDE_CODE_TMPDIR": str(directory.path), name: value}
        problem = self._spawn(directory, launch, argv(launch, executable, directory.path), own)
        return None if problem is None else _never(problem)

    def _spawn(
        self,
        directory: RunDirectory,
        launch: Launch,
        command: tuple[str, ...],
        environment: dict[str, str],
    ) -> str | None:
        """Start the supervisor and see it leave. The reason, where nothing was started; raises
        ``InvalidRequest`` where a directory is not any more what was resolved.
        """
        try:
            self._work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = directory.create()
        except OSError as error:
            if directory.exists():
                return None  # it was started before
            return f"its directory cannot be made: {error.strerror}"
        try:
            directory.note_config_dir(environment.get("CLAUDE_CONFIG_DIR", ""))
            for name, content in files(launch).items():
                directory.write(name, content)
            if launch.images:
                occupy(directory.path, self._workplace(launch, directory), launch.session_id)
            with self._opened(launch, directory) as (prompt, place):
                self._supervise(directory, launch, command, environment, prompt, lock, place)
        except InvalidRequest:
            directory.remove()
            raise
        except OSError as error:
            return error.strerror or "the system refused"
        except ValueError:
            return "its environment or command line holds a NUL character"
        finally:
            os.close(lock)
        return None

    @contextmanager
    def _opened(self, launch: Launch, directory: RunDirectory) -> Iterator[tuple[int, int]]:
        """Descriptors of what the CLI reads, and of where it works."""
        with ExitStack() as opened:
            place = entered(launch.agent)
            if place is None:
                place = os.open(self._workplace(launch, directory), os.O_PATH | os.O_DIRECTORY)
            opened.callback(os.close, place)
            prompt = _unnamed_file(input_lines(launch))
            opened.callback(os.close, prompt)
            yield prompt, place

    def _workplace(self, launch: Launch, directory: RunDirectory) -> Path:
        """Where the CLI works: as it was told; with tools in a directory of the run's own, which
        goes with it; without any in one that stays empty.
        """
        if launch.agent.working_directory is not None:
            return launch.agent.working_directory
        return directory.workplace() if launch.tools else self._work_dir

    def _supervise(
        self,
        directory: RunDirectory,
        launch: Launch,
        command: tuple[str, ...],
        environment: dict[str, str],
        prompt: int,
        lock: int,
        place: int,
    ) -> None:
        bounds = (launch.timeout_seconds, self._max_output_bytes, self._grace_seconds)
        supervised = (
            *(sys.executable, "-I", "-S", str(_SUPERVISOR)),
            *(str(directory.path), f"/dev/fd/{_PLACE_FD}", *map(str, bounds)),
            *command,
        )
        errors = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        pid = os.posix_spawn(
            sys.executable,
            supervised,
            environment,
            file_actions=(
                (os.POSIX_SPAWN_DUP2, prompt, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(directory.path / "stderr"), errors, 0o600),
                (os.POSIX_SPAWN_DUP2, lock, LOCK_FD),
                (os.POSIX_SPAWN_DUP2, place, _PLACE_FD),
            ),
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULTS,
        )
        # It lives for some 15 ms; one that hangs would be seen by the run's own bounds.
        with suppress(ChildProcessError):  # where somebody else reaps this process's children
            os.waitpid(pid, 0)


def _never(problem: str, *, is_unfit: bool = False) -> Ending:
    return Ending(started=False, problem=problem, is_unfit=is_unfit)


def _unfit(environment: Mapping[str, str]) -> str | None:
    """Why a run's sessions could not be kept."""
    named = environment.get("CLAUDE_CONFIG_DIR")
    return why_not_writable(Path(named)) if named else None


def _unnamed_file(content: bytes) -> int:
    """A file that no directory names, read from its beginning: where possible in memory alone."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("input")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd

"""Starts the supervisor of a process, and sees it leave."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pool.claude.process.directory import LOCK_FD, ProcessDirectory

_PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from supervisor.main import main; main()"
"""As a module, which is compiled once; a script is compiled at every start."""
_WORK_FD = 4
"""The working directory, open: its name may lead elsewhere by now."""
_DEFAULTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)


def supervise(
    directory: ProcessDirectory,
    command: tuple[str, ...],
    environment: Mapping[str, str],
    lock: int,
    work_dir: int,
    *,
    max_output_bytes: int,
    grace_seconds: float,
) -> None:
    """Start a command under supervision, in a working directory that is open. OSError where the
    system refuses, ValueError for a NUL character; then nothing was started.
    """
    supervised = (
        *(sys.executable, "-I", "-S", "-c", _PROGRAM, str(Path(__file__).parent)),
        *(str(directory.path), f"/dev/fd/{_WORK_FD}", str(max_output_bytes), str(grace_seconds)),
        *command,
    )
    errors = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with _aside(lock) as lock_fd, _aside(work_dir) as work_fd:
        pid = os.posix_spawn(
            sys.executable,
            supervised,
            environment,
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(directory.path / "stderr"), errors, 0o600),
                (os.POSIX_SPAWN_DUP2, lock_fd, LOCK_FD),
                (os.POSIX_SPAWN_DUP2, work_fd, _WORK_FD),
            ),
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULTS,
        )
    # It lives for some 10 ms; one that hangs would be seen by the run's own bounds.
    with suppress(ChildProcessError):  # where somebody else reaps this process's children
        os.waitpid(pid, 0)


@contextmanager
def _aside(fd: int) -> Iterator[int]:
    """A descriptor under a number that is not to be another one's in the supervisor."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _WORK_FD + 1)
    try:
        yield copy
    finally:
        os.close(copy)

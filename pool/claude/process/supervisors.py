"""Starts the supervisor of a process, and sees it leave.

A Python takes 20 ms of CPU to start, so supervisors are forked by one that is kept at hand, the
zygote (``supervisor.zygote``), from the second of a subscription on. It ends with whoever started
it, and nothing depends on it: where it is not there, or does not answer, the supervisor is a
program of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from pool.claude.process.files.directory import LOCK_FD, ProcessDirectory

_PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); from supervisor.{module} import {name}; {name}()"
)
"""As a module, which is compiled once; a script is compiled at every start."""
_WORK_FD = 4
"""The working directory, open: its name may lead elsewhere by now."""
_DEFAULTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)
_ANSWER_SECONDS = 10.0
"""For a zygote to fork, which takes 2 ms."""
_MOST_BYTES = 200_000
_REFUSED = b"0"


class Supervised(NamedTuple):
    """What is to be supervised, in a working directory that is open."""

    directory: ProcessDirectory
    command: tuple[str, ...]
    environment: Mapping[str, str]
    lock: int
    """A descriptor, which the supervisor and all that it starts inherit."""
    work_dir: int
    """A descriptor."""
    max_output_bytes: int
    grace_seconds: float

    @property
    def arguments(self) -> tuple[str, ...]:
        bounds = (str(self.max_output_bytes), str(self.grace_seconds))
        return (str(self.directory.path), f"/dev/fd/{_WORK_FD}", *bounds, *self.command)


class _Zygote(NamedTuple):
    socket: socket.socket
    pidfd: int


class Supervisors:
    """Starts the supervisors of one subscription, on whichever thread."""

    def __init__(self, name: str) -> None:
        """``name`` shows in a process list whose it is."""
        self._name = name
        self._zygote: _Zygote | None = None
        self._one_by_one = Lock()

    def start(self, wanted: Supervised) -> None:
        """Start one. OSError where the system refuses, ValueError for a NUL character; then nothing
        was started.
        """
        values = (*wanted.command, *(f"{name}{text}" for name, text in wanted.environment.items()))
        if any("\0" in value for value in values):
            raise ValueError("embedded null byte")
        with self._one_by_one:
            if self._is_forked(wanted):
                return
            _spawn(wanted)
            self._have_zygote()

    def close(self) -> None:
        """End the zygote."""
        with self._one_by_one:
            self._end_zygote()

    def _end_zygote(self) -> None:
        zygote, self._zygote = self._zygote, None
        if zygote is None:
            return
        zygote.socket.close()
        with suppress(OSError):  # it has ended, and perhaps somebody else reaps what ends here
            signal.pidfd_send_signal(zygote.pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, zygote.pidfd, os.WEXITED)
        os.close(zygote.pidfd)

    def __del__(self) -> None:
        self._end_zygote()

    def _is_forked(self, wanted: Supervised) -> bool:
        """Whether the zygote has started it, or may have: then nobody else is to. One that does not
        answer ends; where it has not forked by then, the lock is free, which says so to all.
        """
        message = json.dumps({"arguments": wanted.arguments, "environment": {**wanted.environment}})
        if self._zygote is None or len(message) > _MOST_BYTES:
            return False
        try:
            socket.send_fds(self._zygote.socket, [message.encode()], [wanted.lock, wanted.work_dir])
        except OSError:  # it has ended
            self._end_zygote()
            return False
        answer = b""
        with suppress(OSError):
            answer = self._zygote.socket.recv(1)
        if not answer:
            self._end_zygote()
        return answer != _REFUSED

    def _have_zygote(self) -> None:
        """Best effort."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_ANSWER_SECONDS)
        with its:
            try:
                command = _python("zygote", "serve", self._name)
                pid = os.posix_spawn(
                    sys.executable,
                    command,
                    {},
                    file_actions=(
                        (os.POSIX_SPAWN_DUP2, its.fileno(), 0),
                        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                    ),
                    setsid=True,
                    setsigmask=(),
                    setsigdef=_DEFAULTS,
                )
                self._zygote = _Zygote(ours, os.pidfd_open(pid))
            except OSError:
                ours.close()


def _python(module: str, name: str, *arguments: str) -> tuple[str, ...]:
    program = _PROGRAM.format(module=module, name=name)
    return (sys.executable, "-I", "-S", "-c", program, str(Path(__file__).parent), *arguments)


def _spawn(wanted: Supervised) -> None:
    """Start a supervisor as a program of its own."""
    errors = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    stderr = str(wanted.directory.path / "stderr")
    with _aside(wanted.lock) as lock_fd, _aside(wanted.work_dir) as work_fd:
        pid = os.posix_spawn(
            sys.executable,
            _python("main", "main", *wanted.arguments),
            wanted.environment,
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, stderr, errors, 0o600),
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

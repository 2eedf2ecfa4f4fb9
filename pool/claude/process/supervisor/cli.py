"""The CLI's process, from its fork to its last descendant."""

from __future__ import annotations

import _ctypes
import os
import time

from .events import signal
from .files import first_line, start_time, write_whole

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from resource import struct_rusage

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36
_HEEDED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that the supervisor ignores, or whoever started the pool: a shell has what it runs in the
background ignore two of them."""
_END_SECONDS = 2.0
"""For processes to vanish after SIGKILL."""


def _prctl(option: int, value: int) -> None:
    # ``ctypes`` is this module and 5 ms of classes.
    program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    prctl = _ctypes.dlsym(program, "prctl")
    _ctypes.call_cdeclfunction(prctl, (option, value, 0, 0, 0))


def become_subreaper() -> None:
    """Orphans of the run become children of this process, and end with it."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def stop_without(parent: int) -> None:
    """Be stopped when this process's parent dies, which is all that ends it in good order.

    Its input would end with that, and a CLI in the midst of a tool's call asks the API once more
    then, within 0.1 s (seen of 2.1.332), for an execution that may be run anew by then. The end of
    input comes first, as the parent's files are closed, the signal some microseconds later.
    Stopped, it asks nothing, and whoever finds it can still tell what it has started, and kill it
    with that; one that was killed at once would leave behind what only its parent shows to be its.
    """
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGSTOP)
    if os.getppid() != parent:  # it died before that was said
        os._exit(127)


class Cli:
    """One CLI, which may print a bound of bytes before it is given another."""

    def __init__(self, process_dir: str, command: list[str], bound: int) -> None:
        self.begun = time.monotonic()
        self.stdout = os.open(f"{process_dir}/stdout", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.stderr = os.open(f"{process_dir}/stderr", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        stdin, self.stdin = os.pipe()
        gate, opened = os.pipe()
        failure, failed = os.pipe()
        supervisor = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(opened)
            os.close(self.stdin)
            self._execute(command, bound, supervisor, (stdin, gate, failed))
        for fd in (stdin, gate, failed):
            os.close(fd)
        become_subreaper()
        self._record(process_dir)
        os.write(opened, b"1")
        os.close(opened)
        errno = os.read(failure, 16)  # ends when the CLI is executed, which closes it
        os.close(failure)
        self.exec_errno = int(errno) if errno else None

    def _execute(
        self, command: list[str], bound: int, supervisor: int, pipes: tuple[int, int, int]
    ) -> None:
        """In the child: wait until ``started`` is there, then become the CLI."""
        stdin, gate, failed = pipes
        try:
            os.setpgid(0, 0)
            if os.read(gate, 1):
                os.dup2(stdin, 0)
                os.dup2(self.stdout, 1)
                os.dup2(self.stderr, 2)
                for number in _HEEDED:
                    signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, ())
                self._limit_files(bound)
                stop_without(supervisor)
                os.execve(command[0], command, os.environ)
        except OSError as error:
            os.write(failed, str(error.errno).encode())
        finally:
            os._exit(127)

    def _limit_files(self, bound: int) -> None:
        """Let the kernel stop a flood that writes gigabytes between two looks at it."""
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * bound, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def may_print(self, bound: int) -> None:
        """Let it print so much from here on."""
        import resource

        size = os.fstat(self.stdout).st_size + 4 * bound
        try:
            _, most = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, most))
        except (OSError, ValueError):  # it has ended, or may have no more
            pass

    def _record(self, process_dir: str) -> None:
        write_whole(
            f"{process_dir}/started",
            {
                "boot_id": first_line("/proc/sys/kernel/random/boot_id"),
                "supervisor_pid": os.getpid(),
                "supervisor_start": start_time(os.getpid()),
                "cli_pid": self.pid,
                "cli_start": start_time(self.pid),
                "monotonic": self.begun,
            },
        )

    def has_ended(self) -> bool:
        """Whether the CLI is gone; its pid stays taken until ``clean_up`` has reaped it. Orphans
        that were left to this process are reaped at once: it may live for days.
        """
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while (ended := os.waitid(os.P_ALL, 0, how)) is not None:
            if ended.si_pid == self.pid:
                return True
            os.waitpid(ended.si_pid, 0)
        return False

    def kill_group(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def clean_up(self) -> tuple[int, struct_rusage]:
        """Kill what is left of the run, and return the CLI's wait status and resource usage."""
        self.kill_group(signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        until = time.monotonic() + _END_SECONDS
        while time.monotonic() < until:
            for pid in (first_line(f"/proc/self/task/{os.getpid()}/children") or "").split():
                os.kill(int(pid), signal.SIGKILL)
            try:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.005)
            except ChildProcessError:
                break
        return status, usage

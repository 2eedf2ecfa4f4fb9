"""Processes that are nobody's children any more: known by pid, start time and boot, never by pid
alone, since pids are used again.

Without ``/proc`` no start time can be read; then nothing is known of a process, and none is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pool.values import Value


class ProcessIdentity(Value):
    """One process, for ever: another one with the same pid is another one."""

    pid: int
    start_time: int | None = None
    """In ticks since boot."""
    boot_id: str | None = None

    def is_alive(self) -> bool:
        if self.start_time is None or self.boot_id != boot_id():
            return False
        return start_time(self.pid) == self.start_time

    @contextmanager
    def ending(self, wake: Callable[[], None]) -> Iterator[bool]:
        """Whether it lives; and then have somebody woken when it ends."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            yield False
            return
        try:
            loop, lives = asyncio.get_running_loop(), self.is_alive()
            if lives:  # and so the descriptor is of this process and no later one
                loop.add_reader(pidfd, wake)
            yield lives
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)


def belonging(lock: Path, fd: int, mark: str, leader: int | None) -> frozenset[int]:
    """The other processes of this user that belong to a run: those that have its lock open as
    their descriptor ``fd``, those whose environment holds its ``mark``, and the ``leader``; with
    everything that these have started.

    Walks all of ``/proc``. The descriptor's number tells those that inherited the lock from those
    that opened it to look; a tool that was started without it was given the environment. One that
    was given neither is known as long as whoever started it lives.
    """
    try:
        wanted = lock.stat()
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return frozenset()
    found = {pid for pid in pids if _has_open(pid, fd, wanted) or _is_marked(pid, mark)}
    if leader is not None:
        found.add(leader)
    found.discard(os.getpid())
    parents = {pid: parent for pid in pids if (parent := _parent(pid)) is not None}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return frozenset(found - {os.getpid()})


def kill(pid: int) -> None:
    """SIGKILL to a process that may be gone already."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _has_open(pid: int, fd: int, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(Path(f"/proc/{pid}/fd/{fd}").stat(), wanted)
    except OSError:
        return False


def _is_marked(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return None if fields is None else int(fields[1])


def boot_id() -> str | None:
    """Names this start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def start_time(pid: int) -> int | None:
    """When a process started, in ticks since boot; None where it is gone, or none can be read."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def _stat(pid: int) -> list[bytes] | None:
    """What the system says of a process that lives, from its state on."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else fields

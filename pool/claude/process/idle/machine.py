"""The machine's room for processes that have nothing to do: so many places, and memory to spare.

A place is a file that is locked, in a folder that all subscriptions on this machine share; whoever
dies gives its places back.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

PROCESS_BYTES = 256_000_000
"""What an idle process takes: 227 MB were seen of 2.1.332."""
GROWN_BYTES = 768_000_000
"""One that has grown to this is not kept."""
_SPARED = 0.1
"""Of the memory: where less is available, nothing is kept."""
_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def memory_bytes() -> int:
    """How much memory this machine, or the container, has."""
    total = _meminfo().get("MemTotal", 0)
    limit = _number(_CGROUP / "memory.max")
    return total if limit is None else min(total, limit)


def has_memory_to_spare() -> bool:
    """Whether another process can be left idle without being missed."""
    total, known = memory_bytes(), _meminfo()
    left = known.get("MemAvailable", 0)
    limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
    if limit is not None and used is not None:
        left = min(left, limit - used + _cached_bytes())
    return left >= max(_SPARED * total, 2 * PROCESS_BYTES)


def resident_bytes(pid: int) -> int:
    """How much memory a process takes; 0 where that cannot be said."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Places:
    """Room on this machine for at most so many idle processes of all subscriptions."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most

    def take(self) -> int | None:
        """A place, which is given back by closing the descriptor; None where there is none.
        Blocking for some microseconds.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(self._most):
            place = os.open(self._folder / str(number), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(place)
            else:
                return place
        return None


def _meminfo() -> dict[str, int]:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        parts = [line.split() for line in lines]
        return {each[0].rstrip(":"): int(each[1]) * 1024 for each in parts if len(each) == 3}
    except (OSError, ValueError):
        return {}


def _cached_bytes() -> int:
    """What the container's group has in memory of files that nobody has needed lately."""
    try:
        lines = (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        return int(dict(line.split() for line in lines)["inactive_file"])
    except (OSError, ValueError, KeyError):
        return 0


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such group, or no bound: "max"
        return None

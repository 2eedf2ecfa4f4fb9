"""Where tests keep their files: in memory, where the machine has room for it.

A pool says nothing before it is on the disk, so tests wait for the disk as long as they compute. No
test cuts the power: what a killed process has written stays with the kernel, in memory too.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 1024**3
"""Some 0.1 GB are in use at a time: the files of a test that passes go at its end, those of a run
that fails, or is killed, with the next run.
"""
OF_A_RUN = "cpt-"
"""The tests of the pool, and the process that began them. Short: below it are sockets, whose
paths have 107 bytes at most.
"""


def in_memory(folder: Path = MEMORY) -> Path | None:
    """The folder of the machine's memory; None where it is not there, small, or has to hold no
    programs, as in a container by default.
    """
    try:
        there = os.statvfs(folder)
    except OSError:
        return None
    is_roomy = there.f_bavail * there.f_frsize >= ROOM_BYTES
    may_run = not there.f_flag & os.ST_NOEXEC
    return folder if is_roomy and may_run and os.access(folder, os.W_OK) else None


def of_this_run(folder: Path) -> Path:
    """A folder of this process, below ``folder``. What runs that have ended left there goes."""
    for each in folder.glob(f"{OF_A_RUN}*"):
        pid = each.name.removeprefix(OF_A_RUN)
        if pid.isdecimal() and (int(pid) == os.getpid() or not Path("/proc", pid).exists()):
            shutil.rmtree(each, ignore_errors=True)  # somebody else's stays
    made = folder / f"{OF_A_RUN}{os.getpid()}"
    made.mkdir(mode=0o700)
    made.chmod(0o711)  # the PostgreSQL of tests is somebody else where these are root
    return made

"""The processes of a service's actors, for tests that kill or freeze them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.services.service import Service


def actor_pid(service: Service, shell: str, holds: str) -> int | None:
    """The process of an actor: the one that has its store open."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            title = (entry / "cmdline").read_bytes()
            if shell.encode() not in title:
                continue
            files = {str(fd.readlink()) for fd in (entry / "fd").iterdir()}
        except OSError:
            continue
        if any(str(service.data_dir) in file and holds in file for file in files):
            return int(entry.name)
    return None


def spare_pids(actor: int) -> frozenset[int]:
    """The processes of Ray that have nothing to do, on the node of an actor's process: those that
    the same raylet has started.
    """
    raylet, found = _parent_of(actor), set[int]()
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        with suppress(OSError):
            is_idle = Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::IDLE")
            if is_idle and _parent_of(pid) == raylet:
                found.add(pid)
    return frozenset(found)


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Have processes stand still, as far as they live, for as long as the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def has_ended(pid: int) -> bool:
    """Whether a process is over, whoever is to take note of that."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True

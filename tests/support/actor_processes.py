"""The processes of a service's actors, for tests that kill them."""

from __future__ import annotations

from pathlib import Path

from service import Service


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

"""Who holds a store: a process, so precisely that no other can be taken for it.

A process id is used again after a while; together with the boot and the tick at which the process
was started it names one process for ever. The owner is recorded twice: in the store itself, and in
a file beside it, because the store cannot be read by anybody else as long as it is held. The file
is written right after the lock was taken; for that moment it may still name the owner before.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from pool.value import Value


class Owner(Value):
    """One life of one process. What the system does not tell is None."""

    pid: int
    boot_id: str | None = None
    started_ticks: int | None = None
    """Clock ticks from boot to the start of the process, as in ``/proc/<pid>/stat``."""

    def __str__(self) -> str:
        started = "" if self.started_ticks is None else f", started at tick {self.started_ticks}"
        boot = "" if self.boot_id is None else f" of boot {self.boot_id}"
        return f"process {self.pid}{started}{boot}"


def _boot_id() -> str | None:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _started_ticks(pid: int) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        # The second field is the command in parentheses, and may hold spaces and parentheses.
        after_command = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
        return int(after_command.split()[19])
    return None


def this_process() -> Owner:
    pid = os.getpid()
    return Owner(pid=pid, boot_id=_boot_id(), started_ticks=_started_ticks(pid))


def _note(store: Path) -> Path:
    return store.with_name(store.name + ".owner")


def write_owner(store: Path, owner: Owner) -> None:
    """Note who holds a store, at once or not at all."""
    draft = store.with_name(store.name + ".owner.new")
    draft.touch(mode=0o600)
    draft.write_text(owner.model_dump_json())
    draft.replace(_note(store))


def read_owner(store: Path) -> Owner | None:
    """Who was noted last; None where nobody was, or the note cannot be read."""
    with suppress(OSError, ValidationError, UnicodeDecodeError):
        return Owner.model_validate_json(_note(store).read_text())
    return None


def forget_owner(store: Path) -> None:
    """The owner leaves in good order. Call it while the store is still held."""
    _note(store).unlink(missing_ok=True)

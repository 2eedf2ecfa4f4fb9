"""The owner of a store: a process, named so precisely that no other can be taken for it.

A process id is used again after a while; together with the boot and the tick at which the process
was started it names one process for ever.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pool.errors import InvalidRequest
from pool.executions.request import SubscriptionId
from pool.values import Value

_ID = TypeAdapter(SubscriptionId)


class Owner(Value):
    """One life of one process. What the system does not say is None."""

    pid: int
    boot_id: str | None = None
    started_ticks: int | None = None
    """Clock ticks from boot to the start of the process, as in ``/proc/<pid>/stat``."""

    def is_frozen(self) -> bool:
        """Whether this very process is there and stopped (SIGSTOP): it holds on to what it has, and
        can neither use it nor let it go.
        """
        same_life = (self.boot_id, self.started_ticks) == (_boot_id(), _started_ticks(self.pid))
        return same_life and self.started_ticks is not None and _state(self.pid) == "T"

    def __str__(self) -> str:
        started = "" if self.started_ticks is None else f", started at tick {self.started_ticks}"
        boot = "" if self.boot_id is None else f" of boot {self.boot_id}"
        return f"process {self.pid}{started}{boot}"


def _boot_id() -> str | None:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _stat(pid: int) -> list[str]:
    """Of ``/proc/<pid>/stat`` the fields from the third on; none where it cannot be read.

    The second field is the command in parentheses, and may hold spaces and parentheses.
    """
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _state(pid: int) -> str | None:
    return next(iter(_stat(pid)), None)


def _started_ticks(pid: int) -> int | None:
    with suppress(ValueError, IndexError):
        return int(_stat(pid)[19])
    return None


def this_process() -> Owner:
    pid = os.getpid()
    return Owner(pid=pid, boot_id=_boot_id(), started_ticks=_started_ticks(pid))


def owned_name(subscription_id: str) -> str:
    """The id, which is a plain name (a folder of its own, a key of its rows) or refused."""
    try:
        return _ID.validate_python(subscription_id)
    except ValidationError:
        problem = f"{subscription_id!r} cannot name a store: use letters, digits, '.', '_' and '-'"
        raise InvalidRequest("subscription_id", problem) from None

"""The relay of the actors' streams to the standard error of a service.

Whoever started an actor, on this machine its lines are passed on, so that one collector at the
service has everything. Of several services with one data directory one passes them on, by a lock
that ends with its process, and another one after it.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from actors.telemetry.log_follower import LogFollower
from actors.telemetry.logs import Sink

LOCK = "relay.lock"
LOOK_SECONDS = 0.2
REST_SECONDS = 1.0
"""Between two looks while nobody says anything."""
SERVICES = "serve-"
"""How the names of the streams of services begin: they stand on standard error already."""


@contextmanager
def relayed(folder: Path, sink: Sink) -> Iterator[None]:
    """Pass on, for the length of the block, what actors write to their streams in a folder. Where
    there can be no such folder there are no streams either.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield
        return
    relay = _Relay(folder, sink, lock)
    try:
        relay.start()
        yield
    finally:
        relay.end()
        os.close(lock)


class _Relay(threading.Thread):
    def __init__(self, folder: Path, sink: Sink, lock: int) -> None:
        super().__init__(name="log relay", daemon=True)
        self._follower = LogFollower(folder, lambda name: not name.startswith(SERVICES))
        self._follower.last(0)
        self._sink = sink
        self._lock = lock
        self._is_ours = _locked(lock)
        self._ends = threading.Event()

    def end(self) -> None:
        """Pass on what is there, and stop."""
        self._ends.set()
        self.join()

    def run(self) -> None:
        pause = LOOK_SECONDS
        while not self._ends.wait(pause):
            pause = LOOK_SECONDS if self._look() else REST_SECONDS
        self._look()

    def _look(self) -> bool:
        """Whether there was anything."""
        lines = self._follower.new()
        if self._is_ours:
            for line in lines:
                self._sink(line + b"\n")
        self._is_ours = self._is_ours or _locked(self._lock)
        return bool(lines)


def _locked(lock: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False

"""One Ray at a time comes up on this machine: several at once take longer than Ray gives them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def starting_ray() -> Iterator[None]:
    """Wait for the turn to start a Ray; it is over where the block ends."""
    lock = Path("/tmp") / f"claude-pool-tests-{os.getuid()}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""What figures are compared with, where it is not the Claude CLI."""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path

_NUMBERS = [random.Random(number).random() for number in range(1_000)]
_TIMES = 1_000
SORTING = "sorting 1,000 numbers"
SYNCING = "4 KB and fdatasync, one after the other"


def sorting() -> float:
    """Seconds of a fixed piece of work in Python, done for long enough to be interrupted as often
    as what it is held against.
    """
    began = time.perf_counter()
    for _ in range(_TIMES):
        sorted(_NUMBERS)
    return (time.perf_counter() - began) / _TIMES


def syncs_a_second(folder: Path, seconds: float) -> float:
    """How often a disk makes 4 KB durable, for one who waits each time."""
    page, count = b"x" * 4096, 0
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        began = time.perf_counter()
        until = began + seconds
        while time.perf_counter() < until:
            file.write(page)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - began)

"""What the pool takes of an execution whose CLI answers at once: HTTP, Ray, SQLite, one process."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, Row, interleaved
from tests.benchmarks.pool_service import NOWHERE, served
from tests.support.clis.stubcli import stub_cli

CALLERS = {1: 16, 16: 4, 64: 2}
"""How many ask at once, and how often each in a round."""
YARDSTICK = "starting the stub itself"


class Stub:
    """The stub, started by hand."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _run(self, _: int) -> None:
        subprocess.run([self._path], input=b"\n\n", stdout=subprocess.DEVNULL, check=True)

    def rate(self, callers: int, each: int) -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(callers) as threads:
            list(threads.map(self._run, range(callers * each)))
        return callers * each / (time.perf_counter() - began)


def overhead(effort: Effort) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        path = stub_cli(Path(name))
        stub = Stub(path)
        # Below [claude], which write_config leaves open.
        how = {"subscriptions": 4, "slots": 16, "keep_session_seconds": 0}
        with served(Path(name), NOWHERE, more=f'path = "{path}"\n', **how) as pool:
            for callers, each in CALLERS.items():
                found = interleaved(
                    effort.rounds,
                    stub=lambda c=callers, n=each: 1000 / stub.rate(c, n),
                    pool=lambda c=callers, n=each: 1000 / pool.rate(c, n),
                )
                what = f"{callers} caller{'s' if callers > 1 else ''}"
                yield Figure.of(what, "ms/execution", found["pool"], YARDSTICK, found["stub"])


ROWS = (Row("overhead", "What the pool takes, with a CLI that answers at once", overhead),)

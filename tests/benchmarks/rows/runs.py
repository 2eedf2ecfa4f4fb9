"""Executions on the real CLI beside the bare CLI: one at a time, many at once, and streamed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.bare_cli import BARE, BareCli, standin
from tests.benchmarks.figure import Effort, Figure, Row, interleaved
from tests.benchmarks.pool_service import PoolCallers, served, way_of

CALLERS = 16
THINK_SECONDS = 1.0
PAUSE_SECONDS = 0.3
"""The pool answers before its CLI has exited, which the next run should not feel."""
COLD: dict[str, Any] = {"keep_session_seconds": 0}
AHEAD: dict[str, Any] = {"spares": "auto"}
WAYS: dict[str, Any] = {"spares": "auto", "reuse": "same_key"}
OWN_LINE = "the time to that line"
Samples = dict[str, list[float]]


@contextmanager
def side_by_side(processes: dict[str, Any]) -> Iterator[tuple[PoolCallers, BareCli]]:
    """A pool and a bare CLI that ask one stand-in."""
    with ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        url = open_.enter_context(standin())
        pool = open_.enter_context(served(folder, url, **processes))
        yield pool, BareCli(folder, url)


def cold(effort: Effort) -> Iterator[Figure]:
    """What the pool adds to a run that starts a CLI of its own."""
    with side_by_side(COLD) as (pool, bare):
        found = interleaved(2 * effort.rounds, PAUSE_SECONDS, bare=bare.seconds, pool=pool.seconds)
        own: list[float] = []

        def first_text() -> float:
            printed, arrived = pool.first_text()
            own.append(printed)
            return arrived

        texts = interleaved(
            2 * effort.rounds, PAUSE_SECONDS, bare=bare.first_text_seconds, pool=first_text
        )
    yield Figure.of("an execution, cold", "s", found["pool"], BARE, found["bare"])
    yield _added("milliseconds added, cold", found)
    yield Figure.of("first streamed token, cold", "s", texts["pool"], f"{BARE}'s", texts["bare"])
    own_lines = {"pool": texts["pool"], "bare": own[1:]}
    yield _added("milliseconds behind the line of its own CLI", own_lines, OWN_LINE)


def _added(name: str, found: Samples, yardstick: str = BARE) -> Figure:
    """The milliseconds between two that were taken together."""
    pairs = zip(found["pool"], found["bare"], strict=True)
    added = [1000 * (pool - bare) for pool, bare in pairs]
    return Figure.of(name, "ms", added, yardstick, [1000 * each for each in found["bare"]])


def ways(effort: Effort) -> Iterator[Figure]:
    """Each way to run, as the executions say which it was."""
    noted = ByWay()
    with side_by_side(WAYS) as (pool, bare):
        pool.seconds()
        for _ in range(effort.rounds):
            base = bare.seconds()
            time.sleep(THINK_SECONDS)
            session = noted("after 1 s of rest", base, pool.executed())["session_id"]
            noted("further turn", base, pool.executed(session_id=session))
            time.sleep(THINK_SECONDS)
            further = pool.executed(session_id=session)
            noted("further turn after 1 s of thought", base, further)
            noted("at once after another", base, pool.executed())
    yield from noted.figures()


def conversation(effort: Effort) -> Iterator[Figure]:
    """Conversations of an SDK, which sends all of it with each turn, and its ``max_tokens``."""
    noted = ByWay()
    with side_by_side(AHEAD) as (pool, bare):
        pool.seconds()
        for _ in range(effort.rounds):
            base = bare.seconds()
            time.sleep(2 * THINK_SECONDS)  # a spare is started, and up
            history: list[dict[str, Any]] = []
            for turn in ("first turn", "second turn"):
                noted(turn, base, pool.messaged(history))
    yield from noted.figures()


class ByWay:
    """What was measured beside a base, by what it was and the way that its execution says."""

    def __init__(self) -> None:
        self._values: Samples = {}
        self._bases: Samples = {}

    def __call__(
        self, what: str, base: float, measured: tuple[float, dict[str, Any]]
    ) -> dict[str, Any]:
        took, execution = measured
        name = f"{what}, {way_of(execution)}"
        self._values.setdefault(name, []).append(took)
        self._bases.setdefault(name, []).append(base)
        return execution

    def figures(self) -> Iterator[Figure]:
        for name, taken in self._values.items():
            yield Figure.of(name, "s", taken, BARE, self._bases[name])


def throughput(effort: Effort) -> Iterator[Figure]:
    """Sixteen callers, each of whom asks anew once answered."""
    rate: Callable[[], float]
    with side_by_side(WAYS) as (pool, bare):
        rate = lambda: pool.rate(CALLERS)  # noqa: E731
        found = interleaved(effort.rounds, bare=lambda: bare.rate(CALLERS), pool=rate)
    yield Figure.of(
        f"{CALLERS} callers", "executions/s", found["pool"], BARE, found["bare"], "higher"
    )


ROWS = (
    Row("cold", "A run that starts a CLI of its own", cold),
    Row("ways", "Ways to run", ways),
    Row("conversation", "A conversation of an SDK, by `/v1/messages`", conversation),
    Row("throughput", "Many callers at once", throughput),
)

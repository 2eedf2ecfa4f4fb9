"""Where the milliseconds of an execution are, from the caller's socket to the CLI and back.

    python tests/benchmarks/way.py [EXECUTIONS]

A served pool traces itself (spans over OTLP), and its supervisor notes on the system's clock when
it started the CLI, fed it and saw its answer. Executions run one at a time, with the real CLI and
the stand-in; the table shows medians.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles

from pool.claude.process.files.run_directory import RunDirectory
from tests.benchmarks import machine
from tests.benchmarks.bare_cli import standin
from tests.benchmarks.pool_service import PoolCallers, served
from tests.support.services.collector import Collector, Seen, collecting

EXECUTIONS = 20
SPAN_SECONDS = 2.5
"""Spans are sent every second."""
Marks = dict[str, float]
STRETCHES = {
    "socket to route": ("sent", "request begins"),
    "route to router: keys, client, an actor's call": ("request begins", "dispatch begins"),
    "router: rank, claim in one commit, an actor's call": ("dispatch begins", "admission begins"),
    "subscription: admission and T1": ("admission begins", "admission ends"),
    "T1 to the CLI's fork: run directory, supervisor": ("admission ends", "cli begins"),
    "the CLI: start, request, answer": ("cli begins", "answered"),
    "result line to conclusion": ("answered", "finished"),
    "T2": ("finished", "settled"),
    "back: an actor's call, route": ("settled", "request ends"),
    "route to socket": ("request ends", "arrived"),
    "all": ("sent", "arrived"),
}


def main(executions: int) -> None:
    with ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        collector = open_.enter_context(collecting())
        more = f'[tracing]\nendpoint = "{collector.url}"\n'
        url = open_.enter_context(standin())
        pool = open_.enter_context(served(folder, url, more=more, keep_session_seconds=0))
        pool.executed()
        marks = [_executed(pool) for _ in range(executions)]
        time.sleep(SPAN_SECONDS)
        for each in marks:
            each[1].update(_spans(collector, each[0]))
    print(" ".join(f"{name}={value}" for name, value in machine.described().items()), "\n")
    print(*_table([each for _, each in marks]), sep="\n")


def _executed(pool: PoolCallers) -> tuple[str, Marks]:
    """An execution's id, and what is known of it without spans."""
    time.sleep(0.3)  # the last one's CLI has exited
    sent = time.time()
    _, execution = pool.executed()
    arrived = time.time()
    # Its directory goes with its CLI, which takes 50 ms more to exit.
    runs = pool.service.data_dir / "subscriptions" / execution["subscription_id"] / "runs"
    directory = RunDirectory(runs, execution["id"])
    started, stretch = directory.process.started(), directory.stretch()
    assert started is not None
    assert stretch is not None
    assert stretch.answered_at is not None
    boot = time.time() - time.monotonic()
    return execution["id"], {
        "sent": sent,
        "arrived": arrived,
        "cli begins": boot + started.monotonic,
        "answered": boot + stretch.answered_at,
        "finished": datetime.fromisoformat(execution["finished_at"]).timestamp(),
    }


def _spans(collector: Collector, execution_id: str) -> Iterator[tuple[str, float]]:
    """What its spans mark."""
    own = [s for s in collector.spans if s.attributes.get("execution_id") == execution_id]
    trace = own[0].trace
    found: dict[str, Seen] = {each.name: each for each in collector.spans if each.trace == trace}
    for name in ("request", "dispatch", "admission"):
        yield f"{name} begins", found[name].begun_at
        yield f"{name} ends", found[name].begun_at + found[name].seconds
    yield "settled", found["settle"].begun_at + found["settle"].seconds


def _table(marks: list[Marks]) -> Iterator[str]:
    yield "| stretch | median ms | 90% within |"
    yield "|---|--:|--:|"
    for name, (begins, ends) in STRETCHES.items():
        took = [1000 * (each[ends] - each[begins]) for each in marks]
        yield f"| {name} | {median(took):.1f} | {quantiles(took, n=10)[-1]:.1f} |"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else EXECUTIONS)

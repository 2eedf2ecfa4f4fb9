# ruff: noqa: T201 - a script that is read on a terminal
"""Everything in ``tests/chaos`` with its large numbers, and the trips that have a longer form; one
table of what came of it.

    python tests/chaos/report.py [--short]

Each scenario is a selection of tests; a fault is counted where it was injected. The tests assert
that nothing is lost and nothing counted twice: a scenario that is red says so at once, with the
case that failed, and the run ends with an error. ``uncertain`` counts runs of which nobody can know
what they spent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASE_LINES = 120
"""Shown of a failure: the longest case of hypothesis has 100 steps and checks."""
FIGURES = ("faults", "survived", "lost", "double", "uncertain")


@dataclass(frozen=True)
class Scenario:
    name: str
    tests: tuple[str, ...]
    seconds: float
    """For the whole selection, on a machine that does other things too."""


IN_FULL = tuple(
    f"tests/trips/{name}.py"
    for name in (
        *("service/test_clients", "service/test_routing", "service/test_executions"),
        *("real_cli/test_client_tools", "real_cli/test_isolation", "real_cli/test_process_ways"),
    )
)
SCENARIOS = (
    Scenario("state machine: crashes, takeovers, jumps", ("test_state_machine.py",), 2400),
    Scenario("crash points of an execution", ("test_crash_points.py",), 600),
    Scenario("crash points of rounds with tools", ("test_crash_points_of_rounds.py",), 600),
    Scenario("store killed while it commits", ("test_kill_loops.py", "-k", "a_store"), 1200),
    Scenario(
        "subscription killed in live runs", ("test_kill_loops.py", "-k", "however_their_runs"), 1800
    ),
    Scenario("router and subscription killed", ("test_kill_loops.py", "-k", "together"), 900),
    Scenario("whole service killed", ("test_kill_loops.py", "-k", "whole_service"), 1800),
    Scenario("killed while callers' tools run", ("test_kill_loops.py", "-k", "tools_run"), 1800),
    Scenario("frozen owner", ("test_zombie.py",), 300),
    Scenario("I/O faults", ("test_io_faults.py",), 1200),
    Scenario("PostgreSQL killed under load", ("test_postgresql.py",), 600),
    Scenario("hosts and links of a cluster", ("hosts_in_full.py",), 900),
    Scenario("a host lost, of three", ("../trips/cluster/test_node_loss.py",), 900),
    Scenario("trips of a whole service", ("../trips/cluster/test_upgrade.py", *IN_FULL), 1200),
)


@dataclass(frozen=True)
class Red:
    """A test that failed, and how: the assertion, or the steps that hypothesis found."""

    test: str
    case: str


@dataclass(frozen=True)
class Line:
    scenario: str
    figures: Counter[str]
    red: tuple[Red, ...]
    seconds: float


def run(scenario: Scenario, *, short: bool) -> Line:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-report-") as folder:
        tally, results, printed = (Path(folder) / name for name in ("tally", "xml", "printed"))
        environment = {**os.environ, "CHAOS_TALLY": str(tally)}
        environment |= {} if short else {"CHAOS": "full"}
        first, *rest = scenario.tests
        argv = [sys.executable, "-m", "pytest", "-q", "--tb=short", f"--junit-xml={results}"]
        try:
            with printed.open("wb") as file:
                subprocess.run(
                    [*argv, str(HERE / first), *rest],
                    cwd=ROOT,
                    env=environment,
                    check=False,
                    timeout=scenario.seconds,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            red = _red(results, printed)
        except subprocess.TimeoutExpired:
            red = (Red(f"(it took longer than {scenario.seconds:g} s)", _end_of(printed)),)
        figures: Counter[str] = Counter()
        if tally.exists():
            for line in tally.read_text(encoding="utf-8").splitlines():
                figures.update(json.loads(line))
    return Line(scenario.name, figures, red, time.monotonic() - began)


def _red(results: Path, printed: Path) -> tuple[Red, ...]:
    if not results.exists():
        return (Red("(it did not run)", _end_of(printed)),)
    cases = list(ET.parse(results).getroot().iter("testcase"))
    if not cases:
        return (Red("(no test was found)", _end_of(printed)),)
    return tuple(
        Red(case.get("name", "?"), _last_lines(why.text or why.get("message", "")))
        for case in cases
        for why in (*case.iter("failure"), *case.iter("error"))
    )


def _end_of(printed: Path) -> str:
    return _last_lines(printed.read_text(encoding="utf-8", errors="replace"))


def _last_lines(text: str) -> str:
    """The last lines, where pytest and hypothesis say what failed."""
    return "\n".join(text.rstrip().splitlines()[-CASE_LINES:])


def tell(line: Line) -> None:
    """What came of a scenario, as soon as it is known."""
    how = "red" if line.red else "green"
    print(f"{line.scenario}: {how}, {line.seconds:.0f} s", file=sys.stderr)
    for red in line.red:
        print(f"\nRED: {red.test}\n{red.case}\n", file=sys.stderr, flush=True)


def show(lines: list[Line]) -> None:
    width = max(len(line.scenario) for line in lines)
    heads = ("faults injected", "survived", "lost", "double-counted", "uncertain")
    print(f"| {'scenario':{width}} | {' | '.join(heads)} |")
    print(f"|{'-' * (width + 2)}|{'|'.join('-' * (len(head) + 1) + ':' for head in heads)}|")
    for line in lines:
        cells = (
            f"{line.figures[name]:>{len(head)}}" for name, head in zip(FIGURES, heads, strict=True)
        )
        print(f"| {line.scenario:{width}} | {' | '.join(cells)} |")
    print()
    for line in lines:
        for red in line.red:
            print(f"RED: {line.scenario}: {red.test}")


def mutants() -> int:
    print("Mutants: the guard that was taken out, and the first test that went red\n", flush=True)
    return subprocess.run(
        [sys.executable, str(HERE / "mutants.py")], cwd=ROOT, check=False
    ).returncode


def main() -> int:
    short = "--short" in sys.argv[1:]
    lines = []
    for scenario in SCENARIOS:
        lines.append(run(scenario, short=short))
        tell(lines[-1])
    show(lines)
    alive = 0 if short else mutants()
    return 1 if alive or any(line.red for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())

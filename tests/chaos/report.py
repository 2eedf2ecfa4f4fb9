# ruff: noqa: T201 - a script that is read on a terminal
"""Everything in ``tests/chaos`` with its large numbers, and one table of what came of it.

    python tests/chaos/report.py [--short]

Each scenario is a selection of tests; a fault is counted where it was injected. The tests assert
that nothing is lost and nothing counted twice: a scenario that is red says so in its line, and the
run ends with an error. ``uncertain`` counts runs of which nobody can know what they spent.
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
FIGURES = ("faults", "survived", "lost", "double", "uncertain")


@dataclass(frozen=True)
class Scenario:
    name: str
    tests: tuple[str, ...]
    seconds: float
    """For the whole selection, on a machine that does other things too."""


SCENARIOS = (
    Scenario("state machine: crashes, takeovers, jumps", ("test_state_machine.py",), 2400),
    Scenario("crash points of an execution", ("test_crash_points.py",), 600),
    Scenario("store killed while it commits", ("test_kill_loops.py", "-k", "a_store"), 1200),
    Scenario(
        "subscription killed in live runs", ("test_kill_loops.py", "-k", "is_killed_under"), 1800
    ),
    Scenario("router and subscription killed", ("test_kill_loops.py", "-k", "together"), 900),
    Scenario("whole service killed", ("test_kill_loops.py", "-k", "whole_service"), 1800),
    Scenario("frozen owner", ("test_zombie.py",), 300),
    Scenario("I/O faults", ("test_io_faults.py",), 1200),
    Scenario("PostgreSQL killed under load", ("test_postgresql.py",), 600),
)


@dataclass(frozen=True)
class Line:
    scenario: str
    figures: Counter[str]
    red: tuple[str, ...]
    seconds: float


def run(scenario: Scenario, *, short: bool) -> Line:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-report-") as folder:
        tally, results = Path(folder) / "tally", Path(folder) / "results.xml"
        environment = {**os.environ, "CHAOS_TALLY": str(tally)}
        environment |= {} if short else {"CHAOS": "full"}
        first, *rest = scenario.tests
        argv = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={results}", str(HERE / first)]
        try:
            subprocess.run(
                [*argv, *rest],
                cwd=ROOT,
                env=environment,
                check=False,
                timeout=scenario.seconds,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            red = _red(results)
        except subprocess.TimeoutExpired:
            red = ("(it took too long)",)
        figures: Counter[str] = Counter()
        if tally.exists():
            for line in tally.read_text(encoding="utf-8").splitlines():
                figures.update(json.loads(line))
    return Line(scenario.name, figures, red, time.monotonic() - began)


def _red(results: Path) -> tuple[str, ...]:
    if not results.exists():
        return ("(it did not run)",)
    cases = list(ET.parse(results).getroot().iter("testcase"))
    bad = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    return tuple(case.get("name", "?") for case in bad) if cases else ("(no test was found)",)


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
        for name in line.red:
            print(f"RED: {line.scenario}: {name}")


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
        how = "red" if lines[-1].red else "green"
        print(f"{scenario.name}: {how}, {lines[-1].seconds:.0f} s", file=sys.stderr, flush=True)
    show(lines)
    alive = 0 if short else mutants()
    return 1 if alive or any(line.red for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())

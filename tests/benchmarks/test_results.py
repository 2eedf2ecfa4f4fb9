"""The arithmetic of the benchmarks: ratios, and what counts as a change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.figure import Figure, interleaved
from tests.benchmarks.results import Measured, changes, document, ratios_of, table

HERE = Path(__file__).parent


def figure(ratio: float, *, higher: bool = False) -> Figure:
    return Figure.of("f", "s", [ratio], "y", [1.0], "higher" if higher else "lower")


def measured(*figures: Figure) -> list[Measured]:
    return [Measured("r", "Row", figures, load=0.5)]


def test_the_ratio_is_the_median_of_the_rounds_and_not_of_the_medians() -> None:
    # One round fell on a busy moment, which weighed on both.
    found = Figure.of("f", "s", [1.0, 20.0, 3.0], "y", [1.0, 10.0, 1.0])

    assert (found.value, found.base, found.ratio, found.worst) == (3.0, 1.0, 2.0, 3.0)


def test_the_worst_of_a_rate_is_the_lowest() -> None:
    assert Figure.of("f", "1/s", [4.0, 2.0], "y", [2.0], "higher").worst == 1.0


def test_every_way_is_measured_in_every_round_but_the_first() -> None:
    calls: list[str] = []

    found = interleaved(
        2, a=lambda: float(len(calls.append("a") or calls)), b=lambda: calls.append("b") or 0.0
    )

    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [4.0, 5.0], "b": [0.0, 0.0]}


@pytest.mark.parametrize(
    ("now", "higher", "is_worse"),
    [(1.2, False, True), (0.8, False, False), (0.8, True, True), (1.2, True, False)],
)
def test_a_ratio_that_differs_is_reported_by_what_is_better(
    now: float, higher: bool, is_worse: bool
) -> None:
    (change,) = changes(measured(figure(now, higher=higher)), {("r", "f"): 1.0})

    assert change.is_worse is is_worse
    assert str(change).startswith("worse" if is_worse else "better")


def test_what_machines_differ_by_is_no_change_and_neither_is_a_new_figure() -> None:
    assert list(changes(measured(figure(1.1)), {("r", "f"): 1.0})) == []
    assert list(changes(measured(figure(9.0)), {})) == []


def test_results_are_read_back_as_they_were_kept() -> None:
    kept = document(measured(figure(1.5)), {"at": "now"})

    assert ratios_of(kept) == {("r", "f"): 1.5}
    assert ratios_of("") == {}
    assert json.loads(kept)["rows"][0]["load"] == 0.5


def test_a_table_shows_the_ratio_and_the_one_before() -> None:
    lines = list(table(measured(figure(1.5)), {("r", "f"): 1.25}))

    assert lines[-2] == "| f | 1.5 s | y | 1 | 1.5x | 1.5x | 1.25x |"


@pytest.mark.slow
def test_a_row_is_measured_by_one_command() -> None:
    ended = subprocess.run(
        [sys.executable, HERE, "--quick", "--only", "decisions"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    (line,) = (each for each in ended.stdout.splitlines() if each.startswith("| 1,000 subscr"))
    assert float(line.split("|")[5].strip().rstrip("x")) <= 3, "a decision is not flat any more"

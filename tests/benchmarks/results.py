"""Results of a run: kept as JSON, shown as a table, compared with those of the last commit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.figure import Figure

HERE = Path(__file__).parent
JSON = HERE / "results.json"
TABLE = HERE / "RESULTS.md"
TOLERANCE = 0.15
"""How much a ratio may differ from the last one: two runs on a quiet machine differ by 5-10%."""
Ratios = dict[tuple[str, str], float]


class Measured(NamedTuple):
    """The figures of one row."""

    name: str
    title: str
    figures: tuple[Figure, ...]
    load: float
    """Of the machine as it began."""


class Change(NamedTuple):
    """A ratio that differs from the last commit's."""

    row: str
    figure: str
    before: float
    now: float
    is_worse: bool

    def __str__(self) -> str:
        how = "worse" if self.is_worse else "better"
        ratios = f"{_shown(self.before)}x before, {_shown(self.now)}x now"
        return f"{how}: {self.row}, {self.figure}: {ratios}"


def committed() -> str:
    """The JSON of the last commit; nothing where none has it."""
    command = ["git", "-C", str(HERE), "show", f"HEAD:./{JSON.name}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def ratios_of(text: str) -> Ratios:
    """The ratios in a document of results."""
    document = json.loads(text) if text else {"rows": []}
    return {
        (row["name"], figure["name"]): figure["ratio"]
        for row in document["rows"]
        for figure in row["figures"]
    }


def changes(rows: Iterable[Measured], before: Ratios) -> Iterator[Change]:
    """What differs by more than machines do from one run to the next."""
    for row in rows:
        for figure in row.figures:
            old = before.get((row.name, figure.name))
            if old is None or abs(figure.ratio - old) <= TOLERANCE * abs(old):
                continue
            is_worse = (figure.ratio > old) == (figure.better == "lower")
            yield Change(row.name, figure.name, old, figure.ratio, is_worse)


def document(rows: Iterable[Measured], machine: dict[str, Any]) -> str:
    described = [
        {
            "name": row.name,
            "load": row.load,
            "figures": [each.document() for each in row.figures],
        }
        for row in rows
    ]
    return json.dumps({"machine": machine, "rows": described}, indent=1) + "\n"


def table(rows: Iterable[Measured], before: Ratios) -> Iterator[str]:
    """Lines of Markdown, which can be read on a terminal too."""
    for row in rows:
        yield f"## {row.title} (`{row.name}`, load {row.load:.1f})\n"
        yield "| | median | compared with | its median | ratio | worst | before |"
        yield "|---|--:|---|--:|--:|--:|--:|"
        for each in row.figures:
            old = before.get((row.name, each.name))
            yield (
                f"| {each.name} | {_shown(each.value)} {each.unit} | {each.yardstick} "
                f"| {_shown(each.base)} | {_shown(each.ratio)}x | {_shown(each.worst)}x "
                f"| {'' if old is None else f'{_shown(old)}x'} |"
            )
        yield ""


def _shown(value: float) -> str:
    """Three digits that count, at least."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def page(rows: Iterable[Measured], machine: dict[str, Any], before: Ratios) -> str:
    """The whole of RESULTS.md."""
    about = (
        f"Measured on {machine['at'][:10]} at commit {machine['commit']}: {machine['cores']} cores "
        f"({machine['processor']}), {machine['memory_gib']} GiB, Linux {machine['kernel']}, Python "
        f"{machine['python']}, CLI {machine['cli']}, load {machine['load']} at the start."
    )
    how = (
        "Made by `make bench`. Each figure was taken in interleaved rounds with what it is "
        "compared with; the ratio is the median of the rounds' ratios, *worst* the worst of them."
    )
    return "\n".join(["# Results", "", about, "", how, "", *table(rows, before)])

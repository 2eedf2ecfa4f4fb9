"""Two mutants in short; ``make chaos`` runs all of them. See ``mutants.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.mutants import MUTANTS

SCRIPT = Path(__file__).with_name("mutants.py")
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_two_mutants_are_killed() -> None:
    """The epoch check and the reservation: each without its guard makes a test go red."""
    ended = subprocess.run(
        [sys.executable, SCRIPT, "--only-mutated", "epoch check", "budget is reserved"],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [line.split("  ")[0] for line in ended.stdout.splitlines()] == [
        "epoch check",
        "budget is reserved",
    ]


def test_every_guard_stands_where_its_mutant_looks_for_it() -> None:
    """A mutant whose text is not there any more would be no mutant."""
    counts = {m.name: (ROOT / m.file).read_text(encoding="utf-8").count(m.guard) for m in MUTANTS}

    assert len(counts) == len(MUTANTS), "each has a name of its own"
    assert counts == dict.fromkeys(counts, 1)
    files = {name for mutant in MUTANTS for name in mutant.tests if name.startswith("tests/")}
    assert [name for name in sorted(files) if not (ROOT / name.partition("::")[0]).exists()] == []

"""Counts what was injected and what came of it, for the table of ``tests/chaos/report.py``.

Where nobody wants a table nothing is written.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Lost(AssertionError):
    """Something that was acknowledged is not there."""


class Doubled(AssertionError):
    """Something is counted, or was started, twice."""


def tally(figures: Counter[str]) -> None:
    path = os.environ.get("CHAOS_TALLY")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")


@contextmanager
def injected(faults: int = 1) -> Iterator[Counter[str]]:
    """Faults, all of which were survived if the checks inside are passed. A test that does not
    know their number yet adds to ``faults`` as it goes, and to ``uncertain``.
    """
    figures: Counter[str] = Counter(faults=faults)
    try:
        yield figures
    except Lost:
        figures["lost"] += 1
        raise
    except Doubled:
        figures["double"] += 1
        raise
    else:
        figures["survived"] = figures["faults"]
    finally:
        tally(figures)

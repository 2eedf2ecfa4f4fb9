"""Measures the pool: ``make bench``, or ``python tests/benchmarks [--quick] [--only ROW]``.

A whole run takes some twenty-five minutes on two idle cores, and writes ``results.json`` and
``RESULTS.md``. With ``--only`` or ``--quick`` nothing is written. What differs from the committed
results is listed at the end; so is a row that failed, and then nothing is written either.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.benchmarks import machine, results
from tests.benchmarks.figure import Effort, Row
from tests.benchmarks.rows import (
    activation,
    decisions,
    durable_records,
    overhead,
    page,
    recovery,
    registered,
    rest,
    restart,
    runs,
)

ROWS: tuple[Row, ...] = (
    *runs.ROWS,
    *overhead.ROWS,
    *decisions.ROWS,
    *durable_records.ROWS,
    *activation.ROWS,
    *recovery.ROWS,
    *restart.ROWS,
    *rest.ROWS,
    *page.ROWS,
    *registered.ROWS,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=[each.name for each in ROWS])
    parser.add_argument("--quick", action="store_true", help="three rounds, and small ledgers")
    asked = parser.parse_args()
    logging.disable()  # pools that are made in this process have nothing to say
    effort = Effort.quick() if asked.quick else Effort.full()
    about, before, measured = machine.described(), results.ratios_of(results.committed()), []
    failed: list[str] = []
    print(" ".join(f"{name}={value}" for name, value in about.items()), "\n", flush=True)
    for row in ROWS:
        if asked.only is not None and row.name not in asked.only:
            continue
        load, began = machine.load(), time.monotonic()
        try:
            figures = tuple(row.measure(effort))
        except Exception as error:  # noqa: BLE001 - the other rows are worth having
            failed.append(f"FAILED: {row.name}: {type(error).__name__}: {error}")
            continue
        measured.append(results.Measured(row.name, row.title, figures, load))
        print(*results.table(measured[-1:], before), sep="\n", flush=True)
        print(f"{row.name}: {time.monotonic() - began:.0f} s\n", file=sys.stderr, flush=True)
    if asked.only is None and not asked.quick and not failed:
        results.JSON.write_text(results.document(measured, about), encoding="utf-8")
        results.TABLE.write_text(results.page(measured, about, before), encoding="utf-8")
    found = list(results.changes(measured, before))
    print(*(found or ["nothing differs from the committed results"]), *failed, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

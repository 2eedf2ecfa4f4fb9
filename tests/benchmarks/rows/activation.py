"""What a ledger of many records costs: to activate a subscription, and to know its week."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pool.storage.sqlite import SqliteStores
from pool.usage.spending import WEEK, Spending, weekly_total
from tests.benchmarks.figure import Effort, Figure, Row, interleaved

NOW = datetime(2026, 1, 28, 15, tzinfo=UTC)
RECORDS = (1_000, 10_000, 100_000, 1_000_000)
QUICK = RECORDS[:3]
WEEK_SQL = "SELECT sum(cost_nano_usd) FROM usage_records WHERE timestamp > ?"
YARDSTICK = "SQLite's own sum of the week"
_FILL = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :records)
INSERT INTO usage_records (id, timestamp, cost_nano_usd, source, document)
SELECT printf('%08d', i), :now - i * (:week / :records), 1000000 + i, 'execution', '{}' FROM n
"""


class FullLedger:
    """The file of a subscription that ran so often in a week."""

    def __init__(self, folder: Path, records: int) -> None:
        self._stores = SqliteStores(folder)
        asyncio.run(self._opened())  # makes the file
        (self._file,) = folder.glob("**/ledger.sqlite")
        with sqlite3.connect(self._file) as db:
            micros = int(NOW.timestamp() * 1_000_000)
            week = WEEK // timedelta(microseconds=1)
            db.execute(_FILL, {"records": records, "now": micros, "week": week})
        db.close()
        self._spending = asyncio.run(self._opened())

    async def _opened(self) -> Spending:
        ledger = await self._stores.open_ledger("bench")
        recovery = await ledger.recover(NOW - WEEK)
        await ledger.close()
        return Spending(recovery.costs)

    def activation(self) -> float:
        """Milliseconds to take the lock, raise the epoch, and rebuild the spending."""
        began = time.perf_counter()
        asyncio.run(self._opened())
        return 1000 * (time.perf_counter() - began)

    def total(self) -> float:
        """Microseconds to know the week, at any moment."""
        began = time.perf_counter()
        for _ in range(1000):
            weekly_total(self._spending, NOW)
        return 1000 * (time.perf_counter() - began)

    def summed(self) -> float:
        """Milliseconds that SQLite itself takes to sum the week."""
        began = time.perf_counter()
        db = sqlite3.connect(self._file)
        db.execute(WEEK_SQL, [int((NOW - WEEK).timestamp() * 1_000_000)]).fetchone()
        db.close()
        return 1000 * (time.perf_counter() - began)


def activation(effort: Effort) -> Iterator[Figure]:
    for records in QUICK if effort.is_quick else RECORDS:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            ledger = FullLedger(Path(folder), records)
            found = interleaved(
                effort.rounds,
                summed=ledger.summed,
                activation=ledger.activation,
                total=ledger.total,
            )
        size = f"{records:,} records"
        summed = [1000 * each for each in found["summed"]]
        yield Figure.of(
            f"activation, {size}", "ms", found["activation"], YARDSTICK, found["summed"]
        )
        yield Figure.of(f"weekly total, {size}", "us", found["total"], YARDSTICK, summed)


ROWS = (Row("activation", "Activation and weekly total by the size of the ledger", activation),)

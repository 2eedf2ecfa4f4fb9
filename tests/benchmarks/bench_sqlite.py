"""Durable rows a second, alone and together, and how long an activation reads 100k records.

Run it as a script; it prints a table. Every row is on the disk before its call returns.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pool.storage.ledger.ledger import Ledger
from pool.storage.sqlite import SqliteStores
from pool.usage.records import ModelUsage, Usage, UsageRecord

NOW = datetime(2026, 1, 28, 15, tzinfo=UTC)
ROWS = 8_000
RECORDS = 100_000


def _record(name: str, number: int) -> UsageRecord:
    usage = ModelUsage(input_tokens=10, output_tokens=200, cost_nano_usd=30_000_000 + number)
    return UsageRecord(
        id=f"{name}-{number}",
        subscription_id="bench",
        timestamp=NOW + timedelta(seconds=number),
        usage=Usage(models={"claude-sonnet-4-5": usage}),
    )


async def _writes(ledger: Ledger, callers: int, rows: int) -> float:
    """Rows a second of ``callers``, each of whom waits for one row before the next."""
    records = [_record(f"{callers}", number) for number in range(rows)]

    async def caller(first: int) -> None:
        for record in records[first::callers]:
            await ledger.record(record)

    started = time.perf_counter()
    await asyncio.gather(*(caller(first) for first in range(callers)))
    return rows / (time.perf_counter() - started)


async def _measure(stores: SqliteStores) -> None:
    ledger = await stores.open_ledger("bench")
    print(f"{'callers':>10} {'durable rows/s':>16} {'ms a row':>10}")
    for callers, rows in ((1, ROWS // 4), (16, ROWS), (64, ROWS)):
        rate = await _writes(ledger, callers, rows)
        print(f"{callers:>10} {rate:>16,.0f} {1000 * callers / rate:>10.2f}")
    await ledger.close()

    ledger = await stores.open_ledger("old")
    records = (_record("old", number) for number in range(RECORDS))
    for _ in range(RECORDS // 1000):
        await asyncio.gather(*(ledger.record(next(records)) for _ in range(1000)))
    await ledger.close()

    started = time.perf_counter()
    ledger = await stores.open_ledger("old")
    opened = time.perf_counter()
    recovery = await ledger.recover(NOW - timedelta(days=7))
    recovered = time.perf_counter()
    await ledger.close()
    print(f"open {1000 * (opened - started):.1f} ms", end=", ")
    print(f"recover {len(recovery.costs):,} records {1000 * (recovered - opened):.1f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(SqliteStores(Path(folder))))


if __name__ == "__main__":
    main()

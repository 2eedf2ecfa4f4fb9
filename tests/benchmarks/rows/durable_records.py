"""Usage records a second, each of them on the disk before its call returns."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from pool.storage.ledger.ledger import Ledger
from pool.storage.postgresql import PostgresqlStores
from pool.storage.sqlite import SqliteStores
from pool.usage.records import ModelUsage, Usage, UsageRecord
from tests.benchmarks.figure import Effort, Figure, Row, interleaved
from tests.benchmarks.yardsticks import SYNCING, syncs_a_second

NOW = datetime(2026, 1, 28, 15, tzinfo=UTC)
CALLERS = (1, 16, 64)
SECONDS = 0.5


def _records() -> Iterator[UsageRecord]:
    for number in count():
        usage = ModelUsage(input_tokens=10, output_tokens=200, cost_nano_usd=30_000_000 + number)
        yield UsageRecord(
            id=f"record-{number}",
            subscription_id="bench",
            timestamp=NOW + timedelta(milliseconds=number),
            usage=Usage(models={"claude-sonnet-4-5": usage}),
        )


async def _rate(ledger: Ledger, callers: int, records: Iterator[UsageRecord]) -> float:
    """Records a second of ``callers``, each of whom waits for one before the next."""
    until, kept = time.perf_counter() + SECONDS, count()

    async def caller() -> None:
        while time.perf_counter() < until:
            await ledger.record(next(records))
            next(kept)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return next(kept) / (time.perf_counter() - began)


def _figures(
    effort: Effort, stores: SqliteStores | PostgresqlStores, folder: Path
) -> Iterator[Figure]:
    with asyncio.Runner() as loop:
        ledger = loop.run(stores.open_ledger("bench"))
        records = _records()
        ways = {
            f"c{callers}": lambda c=callers: loop.run(_rate(ledger, c, records))
            for callers in CALLERS
        }
        found = interleaved(effort.rounds, disk=lambda: syncs_a_second(folder, SECONDS), **ways)
        loop.run(ledger.close())
    for callers in CALLERS:
        name = f"{callers} caller{'s' if callers > 1 else ''}"
        yield Figure.of(name, "records/s", found[f"c{callers}"], SYNCING, found["disk"], "higher")


def sqlite(effort: Effort) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield from _figures(effort, SqliteStores(Path(folder)), Path(folder))


def postgresql(effort: Effort) -> Iterator[Figure]:
    """The server of the tests, with ``fsync`` on."""
    from tests.support.stores.postgres import Server

    server = Server()
    try:
        server.start()
        for setting in ("fsync = on", "autovacuum = on"):
            server.sql(f"ALTER SYSTEM SET {setting}")
        server.sql("SELECT pg_reload_conf()")
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            stores = PostgresqlStores(server.fresh_schema())
            yield from _figures(effort, stores, Path(folder))
    finally:
        with suppress(ProcessLookupError):
            server.close()


ROWS = (
    Row("sqlite", "Durable records in SQLite", sqlite),
    Row("postgresql", "Durable records in PostgreSQL", postgresql),
)

"""A pool with much behind it: real ledgers and the real application in this process, and as many
records as wanted, spread over as many subscriptions. Nothing runs.

For what a look at a pool costs, however long it has been at work.
"""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.server.app import create_app
from api.server.listening import bound, listening
from api.web.authentication import Keys
from pool.config import parse
from pool.executions.intent import Intent
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.money import nano_usd
from pool.storage.directory.portion import DirectoryPortion, KeptHome
from pool.storage.ledger.portion import LedgerPortion, SubscriptionRows
from pool.storage.sqlite import SqliteStores
from pool.usage.blocks import block_at
from pool.usage.periods import Period, PeriodTotal, begin, kinds_of
from pool.usage.records import UsageRecord
from pool.usage.totals import BlockTotal
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.values.examples import completed, spec, usage_of
from tests.support.values.manual_clock import ManualClock

START_SECONDS = 150
SPAN = timedelta(days=28)
_AT_ONCE = 1_000
_MODELS = ("claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5")
_PROJECTS = ("billing", "docs", "search")
_KEYS = ("backend", "ci")


def names(subscriptions: int) -> list[str]:
    return [f"sub{number:02}" for number in range(subscriptions)]


async def fill(
    folder: Path, subscriptions: int, records: int, now: datetime, span: timedelta
) -> None:
    """Write the stores of a pool that ran so often, evenly over a span, as migrations between
    engines write them.
    """
    stores = SqliteStores(folder)
    directory = await stores.open_directory()
    for number, id_ in enumerate(names(subscriptions)):
        share = len(range(number, records, subscriptions))
        rows = [
            _execution(id_, each, now - (each + 1) * span / (share + 1)) for each in range(share)
        ]
        charged = [_record(id_, row) for row in rows]
        ledger = await stores.open_ledger(id_)
        for at in range(0, share, _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            await ledger.load(LedgerPortion(executions=(*rows[part],), records=(*charged[part],)))
        subscription = SubscriptionRows(executions_ended=share)
        await ledger.load(LedgerPortion(subscription=subscription, blocks=_blocks(charged)))
        await ledger.load(LedgerPortion(periods=_periods(charged)))
        await ledger.close()
        await directory.load(DirectoryPortion(homes=tuple(_home(id_, row) for row in rows)))
    await directory.close()


def _execution(id_: str, number: int, began: datetime) -> ExecutionRow:
    model = _MODELS[number % len(_MODELS)]
    outcome = completed(f"answer {number}").model_copy(
        update={"usage": usage_of(f"0.0{1 + number % 9}", model), "model": model}
    )
    return ExecutionRow(
        intent=Intent(
            execution_id=f"{id_}-{number:07}",
            request=ExecutionRequest(
                prompt=f"the {number}th question",
                metadata={"project": _PROJECTS[number % len(_PROJECTS)]},
            ),
            session_id=f"{zlib.crc32(id_.encode()):08x}-4256-459f-9794-{number:012x}",
            resumes=False,
            model=model,
            timeout_seconds=600,
            reserved_nano_usd=nano_usd("0.1"),
            routing=Routing(score=80, reason="the best of all that can take it", candidates=()),
            created_at=began,
            caller=_KEYS[number % len(_KEYS)],
        ),
        status=ExecutionStatus.SUCCEEDED,
        started_at=began,
        finished_at=began + timedelta(seconds=20),
        outcome=outcome,
    )


def _record(id_: str, row: ExecutionRow) -> UsageRecord:
    assert row.outcome is not None
    assert row.finished_at is not None
    return UsageRecord(
        id=row.intent.execution_id,
        subscription_id=id_,
        timestamp=row.finished_at,
        execution_id=row.intent.execution_id,
        session_id=row.intent.session_id,
        caller=row.intent.caller,
        tags={"project": row.intent.request.metadata["project"]},
        usage=row.outcome.usage,
    )


def _blocks(records: list[UsageRecord]) -> tuple[BlockTotal, ...]:
    known: dict[str, BlockTotal] = {}
    for record in records:
        block = block_at(record.timestamp)
        before = known.get(block.id)
        known[block.id] = BlockTotal(
            block_id=block.id,
            starts_at=block.starts_at,
            ends_at=block.ends_at,
            records=1 if before is None else before.records + 1,
            in_periods=1 if before is None else before.in_periods + 1,
            usage=record.usage if before is None else before.usage + record.usage,
        )
    return tuple(known.values())


def _totals(record: UsageRecord) -> Iterator[PeriodTotal]:
    for period in Period:
        for kind, counted, usage in kinds_of(record):
            yield PeriodTotal(
                period=period,
                starts_at=begin(period, record.timestamp),
                kind=kind,
                records=1,
                counted=counted,
                usage=usage,
            )


def _periods(records: list[UsageRecord]) -> tuple[PeriodTotal, ...]:
    known: dict[tuple[str, datetime, str], PeriodTotal] = {}
    for total in (total for record in records for total in _totals(record)):
        key = (total.period, total.starts_at, total.kind.model_dump_json())
        before = known.get(key)
        known[key] = (
            total
            if before is None
            else before.model_copy(
                update={
                    "records": before.records + 1,
                    "counted": before.counted + total.counted,
                    "usage": before.usage + total.usage,
                }
            )
        )
    return tuple(known.values())


def _home(id_: str, row: ExecutionRow) -> KeptHome:
    return KeptHome(
        session_id=row.intent.session_id, subscription_id=id_, used_at=row.intent.created_at
    )


@asynccontextmanager
async def full_pool(folder: Path, subscriptions: int, now: datetime) -> AsyncIterator[LocalPool]:
    """The pool of stores that are filled."""
    specs = [spec(id_, weekly_budget_usd=456) for id_ in names(subscriptions)]
    runner = FakeRunner()
    pool = await local_pool_at(folder, *specs, clock=ManualClock(now), runner_of=lambda _: runner)
    try:
        yield pool
    finally:
        await pool.close()


@contextmanager
def served(folder: Path, subscriptions: int, records: int, span: timedelta = SPAN) -> Iterator[str]:
    """Fill stores in an empty folder and serve them on a thread; the address."""
    over, begun = asyncio.Event(), threading.Event()
    found: dict[str, asyncio.AbstractEventLoop] = {}
    urls: list[str] = []

    async def serve() -> None:
        found["loop"] = asyncio.get_running_loop()
        now = datetime.now(UTC)
        await fill(folder, subscriptions, records, now, span)
        with bound(parse({"server": {"port": 0}, "subscriptions": []}).server) as listener:
            async with (
                full_pool(folder, subscriptions, now) as pool,
                listening(create_app(pool.client, Keys({})), listener) as url,
            ):
                urls.append(url)
                begun.set()
                await over.wait()

    with ThreadPoolExecutor(1) as threads:
        serving = threads.submit(asyncio.run, serve())
        serving.add_done_callback(lambda _: begun.set())
        assert begun.wait(START_SECONDS)
        if serving.done():
            serving.result()
        try:
            yield urls[0]
        finally:
            found["loop"].call_soon_threadsafe(over.set)

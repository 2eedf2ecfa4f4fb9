"""The smallest rows that a ledger takes, of ``sub1``, and looks at what is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pool.executions.intent import Intent
from pool.executions.outcome import Completed
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.storage.directory.claims import NewClaim
from pool.storage.ledger.ledger import Ledger
from pool.storage.stores import Stores
from pool.subscriptions.consequences.settlement import Settlement
from pool.usage.records import ModelUsage, Usage, UsageRecord

NOW = datetime(2026, 1, 28, 16, 30, tzinfo=UTC)
SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"


def record(name: str, *, nano_usd: int = 30, model: str = "m") -> UsageRecord:
    usage = Usage(models={model: ModelUsage(cost_nano_usd=nano_usd)})
    return UsageRecord(id=name, subscription_id="sub1", timestamp=NOW, usage=usage)


def row(name: str) -> ExecutionRow:
    intent = Intent(
        execution_id=name,
        request=ExecutionRequest(prompt="hello"),
        session_id=SESSION,
        resumes=False,
        model="m",
        timeout_seconds=1,
        reserved_nano_usd=1,
        routing=Routing(score=1, reason="r"),
        created_at=NOW,
    )
    return ExecutionRow(intent=intent, status=ExecutionStatus.QUEUED)


def settlement(name: str) -> Settlement:
    """Of an execution that succeeded, with its record."""
    change = {"status": ExecutionStatus.SUCCEEDED, "finished_at": NOW, "outcome": Completed()}
    return Settlement(row=row(name).model_copy(update=change), record=record(f"of_{name}"))


def new_claim(name: str, **of: Any) -> NewClaim:
    return NewClaim(execution_id=name, digest="d", at=NOW, session_id="s1", **of)


@asynccontextmanager
async def opened(stores: Stores) -> AsyncIterator[Ledger]:
    ledger = await stores.open_ledger("sub1")
    try:
        yield ledger
    finally:
        await ledger.close()


async def names(ledger: Ledger) -> set[str]:
    """The ids of all records, over however many pages."""
    found: set[str] = set()
    cursor = None
    while True:
        page = await ledger.usage(limit=500, cursor=cursor)
        found.update(kept.id for kept in page.items)
        cursor = page.next_cursor
        if cursor is None:
            return found


async def on_its_connection(store: Any, work: Callable[[Any], Any]) -> Any:
    """Run something on the thread and connection of a store in SQLite, which nobody else has."""
    return await store._database._commits.read(work)


async def in_its_transaction(ledger: Any, work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Run something in a transaction of a ledger in PostgreSQL."""
    return await ledger._database._commits.write(work)

"""The smallest rows that a ledger takes, of the subscription ``sub1``."""

from __future__ import annotations

from datetime import UTC, datetime

from pool.executions.intent import Intent
from pool.executions.outcome import Completed
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.subscriptions.settlement import Settlement
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

"""Rows of a ledger with everything in them that an engine could lose."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from pool.executions.attempt import Attempt
from pool.executions.content.image import Image
from pool.executions.intent import Intent
from pool.executions.outcome import Completed, Outcome
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Candidate, Routing
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus, final_status
from pool.limits.windows import RateLimitEvent, Window
from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource

NOW = datetime(2026, 1, 28, 16, 30, 0, 123457, tzinfo=UTC)
SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
OTHER_SESSION = "0b6f1c9e-8f35-4b0e-8b4b-0d5c2f6a7e11"
TICK, HOUR = timedelta(microseconds=1), timedelta(hours=1)


def row(
    name: str = "exec_1", *, session_id: str = SESSION, created_at: datetime = NOW
) -> ExecutionRow:
    intent = Intent(
        execution_id=name,
        request=ExecutionRequest(
            prompt="Sag \u201eja\u201c \U0001f600",
            max_budget_usd=Decimal("0.123456789"),
            json_schema={"type": "object"},
            metadata={"team": "\u00fc"},
        ),
        session_id=session_id,
        resumes=False,
        model="claude-sonnet-4-5",
        timeout_seconds=600.5,
        reserved_nano_usd=1,
        routing=Routing(
            score=99.5,
            reason="most headroom",
            candidates=(Candidate(subscription_id="sub1", score=99.5, report_age_seconds=0.1),),
        ),
        created_at=created_at,
        earlier_attempts=(
            Attempt(subscription_id="sub2", outcome="usage_limit", cost_usd=Decimal("0.000000001")),
        ),
    )
    return ExecutionRow(intent=intent, status=ExecutionStatus.QUEUED)


def running(name: str = "exec_1") -> ExecutionRow:
    change = {"status": ExecutionStatus.RUNNING, "started_at": NOW + TICK}
    return row(name).model_copy(update=change)


def ended(
    begun: ExecutionRow, outcome: Outcome | None = None, *, finished_at: datetime = NOW + 5 * TICK
) -> ExecutionRow:
    outcome = outcome or Completed(result="ja", structured_output={"a": [1, 2.5, None, "\u2603"]})
    change = {"status": final_status(outcome), "finished_at": finished_at, "outcome": outcome}
    return begun.model_copy(update=change)


def record(
    name: str = "use_1",
    nano_usd: int = 30,
    *,
    at: datetime = NOW,
    source: UsageSource = UsageSource.CLI,
) -> UsageRecord:
    usage = Usage(models={"claude-sonnet-4-5": ModelUsage(output_tokens=7, cost_nano_usd=nano_usd)})
    return UsageRecord(id=name, subscription_id="sub1", timestamp=at, source=source, usage=usage)


def seen(at: datetime, **utilizations: float) -> RateLimitEvent:
    windows = {
        name: Window(status="allowed", observed_at=at, utilization=utilization)
        for name, utilization in utilizations.items()
    }
    return RateLimitEvent(observed_at=at, status="allowed", windows=windows, raw={"n": [1, 0.1]})


def with_image(size: int) -> ExecutionRow:
    """An execution that shows the model an image which nothing can make smaller."""
    data = b"\xff\xd8\xff" + Random(size).randbytes(size - 3)
    image = Image(data=b64encode(data).decode(), media_type="image/jpeg")
    request = ExecutionRequest(prompt="q", images=(image,))
    change = {"intent": row().intent.model_copy(update={"request": request})}
    return running().model_copy(update=change)


SECRET = Completed(
    result="a secret answer",
    structured_output={"secret": 1},
    stop_reason="end_turn",
    usage=record().usage,
    num_turns=1,
)

"""What a run that ended in the midst of its caller's rounds comes to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from actors.subscription.executions.live_execution import LiveExecution
from actors.subscription.executions.round_outcomes import settled
from pool.executions.outcome import Failed, FailureKind
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ToolCall, ToolResult
from pool.executions.tools.rounds import KeptRound
from pool.usage.records import ModelUsage, Usage, UsageSource
from tests.support.stores.ledger_rows import NOW, row

FIRST = Usage(models={"claude-sonnet-4-5": ModelUsage(input_tokens=100, cost_nano_usd=300_000)})
UNPRICED = Usage(models={"claude-sonnet-4-5": ModelUsage(input_tokens=100)})
MORE = Usage(models={"claude-sonnet-4-5": ModelUsage(input_tokens=250)})
GIVEN = ToolResult.model_validate({"tool_use_id": "toolu_1", "content": "21"})


def given(**changes: Any) -> ExecutionRow:
    """One whose process was given the results of its first round's call."""
    made = KeptRound(
        number=0,
        tool_calls=(ToolCall(id="toolu_1", name="look", input={}),),
        stop_reason="tool_use",
        usage=FIRST,
        cursor="0-100",
        ended_at=NOW,
        results_digest="as they came",
    )
    kept = {"rounds": (made,), "results": (GIVEN,), "status": ExecutionStatus.RUNNING}
    return row().model_copy(update={**kept, **changes})


def died(**fields: Any) -> Failed:
    known: dict[str, Any] = {"kind": FailureKind.KILLED, "message": "it was killed"}
    seen = {"usage": UNPRICED, "usage_source": UsageSource.PARTIAL, "evidence": False}
    return Failed(**(known | seen | fields))


def may_come_again(kept: ExecutionRow, outcome: Failed) -> bool:
    live = LiveExecution(kept, waits_since=NOW)
    told = settled(live, outcome, NOW + timedelta(seconds=1))
    assert isinstance(told, Failed)
    is_said = "can still be sent" in told.message
    assert is_said == (live.row.rounds[-1].results_digest is None and len(live.row.rounds) == 1)
    return is_said


@pytest.mark.parametrize("kind", [FailureKind.KILLED, FailureKind.INTERRUPTED, FailureKind.TIMEOUT])
def test_results_of_which_nothing_came_may_come_again(kind: FailureKind) -> None:
    assert may_come_again(given(), died(kind=kind))


@pytest.mark.parametrize(
    ("kept", "outcome"),
    [
        (given(), died(unanswered_requests=1)),
        (given(), died(unfinished_answers=1)),
        (given(), died(usage=MORE)),
        (given(), died(evidence=True, usage=FIRST, usage_source=UsageSource.CLI)),
        (given(), died(kind=FailureKind.USAGE_LIMIT)),
        (given(cancel_requested_at=NOW), died()),
    ],
    ids=["asked", "half an answer", "used more", "lived to tell", "refused", "cancelled"],
)
def test_results_with_which_the_api_may_have_been_asked_stand(
    kept: ExecutionRow, outcome: Failed
) -> None:
    assert not may_come_again(kept, outcome)

"""Outcomes of runs whose caller runs tools: what such a run comes to, by the rounds that are noted.

A run that ends while its caller has the word has used what its rounds say. In whichever way it
ends there, late results are not lost.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from actors.subscription.executions.live_execution import LiveExecution
from pool.executions.intent import Intent
from pool.executions.outcome import Completed, Ended, Failed, FailureKind, Outcome
from pool.executions.progress import Cursor
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.executions.tools.rounds import KeptRound, less, rest, spent
from pool.executions.tools.strict_tools import MOST_REFUSED
from pool.usage.records import ModelUsage, UsageSource

_DEATHS = frozenset({FailureKind.KILLED, FailureKind.INTERRUPTED, FailureKind.TIMEOUT})
"""Failures of a run whose process was ended from outside."""


def settled(live: LiveExecution, outcome: Outcome, now: datetime) -> Outcome:
    """The outcome of a run as that of its rounds, which sum up to what it has used."""
    row = live.row
    waited = row.status is ExecutionStatus.WAITING_FOR_CALLER or ends_in_calls(row)
    if row.rounds and (waited or _died_before_it_used(row, outcome)):
        outcome = _of_a_wait(row, outcome)
        # Results that came, and of which nothing came, may come once more.
        last = row.rounds[-1].model_copy(update={"results_digest": None})
    elif isinstance(outcome, Completed) or row.rounds:
        last = KeptRound(
            number=len(row.rounds),
            text=outcome.result if isinstance(outcome, Completed) else "",
            stop_reason=outcome.stop_reason if isinstance(outcome, Completed) else None,
            cursor=str(Cursor(attempt=len(row.intent.earlier_attempts), is_end=True)),
            ended_at=now,
        )
    else:
        return outcome
    live.becomes(
        rounds=rest(row.rounds, outcome.usage, last),
        results=(),
        waits_until=None,
        status=ExecutionStatus.RUNNING,
    )
    return outcome


def _died_before_it_used(row: ExecutionRow, outcome: Outcome) -> bool:
    """Whether its process was gone as its results came, or soon after: a process may die between
    the look at whether it lives and what it is given. One that ended with a result was there.
    """
    if not row.results or row.cancel_requested_at is not None or not isinstance(outcome, Failed):
        return False
    if outcome.kind not in _DEATHS or _tells_all(outcome):
        return False
    further = less(outcome.usage, spent(row.rounds)).total.model_copy(update={"cost_nano_usd": 0})
    asked = outcome.unanswered_requests or outcome.unfinished_answers
    return not asked and further == ModelUsage()


def was_ended(outcome: Outcome) -> bool:
    """Whether the process of a run was ended from outside."""
    return isinstance(outcome, Failed) and outcome.kind in _DEATHS


def misfit(outcome: Outcome, problem: str | None) -> Outcome:
    """The outcome of a run that was ended since its calls did not fit the schemas."""
    if problem is None:
        return outcome
    message = f"{MOST_REFUSED + 1} times the model called a strict tool otherwise: {problem}"
    return outcome.model_copy(update={"kind": FailureKind.SCHEMA_MISMATCH, "message": message})


def _of_a_wait(row: ExecutionRow, outcome: Outcome) -> Outcome:
    """The outcome of a run that ended between two requests to the API, as far as is known: its
    rounds say what it used.
    """
    known: dict[str, Any] = {name: getattr(outcome, name) for name in Ended.model_fields}
    if isinstance(outcome, Failed) and not _tells_all(outcome):
        known |= {"usage": spent(row.rounds), "usage_source": UsageSource.CLI}
    if ends_in_calls(row):
        return Completed(**known, result=row.rounds[-1].text, stop_reason="tool_use")
    if isinstance(outcome, Failed) and outcome.kind is FailureKind.INTERRUPTED and not row.results:
        message = "its caller gave no results in time; they can still be sent"
        return Failed(**known, kind=FailureKind.NO_TOOL_RESULTS, message=message)
    if isinstance(outcome, Failed):
        message = f"{outcome.message}; the results of its calls can still be sent"
        return Failed(**known, kind=outcome.kind, message=message)
    return outcome


def _tells_all(outcome: Failed) -> bool:
    by_its_result = outcome.usage_source is UsageSource.CLI and bool(outcome.usage.models)
    return outcome.evidence and by_its_result


def ends_in_calls(row: ExecutionRow) -> bool:
    """Whether it was forced to make calls, and has made them."""
    return bool(row.rounds) and is_forced(row.intent)


def is_forced(intent: Intent) -> bool:
    """Whether its first answer has to call, and is the end of it."""
    return intent.request.tool_choice.is_forced and intent.continues is None

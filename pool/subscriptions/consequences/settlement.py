"""The settlement of a run that has ended: outcome, usage, session total and standing, as one
value.

Pure: the subscription hands it to its ledger, which writes all of it or nothing (T2).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pool.executions.intent import run_size
from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.executions.row import ExecutionRow, Others
from pool.executions.session import SessionTotal
from pool.executions.status import ExecutionStatus, final_status
from pool.limits.windows import RateLimitEvent
from pool.subscriptions.consequences import model_refusals
from pool.subscriptions.consequences.model_refusals import ABOUT_A_MODEL
from pool.subscriptions.consequences.standing import Standing, after
from pool.usage.records import UsageRecord, tags_of
from pool.values import Value


class Settlement(Value):
    """The end of a run, and as a rule of its execution (T2): one transaction or nothing."""

    row: ExecutionRow
    """With its outcome and its final status; or ``moving``, where another subscription is looked
    for: then it has not ended, and is settled once more when that is known."""
    record: UsageRecord | None = None
    session: SessionTotal | None = None
    standing: Standing | None = None
    """The new standing, where the outcome changed it."""
    limits: tuple[RateLimitEvent, ...] = ()


def _as_cancelled(outcome: Outcome) -> Outcome:
    """What a cancelled run ended as; one that answered before it could be stopped has answered."""
    if isinstance(outcome, Completed):
        return outcome
    return outcome.model_copy(
        update={"kind": FailureKind.CANCELLED, "message": "cancelled by its caller"}
    )


def _record(
    subscription_id: str,
    row: ExecutionRow,
    outcome: Outcome,
    session_id: str,
    now: datetime,
    tags: Iterable[str],
) -> UsageRecord | None:
    if not any(outcome.usage.total.model_dump().values()):
        return None
    return UsageRecord(
        id=row.intent.execution_id,
        subscription_id=subscription_id,
        timestamp=now,
        source=outcome.usage_source,
        execution_id=row.intent.execution_id,
        session_id=session_id,
        caller=row.intent.caller or None,
        tenant=row.intent.tenant,
        tags=tags_of(row.intent.request.metadata, tags),
        size=run_size(row.intent, outcome.model or row.intent.model),
        usage=outcome.usage,
    )


def settlement(
    subscription_id: str,
    row: ExecutionRow,
    outcome: Outcome,
    standing: Standing,
    now: datetime,
    *,
    goes_elsewhere: bool = False,
    tags: Iterable[str] = (),
) -> Settlement:
    """The end of a run. Its usage record bears the execution's id: it exists once (G3).

    With it the execution ends; unless it ``goes_elsewhere``, then another subscription is looked
    for from here on. ``tags`` are the keys of metadata that usage is kept by.
    """
    stands = _stands(standing, row, outcome, now)
    if row.cancel_requested_at is not None:
        outcome = _as_cancelled(outcome)
    session_id, total = outcome.session_id or row.intent.session_id, outcome.session_total_nano_usd
    if total is None and row.intent.resumes:  # what the session was fetched with still holds
        total = row.intent.session_total_nano_usd
    status = ExecutionStatus.MOVING if goes_elsewhere else final_status(outcome)
    return Settlement(
        row=row.model_copy(update={"status": status, "finished_at": now, "outcome": outcome}),
        record=_record(subscription_id, row, outcome, session_id, now, tags),
        session=None
        if total is None
        else SessionTotal(session_id=session_id, total_nano_usd=total, last_used_at=now),
        standing=stands if stands != standing else None,
        limits=outcome.limits,
    )


def _stands(standing: Standing, row: ExecutionRow, outcome: Outcome, now: datetime) -> Standing:
    """The subscription's standing after a run, and what it was refused by then."""
    intent = row.intent
    refused = model_refusals.after(
        standing.refused_models,
        outcome,
        model=intent.model,
        prompt_bytes=intent.request.prompt_bytes,
        resumes=intent.resumes or intent.forks is not None,
        now=now,
    )
    return after(standing, outcome, now).model_copy(update={"refused_models": refused})


def moved(row: ExecutionRow, subscription_id: str, now: datetime) -> Settlement:
    """The end of an execution here that goes on at another subscription."""
    update = {"status": ExecutionStatus.MOVED, "moved_to": subscription_id, "finished_at": now}
    return Settlement(row=row.model_copy(update=update))


def given_up(
    row: ExecutionRow,
    outcome: Outcome,
    now: datetime,
    retry_at: datetime | None = None,
    others: Others | None = None,
) -> Settlement:
    """The end of an execution that nobody takes. What its run spent was settled before.

    That a model is not to be had is the caller's to know once everybody has said so; until then it
    learns what kept the ``others`` from it.
    """
    if row.cancel_requested_at is not None:
        outcome = _as_cancelled(outcome)
    end: dict[str, Any] = {"outcome": outcome, "finished_at": now, "retry_at": retry_at}
    if isinstance(outcome, Failed) and outcome.kind in ABOUT_A_MODEL:
        end["others"] = others
    return Settlement(row=row.model_copy(update={"status": final_status(outcome), **end}))

"""The admission of executions to a subscription, or their refusal.

Admission and reservation are one step without an ``await`` between them (G6).
"""

from __future__ import annotations

import asyncio
from typing import assert_never

from actors.interfaces.messages import NotAdmitted, Started
from actors.subscription.context import SubscriptionContext
from actors.subscription.executions.live_execution import LiveExecution
from actors.subscription.executions.live_executions import LiveExecutions
from actors.subscription.refusals import Refusals
from actors.subscription.sessions.session_history import history_tokens
from actors.subscription.spares import SpareKeeper, can_have_one
from pool.errors import StoreError
from pool.executions.execution import Execution, shown
from pool.executions.intent import Intent
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.subscriptions.admission import Admission, Refusal, RefusalCause, Run, Wait, admit
from pool.subscriptions.state import ask_of

_REFUSED_BEFORE = Refusal(
    cause=RefusalCause.BUSY, detail="it was refused by this placement before: place it anew"
)
"""Whoever got that refusal may have placed it elsewhere since."""


class Admissions:
    """Admits executions to one subscription."""

    def __init__(
        self, context: SubscriptionContext, executions: LiveExecutions, spares: SpareKeeper
    ) -> None:
        self._context = context
        self._executions = executions
        self._refusals = Refusals(context.state.epoch)
        self._spares = spares

    async def start(self, intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        """Admit an execution, or refuse it. Asked again with the same id: what became of it.

        Without ``may_wait`` it is refused unless it can run at once: a subscription may be free
        elsewhere.
        """
        ids = {"subscription_id": self._context.state.spec.id, "execution_id": intent.execution_id}
        with self._context.deps.tracing.span("admission", intent.trace, **ids):
            return await self._start(intent, may_wait=may_wait)

    async def _start(self, intent: Intent, *, may_wait: bool) -> Started | NotAdmitted:
        await self._know_history(intent)
        known = await self._executions.row(intent.execution_id)
        if known is not None:
            return self._started(known)
        if self._refusals.is_for_a_later_activation(intent):
            await self._check_is_owner()
        if self._refusals.has_refused(intent):
            return self._not_admitted(_REFUSED_BEFORE, intent)
        now = self._context.now()
        match self._admission(intent, may_wait=may_wait):
            case Refusal() as refusal:
                return self._not_admitted(refusal, intent)
            case Run():
                live = self._executions.hold(intent, ExecutionStatus.RUNNING, now)
            case Wait(reserves=reserves):
                live = self._executions.hold(intent, ExecutionStatus.QUEUED, now, reserves=reserves)
            case never:
                assert_never(never)
        error = await asyncio.shield(self._context.spawn(self._begin(live), live.id))
        if error is not None:
            return self._not_admitted(Refusal(cause=RefusalCause.STORE, detail=str(error)), intent)
        return self._started(live.row)

    async def _begin(self, live: LiveExecution) -> StoreError | None:
        """Begin an execution, in the session of a process that is there for it, if there is one."""
        intent = live.row.intent
        if live.row.status is ExecutionStatus.RUNNING and can_have_one(intent):
            launch = await self._executions.launch(intent)
            session_id = await self._spares.promised(intent, launch)
            if session_id is not None:
                self._executions.begins_in(live, session_id)
        return await self._executions.begin(live)

    async def _check_is_owner(self) -> None:
        """Raise where another activation has the ledger, and leave: what this one refuses, that one
        may have admitted.
        """
        try:
            await self._context.ledger.observe(())  # writes nothing, and fails then
        except StoreError as error:
            self._context.trouble(error)
            raise

    async def _know_history(self, intent: Intent) -> None:
        """Have the size of its session at hand, for admission may not wait for it."""
        if intent.reads is not None and intent.session_from is None:
            await history_tokens(self._context, intent.reads)

    def _admission(self, intent: Intent, *, may_wait: bool) -> Admission:
        state = self._context.state
        if state.store_problem is not None:
            return Refusal(cause=RefusalCause.STORE, detail=state.store_problem)
        ask = ask_of(state, intent, may_wait=may_wait)
        return admit(self._context.report(), ask, self._context.deps.policy.limits)

    def _started(self, row: ExecutionRow) -> Started:
        execution = shown_here(self._context, row)
        return Started(execution=execution, report=self._context.report())

    def _not_admitted(self, refusal: Refusal, intent: Intent) -> NotAdmitted:
        self._refusals.note(intent)
        self._context.recorder.refused(refusal.cause)
        return NotAdmitted(refusal=refusal, report=self._context.report())


def shown_here(context: SubscriptionContext, row: ExecutionRow) -> Execution:
    """What is shown of an execution; until its end, with the model that it runs as here."""
    execution = shown(context.state.spec.id, row)
    if row.status.is_final:
        return execution
    model = context.state.runs_as(execution.model)
    return execution.model_copy(update={"model": model})

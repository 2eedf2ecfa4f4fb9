"""The queue of a subscription: executions that wait for a slot, for their session or for a cooldown
to end. What cannot be started here is handed on; what has waited as long as it may is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from actors.aiokit import every
from actors.subscription.context import SubscriptionContext
from actors.subscription.executions.handoff import Handoff
from actors.subscription.executions.held import HeldExecutions
from actors.subscription.executions.live_execution import LiveExecution
from actors.subscription.executions.runs import CANCELLED
from actors.subscription.executions.settlements import Settlements
from pool.errors import StoreError
from pool.executions.outcome import Failed, FailureKind
from pool.executions.status import ExecutionStatus
from pool.subscriptions.admission import Refusal, refusal_to_start
from pool.subscriptions.report import Report
from pool.subscriptions.state import ask_to_start, held_while_running

TEND_SECONDS = 0.5
"""Between two looks at what waits: time alone ends cooldowns and waits."""


class Queue:
    """What waits in one subscription. ``run`` is begun for each that has got a slot, and
    ``return_slots`` asked first for those whose callers' results have come.
    """

    def __init__(
        self,
        context: SubscriptionContext,
        held: HeldExecutions,
        handoff: Handoff,
        settlements: Settlements,
        run: Callable[[LiveExecution], Coroutine[Any, Any, None]],
        return_slots: Callable[[int], bool],
    ) -> None:
        self._context = context
        self._held = held
        self._handoff = handoff
        self._settlements = settlements
        self._run = run
        self._return_slots = return_slots

    async def tend(self) -> None:
        """Look after what waits, for as long as this activation lasts."""
        await every(TEND_SECONDS, self._tend, "what waits was not looked after")

    async def _tend(self) -> None:
        self.start_waiting()

    def start_waiting(self) -> None:
        """Start what waits, as far as slots and sessions are free. What cannot be started here is
        handed on; what has waited as long as it may is given up.
        """
        state = self._context.state
        if state.suspended or state.retired or not (state.slots.waiting or state.slots.parked):
            return
        report = self._context.report()
        if self._return_slots(report.capacity):
            report = self._context.report()
        unready = self._held.unready | self._see_off(report)
        while (execution_id := state.slots.next(report.capacity, unready)) is not None:
            live = self._held[execution_id]
            if self._refusal(live, report) is not None:
                unready.add(execution_id)
                continue
            self._promote(live)
            self._context.spawn(self._run(live), live.id)
            report = self._context.report()  # what this one holds, the next one cannot have (G6)

    def waits_again(self, live: LiveExecution) -> None:
        """It was not handed on, and waits where it was."""
        self._held.unready.discard(live.id)
        if live.row.cancel_requested_at is not None:
            self.cancel(live)

    def cancel(self, live: LiveExecution) -> None:
        """Take it out of the queue in this step, so that it is not started, and settle it."""
        self.give_up(live, CANCELLED)

    def give_up(self, live: LiveExecution, why: Failed) -> None:
        """Take it out in this step, and settle it as what did not run."""
        self._context.state.slots.release(live.id)
        self._context.spawn(self._settlements.settle(live, why), live.id)

    async def wait_again(self, live: LiveExecution) -> None:
        """Have one that was never started wait, before all others, unless it is not wanted."""
        if live.row.cancel_requested_at is not None:
            self.cancel(live)
        elif live.row.status is ExecutionStatus.RUNNING:
            self._context.state.slots.demote(live.id)
            live.becomes(status=ExecutionStatus.QUEUED, started_at=None)
            await self._note(live)

    async def _note(self, live: LiveExecution) -> None:
        """Have lists show it as it stands. Where that is lost, the next activation finds it so."""
        try:
            await self._context.ledger.update(live.row)
        except StoreError as error:
            self._context.trouble(error)

    def _promote(self, live: LiveExecution) -> None:
        """Take the slot, and the budget where it is not reserved yet, in this very step."""
        state, intent = self._context.state, live.row.intent
        reserved = held_while_running(state, intent)
        state.slots.reserve(live.id, reserved)
        state.slots.promote(live.id)
        known = {"reserved_nano_usd": reserved, "history_tokens": state.history_of(intent)}
        live.becomes(
            intent=intent.model_copy(update=known),
            status=ExecutionStatus.RUNNING,
            started_at=self._context.now(),
            place=self._context.deps.runner.place,
            node=self._context.deps.node,
        )
        self._context.changed()

    def _see_off(self, report: Report) -> set[str]:
        """Let those go who need not, or cannot, wait here any longer; who cannot start here now."""
        state, now = self._context.state, self._context.now()
        for execution_id in tuple(state.slots.waiting):
            live = self._held[execution_id]
            is_offered_last = execution_id in self._held.unready or self._handoff.may_be_offered(
                live
            )
            if _is_out_of_patience(live, now) and not is_offered_last:
                self.give_up(live, _waited(live))
        cannot_start = set()
        for execution_id in tuple(state.slots.ready(self._held.unready)):
            live = self._held[execution_id]
            refused = self._refusal(live, report)
            if refused is not None:
                cannot_start.add(execution_id)
            is_last = _is_out_of_patience(live, now)
            if (why := self._handoff.reason(live, refused, report, is_last=is_last)) is not None:
                self._held.unready.add(execution_id)
                self._context.spawn(self._handoff.hand_off(live, why), live.id)
        return cannot_start

    def _refusal(self, live: LiveExecution, report: Report) -> Refusal | None:
        """Why something that waits cannot start here now, slots and sessions apart."""
        ask = ask_to_start(self._context.state, live.row.intent)
        return refusal_to_start(report, ask, self._context.deps.policy.limits)


def _is_out_of_patience(live: LiveExecution, now: datetime) -> bool:
    patience = timedelta(seconds=live.row.intent.queue_timeout_seconds)
    return now - (live.waits_since or now) >= patience


def _waited(live: LiveExecution) -> Failed:
    seconds = live.row.intent.queue_timeout_seconds
    return Failed(
        kind=FailureKind.QUEUE_TIMEOUT,
        message=f"no slot became free within {seconds:g} s, and nobody else could take it",
    )

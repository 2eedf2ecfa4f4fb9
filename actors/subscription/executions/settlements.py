"""The ends of executions: outcome, usage and session are durable in one transaction (T2; G2, G3)
before anybody is answered and the slot is free again. What failed for its subscription's sake is
handed on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from actors.subscription.context import STORE_RETRY_SECONDS, SubscriptionContext
from actors.subscription.executions.handoff import Handoff, why_not_again
from actors.subscription.executions.held import HeldExecutions
from actors.subscription.executions.live_execution import LiveExecution
from actors.subscription.sessions.session_transfer import note_gone
from pool.errors import PoolError, StoreError
from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.executions.status import ExecutionStatus
from pool.subscriptions.consequences.failover import goes_elsewhere, was_unsure
from pool.subscriptions.consequences.settlement import Settlement, settlement

log = logging.getLogger(__name__)


class Settlements:
    """Settles the executions of one subscription. ``slot_is_free`` is called after each."""

    def __init__(
        self,
        context: SubscriptionContext,
        held: HeldExecutions,
        handoff: Handoff,
        slot_is_free: Callable[[], None],
    ) -> None:
        self._context = context
        self._held = held
        self._handoff = handoff
        self._slot_is_free = slot_is_free

    async def settle(self, live: LiveExecution, outcome: Outcome, *, follows: bool = False) -> None:
        """T2. Tried until it is durable; whoever waits is answered after that, and not before.

        One that ``follows`` its session was not run, and is handed on to where that went.
        """
        context = self._context
        if isinstance(outcome, Failed) and outcome.kind is FailureKind.SESSION_NOT_FOUND:
            await note_gone(context, live.row.intent)
        policy = context.deps.policy
        most = policy.max_attempts
        elsewhere = follows or goes_elsewhere(live.row, outcome, context.state.standing, most)
        end = await self._keep(
            live,
            lambda: settlement(
                *(context.state.spec.id, live.row, outcome, context.state.standing, context.now()),
                goes_elsewhere=elsewhere,
                tags=policy.tags,
            ),
        )
        if end is None:
            return
        context.recorder.settled(end)
        if isinstance(outcome, Completed):
            self._tell_of_suspects(live)
        if live.row.status is ExecutionStatus.MOVING:
            context.changed()
            why = why_not_again(self._context, live.row)
            context.spawn(self._handoff.hand_off(live, why), live.id)
        else:
            self._ended(live)
        self._slot_is_free()

    async def end(self, live: LiveExecution, make: Callable[[], Settlement]) -> None:
        """End an execution whose run, if it had one, was settled before."""
        if await self._keep(live, make):
            self._ended(live)
        self._slot_is_free()

    def _tell_of_suspects(self, live: LiveExecution) -> None:
        """Whoever refused what was answered here, so that nobody knew whose fault it was, hears."""
        for attempt in live.row.intent.earlier_attempts:
            if was_unsure(attempt.outcome):
                kind = FailureKind(attempt.outcome)
                self._context.spawn(self._tell_of_suspect(attempt.subscription_id, kind), live.id)

    async def _tell_of_suspect(self, subscription_id: str, kind: FailureKind) -> None:
        try:
            await self._context.deps.actors.subscription(subscription_id).suspect(kind)
        except PoolError as error:
            fields = {"subscription_id": subscription_id, "problem": str(error)}
            log.warning("suspicion was not passed on", extra=fields)

    async def _keep(self, live: LiveExecution, make: Callable[[], Settlement]) -> Settlement | None:
        """Write a settlement until it is durable. None where the execution had ended already, and
        was counted then.
        """
        state = self._context.state
        live.is_being_settled = True
        while True:
            end = make()
            try:
                is_new = await self._context.ledger.settle(end)
                break
            except StoreError as error:
                self._context.trouble(error)
                await asyncio.sleep(STORE_RETRY_SECONDS)
        live.is_being_settled = False
        if is_new:
            cancelled_at = live.row.cancel_requested_at  # perhaps while it was written
            live.row = end.row.model_copy(update={"cancel_requested_at": cancelled_at})
            state.settle(end)
            return end
        state.slots.release(live.id)
        self._held.let_go(live)
        return None

    def _ended(self, live: LiveExecution) -> None:
        self._held.let_go(live)
        self._context.recorder.ended(live.row)
        log.info(
            "execution ended",
            extra={
                "subscription_id": self._context.state.spec.id,
                "execution_id": live.id,
                "status": live.row.status.value,
            },
        )

"""The register of the executions of a subscription that have not ended, each with what it holds: a
slot or a place in the queue, its session and its budget.

Nothing here awaits a run, starts one or ends one: what is done with an execution is
``live_executions``, which has this register and shares it with the parts that do it.
"""

from __future__ import annotations

from datetime import datetime

from actors.subscription.context import SubscriptionContext
from actors.subscription.executions.live_execution import LiveExecution
from pool.executions.intent import Intent
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.subscriptions.slots import Hold
from pool.subscriptions.state import reservation


class HeldExecutions:
    """Every execution that has not ended, by id, and what it holds. ``LiveExecutions`` is the whole
    that begins, runs and ends them.
    """

    def __init__(self, context: SubscriptionContext) -> None:
        self._context = context
        self._live: dict[str, LiveExecution] = {}
        self.unready: set[str] = set()
        """Admitted but not durable yet, or being handed on: they hold their place and are not to
        be started."""

    def __len__(self) -> int:
        return len(self._live)

    def __getitem__(self, execution_id: str) -> LiveExecution:
        return self._live[execution_id]

    def all(self) -> tuple[LiveExecution, ...]:
        return tuple(self._live.values())

    def get(self, execution_id: str) -> LiveExecution | None:
        return self._live.get(execution_id)

    async def row(
        self, execution_id: str, held: LiveExecution | None = None
    ) -> ExecutionRow | None:
        """What is known of an execution, and durable: of one that is just beginning, once it is.
        Whoever ``held`` it while it lived learns its end from there; the ledger is not read again.
        """
        if held is not None and held.row.status.is_final:
            return held.row
        while True:
            live = self._live.get(execution_id)
            if live is None:
                row = await self._context.ledger.execution(execution_id)
                if execution_id not in self._live:
                    return row
                continue
            await live.begun.wait()
            if live.is_durable:
                return live.row

    def hold(
        self,
        intent: Intent,
        status: ExecutionStatus,
        now: datetime,
        *,
        reserves: bool = True,
        was_cancelled: bool = False,
    ) -> LiveExecution:
        """Take the slot or the place in the queue, and the budget, in this very step. It is not to
        be started before it is durable.
        """
        state = self._context.state
        reserved = reservation(state, intent) if reserves else 0
        known = {"reserved_nano_usd": reserved, "history_tokens": state.history_of(intent)}
        row = ExecutionRow(
            intent=intent.model_copy(update=known),
            status=status,
            started_at=now if status is ExecutionStatus.RUNNING else None,
            place=self._context.deps.runner.place,
            node=self._context.deps.node,
            cancel_requested_at=now if was_cancelled else None,
        )
        state.requested(intent)
        self.unready.add(intent.execution_id)
        return self.hold_again(row)

    def hold_again(self, row: ExecutionRow) -> LiveExecution:
        """Take what it had in an earlier activation."""
        slots, execution_id = self._context.state.slots, row.intent.execution_id
        if row.status is ExecutionStatus.RUNNING:
            slots.take(execution_id, _hold_of(row))
        elif row.status is ExecutionStatus.WAITING_FOR_CALLER:
            slots.parked[execution_id] = _hold_of(row)
        else:
            slots.enqueue(execution_id, _hold_of(row))
        if row.outcome is not None:
            slots.leave(execution_id)
        live = self._live[execution_id] = LiveExecution(row, waits_since=self._context.now())
        self._context.changed()
        return live

    def begins_in(self, live: LiveExecution, session_id: str) -> None:
        """Have it begin another session than the one it was placed with, before it is durable."""
        live.becomes(intent=live.row.intent.model_copy(update={"session_id": session_id}))
        self._context.state.slots.take(live.id, _hold_of(live.row))
        self._context.state.requested(live.row.intent)

    def let_go(self, live: LiveExecution) -> None:
        """It has ended here: whoever waits for that goes on."""
        self.unready.discard(live.id)
        self._live.pop(live.id, None)
        self._context.state.idle_since = self._context.now()
        live.ended.set()
        live.is_found.set()
        live.turned.tell()
        self._context.changed()


def _hold_of(row: ExecutionRow) -> Hold:
    intent = row.intent
    return Hold(intent.session_id, intent.reserved_nano_usd, intent.caller, intent.forks)

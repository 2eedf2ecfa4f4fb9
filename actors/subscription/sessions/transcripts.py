"""The transcripts of a subscription's sessions: given to another subscription, or removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from actors.subscription.context import SubscriptionContext
from pool.claude.launch.launch_spec import Launch
from pool.claude.transcripts.copy import SessionCopy
from pool.errors import Conflict
from pool.executions.intent import Intent
from pool.executions.outcome import Failed
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus

MOST_FAILED_TURNS = 50
"""How far back turns that answered nothing are looked for."""


class Transcripts:
    """What the CLI keeps of the sessions here."""

    def __init__(
        self, context: SubscriptionContext, launch_of: Callable[[Intent], Awaitable[Launch]]
    ) -> None:
        self._context = context
        self._launch_of = launch_of

    async def copy(self, session_id: str, execution_id: str) -> SessionCopy:
        """A session's transcript, for another subscription that is to go on with it.

        Turns at its end that answered nothing are left out, and so is that of ``execution_id``.
        ``Conflict`` while a turn of it runs here, and where it cannot be copied.
        """
        if self._context.state.slots.is_running(session_id):
            raise Conflict("a turn of it is running there")
        deps = self._context.deps
        environment = deps.environment(self._context.state.spec)
        without = [launch async for launch in self._unanswered(session_id, execution_id)]
        await deps.runner.quiet(session_id)
        copy = await asyncio.to_thread(deps.runner.copy_session, environment, session_id, without)
        known = await self._context.ledger.session(session_id)
        total = known.total_nano_usd if known else None
        return copy.model_copy(update={"total_nano_usd": total})

    async def is_at_work(self, session_id: str) -> bool:
        """Whether a turn of a session runs or waits here, or is being handed on."""
        return self._context.state.slots.is_busy(session_id)

    async def forget(self, session_id: str) -> None:
        """Remove a session's transcript. ``Conflict`` while a turn of it runs or waits."""
        if self._context.state.slots.is_busy(session_id):
            raise Conflict(f"session {session_id} is at work: cancel its execution first")
        deps = self._context.deps
        environment = deps.environment(self._context.state.spec)
        await deps.runner.quiet(session_id)
        await asyncio.to_thread(deps.runner.remove_session, environment, session_id)

    async def _unanswered(self, session_id: str, execution_id: str) -> AsyncIterator[Launch]:
        """The turns at the session's end that answered nothing."""
        page = await self._context.ledger.executions(
            limit=MOST_FAILED_TURNS, session_id=session_id, with_moved=True
        )
        for row in page.items:
            is_asking = row.intent.execution_id == execution_id
            if row.outcome is None and not is_asking:
                continue  # it waits, or went on elsewhere before it was run
            if not is_asking and not _answered_nothing(row):
                return
            yield await self._launch_of(row.intent)


def _answered_nothing(row: ExecutionRow) -> bool:
    """Whether a turn failed for good before it spent anything. One that went on elsewhere may have
    been answered there, and have come back with the session.
    """
    if row.status is ExecutionStatus.MOVED:
        return False
    outcome = row.outcome
    return isinstance(outcome, Failed) and not any(outcome.usage.total.model_dump().values())

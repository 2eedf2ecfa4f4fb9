"""Rounds of executions whose caller runs tools: the model calls, the caller answers, it goes on.

The calls are durable before anybody sees them, and so are the results before the process does.
While an execution waits for its caller it holds its session and its budget and no slot; with the
results it takes a slot again, before all that waits in the queue. An activation that finds it in
the midst of a round goes on from the row: calls that are not noted are read from what was printed,
results that were not given yet are given.

A wait is bounded in time, and waits are in number: then the one that has waited longest ends. So
does, with its calls, one that was forced to make some: they are the answer, as a rule. In all of
these cases late results are not lost; another execution goes on from them (``Continuation``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from actors.aiokit import within
from actors.interfaces.messages import LONGEST_POLL_SECONDS, CameLate
from actors.subscription.context import STORE_RETRY_SECONDS, SubscriptionContext
from actors.subscription.executions.live_execution import LiveExecution
from actors.subscription.executions.round_outcomes import (
    ends_in_calls,
    is_forced,
    misfit,
    settled,
    was_ended,
)
from pool.claude.outcome.evidence import evidence
from pool.claude.output.tool_calls import CallsMade
from pool.claude.runner import Run
from pool.claude.transcripts.transcript import Transcript
from pool.errors import Conflict, StoreError
from pool.executions.outcome import Outcome
from pool.executions.progress import Cursor
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ToolResult
from pool.executions.tools.rounds import Continuation, KeptRound, answered, less, spent

log = logging.getLogger(__name__)

_OVERDUE_SECONDS = 60.0
"""Beyond the wait: until then whoever owns the run ends it, and afterwards its supervisor."""


class ToolRounds:
    """The executions of a subscription that call their callers' tools. ``slot_is_free`` is called
    when one has left its slot.
    """

    def __init__(self, context: SubscriptionContext, slot_is_free: Callable[[], None]) -> None:
        self._context = context
        self._slot_is_free = slot_is_free
        self._waiting: dict[str, LiveExecution] = {}
        """Those that wait for their callers, the longest first."""
        self._returning: dict[str, LiveExecution] = {}
        """Those whose results have come, and that wait for a slot, as they came."""

    async def outcome(self, live: LiveExecution, run: Run) -> Outcome:
        """Wait until the run has ended, for good or since its caller is not waited for any more."""
        if not live.row.intent.request.client_tools:
            return await run.outcome()
        if live.row.rounds:  # it was found again, and its first deadline may have passed
            with contextlib.suppress(OSError):
                await self._give_time(live, run)
        over = asyncio.ensure_future(run.outcome())
        talk = asyncio.ensure_future(self._talk(live, run))
        try:
            await asyncio.wait({over, talk}, return_when=asyncio.FIRST_COMPLETED)
            if talk.done() and talk.exception() is not None:
                problem = {"execution_id": live.id, "problem": str(talk.exception())}
                log.error("process cannot be spoken to", extra=problem)
                await run.stop()
            outcome = await over
        finally:
            over.cancel()
            talk.cancel()
            async with live.giving:
                live.takes_no_results = True
            self._waiting.pop(live.id, None)
            self._returning.pop(live.id, None)
        if live.row.cancel_requested_at is None and was_ended(outcome):
            outcome = misfit(outcome, await run.misfit())
        return settled(live, outcome, self._context.now())

    async def give(self, live: LiveExecution, results: Sequence[ToolResult]) -> bool:
        """Make results durable, and have the execution go on; nothing, where they came before. See
        ``rounds.answered`` for what is refused. False, once it has ended, where it did not
        wait for them any more.
        """
        async with live.giving:
            made = answered(live.row.rounds, results)
            is_taken = not live.takes_no_results and await _lives(live)
            if is_taken and made not in live.row.rounds:
                await self._keep(live, made, results)
        if not is_taken:
            await within(LONGEST_POLL_SECONDS, live.ended)
        return is_taken

    async def _keep(
        self, live: LiveExecution, made: KeptRound, results: Sequence[ToolResult]
    ) -> None:
        rounds = (*live.row.rounds[:-1], made)
        changes = {"rounds": rounds, "results": tuple(results), "waits_until": None}
        await self._context.ledger.update(live.row.model_copy(update=changes))
        live.becomes(**changes)
        live.answered.set()
        self._context.changed()

    def return_slots(self, capacity: int) -> bool:
        """Let those go on whose results have come, as far as slots are free; whether any did."""
        slots, before = self._context.state.slots, len(self._returning)
        while self._returning and len(slots.running) < capacity:
            live = self._returning.pop(next(iter(self._returning)))
            slots.unpark(live.id)
            live.has_slot.set()
        return len(self._returning) < before

    # -- one execution ---------------------------------------------------------------------------

    async def _talk(self, live: LiveExecution, run: Run) -> None:
        """Speak with the process until it is to be ended."""
        while not ends_in_calls(live.row):
            if live.row.status is ExecutionStatus.WAITING_FOR_CALLER:
                if not await self._answered_in_time(live):
                    break
                await self._goes_on(live)
                await self._give_time(live, run)
            made = await run.next_calls(len(live.row.rounds), live.row.results)
            if live.row.cancel_requested_at is not None:
                return
            if made.problem is not None:
                break
            await self._ended(live, await self._kept(live, run, made))
            if not ends_in_calls(live.row):
                await self._give_time(live, run)
        live.takes_no_results = True
        await run.stop()

    async def _kept(self, live: LiveExecution, run: Run, made: CallsMade) -> KeptRound:
        """A round with what it has used: by the prices that are known, or as its process says."""
        known = spent(live.row.rounds)
        seen = evidence(made.reading, Transcript())
        priced = self._context.state.rates.estimate(seen.usage, seen.hour_writes)
        usage = priced.usage if priced.known else await run.spent() or priced.usage
        cursor = Cursor(attempt=len(live.row.intent.earlier_attempts), offset=made.ends)
        return KeptRound(
            number=made.number,
            text=made.text,
            tool_calls=made.calls,
            stop_reason="tool_use",
            usage=less(usage, known),
            cursor=str(cursor),
            ended_at=self._context.now(),
        )

    async def _ended(self, live: LiveExecution, made: KeptRound) -> None:
        """Note a round, and have it wait for its caller: durable first, then its slot is free."""
        changes: dict[str, Any] = {"rounds": (*live.row.rounds, made), "results": ()}
        waits = not is_forced(live.row.intent)
        if waits:
            wait = timedelta(seconds=self._context.deps.policy.tools.wait_seconds)
            changes["status"] = ExecutionStatus.WAITING_FOR_CALLER
            changes["waits_until"] = self._context.now() + wait
        await self._durable(
            lambda: self._context.ledger.update(live.row.model_copy(update=changes))
        )
        live.answered.clear()
        live.becomes(**changes)
        if waits:
            self._context.state.slots.park(live.id)
            self._context.changed()
            live.turned.tell()
            self._slot_is_free()

    async def _answered_in_time(self, live: LiveExecution) -> bool:
        """Whether its caller has given the results; else it is to end."""
        if live.row.results_came:
            return True
        self._waiting[live.id] = live
        self._bound(live)
        try:
            async with asyncio.timeout(self._seconds_left(live)):
                await live.answered.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting.pop(live.id, None)
        async with live.giving:
            live.takes_no_results = not live.row.results_came
        return live.row.results_came

    async def _goes_on(self, live: LiveExecution) -> None:
        """Take a slot again, and say so before the process has the results."""
        live.has_slot.clear()
        self._returning[live.id] = live
        self._slot_is_free()
        await live.has_slot.wait()
        changes = {"status": ExecutionStatus.RUNNING, "continued_by": "process"}
        await self._durable(
            lambda: self._context.ledger.update(live.row.model_copy(update=changes))
        )
        live.becomes(**changes)
        self._context.changed()
        live.turned.tell()

    async def _give_time(self, live: LiveExecution, run: Run) -> None:
        """Have the process end by itself when its caller's time is over, or its own."""
        if live.row.status is ExecutionStatus.WAITING_FOR_CALLER:
            await run.give_time(self._seconds_left(live) + _OVERDUE_SECONDS)
        else:
            await run.give_time(live.row.intent.timeout_seconds)

    def _bound(self, live: LiveExecution) -> None:
        """End the waits that are too many, those first that have lasted longest."""
        policy, caller = self._context.deps.policy.tools, live.row.intent.caller
        own = [each for each in self._waiting.values() if each.row.intent.caller == caller]
        for of_those, most in ((own, policy.max_waiting_per_key), (None, policy.max_waiting)):
            waiting = list(self._waiting.values()) if of_those is None else of_those
            for each in waiting[: max(0, len(waiting) - most)]:
                self._waiting.pop(each.id, None)
                each.answered.set()

    def _seconds_left(self, live: LiveExecution) -> float:
        until = live.row.waits_until
        return 0 if until is None else max(0.0, (until - self._context.now()).total_seconds())

    async def _durable(self, write: Callable[[], Any]) -> None:
        while True:
            try:
                await write()
            except StoreError as error:
                self._context.trouble(error)
                await asyncio.sleep(STORE_RETRY_SECONDS)
            else:
                return


async def _lives(live: LiveExecution) -> bool:
    """Whether its process can take results. One that is taken up by a new activation is looked for
    first, for it may be gone.
    """
    await within(LONGEST_POLL_SECONDS, live.is_found)
    return live.run is None or await live.run.lives()


def came_late(row: ExecutionRow, made: KeptRound, results: Sequence[ToolResult]) -> CameLate:
    """What to do with results of an execution that has ended. ``Conflict`` where it cannot be gone
    on from any more.
    """
    if row.content_removed_at is not None:
        raise Conflict("what was asked was removed after pool.keep_prompts: ask it anew")
    if made.number != _last_calls(row):
        raise Conflict("it has gone on from these calls without their results")
    session_id = (row.outcome and row.outcome.session_id) or row.intent.session_id
    fork = {"session_id": session_id, "fork_session": True, "background": False, "stream": False}
    begins = row.intent.reads is None and row.intent.continues is None
    continuation = Continuation(
        execution_id=row.intent.execution_id,
        model=(row.outcome and row.outcome.model) or row.intent.model,
        text=made.text,
        calls=made.tool_calls,
        results=tuple(results),
        begins=begins,
        is_first=begins and made.number == 0,
    )
    return CameLate(
        request=row.intent.request.model_copy(update=fork),
        continues=continuation,
        idempotency_key=f"continues {row.intent.execution_id} {made.results_digest}",
        caller=row.intent.caller,
        grant=row.intent.grant,
    )


def _last_calls(row: ExecutionRow) -> int | None:
    """The number of the last round that ended in calls."""
    numbers = (each.number for each in reversed(row.rounds) if each.tool_calls)
    return next(numbers, None)

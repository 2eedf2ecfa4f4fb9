"""The executions of a subscription that have not ended: held, begun, run, settled.

The order of things is the guarantee. The intent is durable before anything is spawned (T1); outcome
and usage are durable, in one transaction, before the slot is free again and anybody is answered
(T2; G2, G3; ``settlements``). A run is a task of the activation (``runs``): callers come and go. It
is over with its answer; what its CLI does as it exits holds no slot (G6 bounds runs), and is the
``aftermath``. What cannot be served here is handed on; see ``handoff``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter

from actors.aiokit import forwarded
from actors.subscription.context import SubscriptionContext
from actors.subscription.executions.aftermath import Aftermath
from actors.subscription.executions.handoff import Handoff, why_not_again
from actors.subscription.executions.held import HeldExecutions
from actors.subscription.executions.launches import Launches
from actors.subscription.executions.live_execution import LiveExecution
from actors.subscription.executions.queue import Queue
from actors.subscription.executions.round_outcomes import settled
from actors.subscription.executions.run_elsewhere import AnsweredRun, FollowedRun
from actors.subscription.executions.runs import Runs
from actors.subscription.executions.settlements import Settlements
from actors.subscription.executions.tool_rounds import ToolRounds
from pool.errors import Conflict, StoreError
from pool.executions.intent import Intent
from pool.executions.outcome import Failed, FailureKind
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus

AHEAD_SECONDS = 60.0
"""How long a cancellation waits for its execution: longer than anything is on its way."""

_LOST = Failed(
    kind=FailureKind.KILLED,
    message="it was started on another machine, before the machine was started anew, or before a "
    "backup was restored; what became of it is not known",
    evidence=False,
)


class LiveExecutions:
    """Every execution that has not ended, from its beginning to its end: the one face of this room.
    Which these are, and what each holds, is kept by ``HeldExecutions``.
    """

    def __init__(self, context: SubscriptionContext) -> None:
        self._context = context
        self._held = held = HeldExecutions(context)
        self._cancelled_ahead: dict[str, float] = {}
        """When executions that are on their way here were cancelled, on the monotonic clock."""
        self._handoff = Handoff(context, self)
        self._launches = Launches(context)
        self.aftermath = Aftermath(context, self._launches.launch)
        self.tool_rounds = ToolRounds(context, self.start_waiting)
        self._settlements = Settlements(context, held, self._handoff, self.start_waiting)
        self._runs = Runs(
            *(context, self._launches, self.tool_rounds, self.aftermath, self._settlements)
        )
        self._queue = Queue(
            *(context, held, self._handoff, self._settlements, self._runs.run_next),
            return_slots=self.tool_rounds.return_slots,
        )

    @property
    def is_any(self) -> bool:
        """Whether there is anything that has not ended, or whose CLI is not gone yet."""
        return len(self._held) > 0 or self.aftermath.is_any

    def get(self, execution_id: str) -> LiveExecution | None:
        return self._held.get(execution_id)

    row = forwarded(attrgetter("_held"), HeldExecutions.row)
    launch = forwarded(attrgetter("_launches"), Launches.launch)
    tend = forwarded(attrgetter("_queue"), Queue.tend)
    end = forwarded(attrgetter("_settlements"), Settlements.end)

    def start_waiting(self) -> None:
        self._queue.start_waiting()

    def waits_again(self, live: LiveExecution) -> None:
        self._queue.waits_again(live)

    def begins_in(self, live: LiveExecution, session_id: str) -> None:
        self._held.begins_in(live, session_id)

    def hold(
        self, intent: Intent, status: ExecutionStatus, now: datetime, *, reserves: bool = True
    ) -> LiveExecution:
        """See ``HeldExecutions.hold``; it is not to be started before ``begin``."""
        was_cancelled = self._cancelled_ahead.pop(intent.execution_id, None) is not None
        return self._held.hold(intent, status, now, reserves=reserves, was_cancelled=was_cancelled)

    async def begin(self, live: LiveExecution) -> StoreError | None:
        """T1, and off it goes. The error, where it cannot be made durable: it holds nothing then.

        To be run as a task of its own: a caller who stops waiting must not leave it half begun.
        """
        try:
            await self._context.ledger.begin(live.row)
        except StoreError as error:
            self._context.trouble(error)
            self._context.state.slots.release(live.id)
            self._held.let_go(live)
            return error
        else:
            live.is_durable = True
            self._context.recorder.admitted(live.row)
        finally:
            self._held.unready.discard(live.id)
            live.begun.set()
        if live.row.status is ExecutionStatus.RUNNING:
            self._context.spawn(self._runs.run(live), live.id)
        elif live.row.cancel_requested_at is not None:
            self._queue.cancel(live)
        self.start_waiting()
        return None

    async def cancel(self, live: LiveExecution) -> None:
        """Ask a run to end, or take it out of the queue. One that has ended stays as it is."""
        await live.begun.wait()
        if live.ended.is_set():
            return
        if live.row.cancel_requested_at is None:
            live.becomes(cancel_requested_at=self._context.now())
            if not live.is_being_settled:
                with contextlib.suppress(Conflict):
                    await self._context.ledger.update(live.row)
        if live.row.status is ExecutionStatus.QUEUED:
            self._queue.cancel(live)
        elif live.run is not None:
            await live.run.stop()

    async def cancel_ahead(self, execution_id: str) -> None:
        """Have an execution that nobody here knows, but that may be on its way here, not be started
        when it comes.
        """
        if await self.row(execution_id) is None:
            now, known = time.monotonic(), self._cancelled_ahead
            self._cancelled_ahead = {
                id_: at for id_, at in known.items() if now - at < AHEAD_SECONDS
            }
            self._cancelled_ahead[execution_id] = now

    async def was_cancelled(self, execution_id: str) -> bool:
        """Whether somebody has cancelled an execution while it was here."""
        row = await self.row(execution_id)
        if row is None:
            return False
        is_cancelled = row.status is ExecutionStatus.CANCELLED
        return is_cancelled or row.cancel_requested_at is not None

    async def interrupt(self) -> None:
        """Ask everything that runs to end. Who waits for a caller is left to the next activation,
        unless there is to be none.
        """
        waits, leaves = ExecutionStatus.WAITING_FOR_CALLER, self._context.state.retired
        live = [each for each in self._held.all() if leaves or each.row.status is not waits]
        await asyncio.gather(*(each.run.stop() for each in live if each.run is not None))

    def release(self, why: str) -> None:
        """Start nothing any more, before anything is taken up."""
        self._context.state.retired = True
        self._context.leaves_since = why

    async def retire(self) -> int:
        """Let go of everything, for the subscription has left the pool: what waits goes on at
        another one or ends, what runs is asked to end. How many have not ended here yet: asked
        again, it goes on with those.
        """
        self._context.state.retired = True
        not_started = _not_started(self._context.leaves_since)
        for execution_id in tuple(self._context.state.slots.waiting):
            if execution_id not in self._held.unready:
                self._queue.give_up(self._held[execution_id], not_started)
        await self.interrupt()
        await self._context.deps.runner.let_go()
        return len(self._held)

    async def take_up(self, rows: Iterable[ExecutionRow]) -> None:
        """Go on with what an earlier activation left open.

        Everybody takes the slot, the session and the budget again that it had, before anything may
        end or start.
        """
        lives = [self._held.hold_again(row) for row in rows]
        ids = {live.id for live in lives}
        self._held.unready |= ids
        leaving = [live for live in lives if live.row.status is ExecutionStatus.MOVING]
        for live in lives:
            live.is_durable = True
            live.begun.set()
            if live not in leaving:
                await self._resume(live)
        self._held.unready -= ids
        for live in leaving:
            self._held.unready.add(live.id)
            live.may_be_elsewhere = True
            await self._look_after_what_ran(live)
            why = why_not_again(self._context, live.row)
            self._context.spawn(self._handoff.hand_off(live, why), live.id)
        self.start_waiting()

    async def _resume(self, live: LiveExecution) -> None:
        """A run that left a directory is adopted, alive or ended. Of one without, in this place, no
        process was ever given it, for the directory comes first: it waits again, before all others.
        One of another node is asked for there. Of one from another place here nobody knows: it is
        not run again.
        """
        deps, row, run = self._context.deps, live.row, None
        has_run = {ExecutionStatus.RUNNING, ExecutionStatus.WAITING_FOR_CALLER}
        if row.status in has_run:
            run = await asyncio.to_thread(deps.runner.find, await self.launch(row.intent))
        if run is not None:
            self._context.spawn(self._runs.follow(live, run), live.id)
        elif row.status in has_run and not row.rounds and self._context.is_elsewhere(row.node):
            self._context.spawn(self._follow_elsewhere(live), live.id)
        elif row.rounds or (row.status in has_run and row.place != deps.runner.place):
            lost = settled(live, _LOST, self._context.now())
            self._context.spawn(self._settlements.settle(live, lost), live.id)
        else:
            await self._queue.wait_again(live)

    async def _look_after_what_ran(self, live: LiveExecution) -> None:
        """The run of an attempt that is over: the earlier activation may have died before it had
        counted what that was charged last, and tidied up.
        """
        row, run = live.row, None
        launch = await self.launch(row.intent)
        if not self._context.is_elsewhere(row.node):
            run = await asyncio.to_thread(self._context.deps.runner.find, launch)
        elif row.outcome is not None:  # else nothing ran
            run = AnsweredRun(self._context, row.node or "", row, launch)
        if run is not None:
            self.aftermath.begin(row.intent, run, is_watched=True)

    async def _follow_elsewhere(self, live: LiveExecution) -> None:
        """Ask the node where it was started. Meanwhile it holds what it held."""
        node, launch = live.row.node or "", await self.launch(live.row.intent)
        run = live.run = FollowedRun(self._context, node, live.row, launch)
        if await run.never_ran():
            live.run = None
            await self._queue.wait_again(live)
            self.start_waiting()
        else:
            await self._runs.follow(live, run)


def _not_started(why: str) -> Failed:
    """What something ends as that waited when its subscription let go of it."""
    message = f"{why} before it was started, and no other one takes it: send it again"
    return Failed(kind=FailureKind.NOT_STARTED, message=message)

"""The executions of a subscription that have not ended: held, begun, run, settled.

The order of things is the guarantee. The intent is durable before anything is spawned (T1); outcome
and usage are durable, in one transaction, before the slot is free again and anybody is answered
(T2; G2, G3). A run is a task of the subscription's life: callers come and go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from actors.life import STORE_RETRY_SECONDS, Life
from pool.claude.run import Launch, Run
from pool.errors import ConfigError, Conflict, StoreError
from pool.execution import ExecutionRow, ExecutionStatus, Intent
from pool.outcome import Failed, FailureKind, Outcome
from pool.settlement import settlement
from pool.slots import Hold
from pool.state import reservation

log = logging.getLogger(__name__)


@dataclass
class LiveExecution:
    """An execution that has not ended."""

    row: ExecutionRow
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Its intent is durable, or it was given up."""
    is_durable: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    run: Run | None = None


_LOST = Failed(
    kind=FailureKind.KILLED,
    message="it was started on another machine, or before a backup was restored; what became of it "
    "is not known",
    evidence=False,
)


class Runs:
    """Every execution that has not ended, by id."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._live: dict[str, LiveExecution] = {}
        self._beginning: set[str] = set()
        """Admitted, but not durable yet: they hold their place and are not to be started."""

    def get(self, execution_id: str) -> LiveExecution | None:
        return self._live.get(execution_id)

    async def row(self, execution_id: str) -> ExecutionRow | None:
        """What is known of an execution, and durable: of one that is just beginning, once it is."""
        while True:
            live = self._live.get(execution_id)
            if live is None:
                row = await self._life.ledger.execution(execution_id)
                if execution_id not in self._live:
                    return row
                continue
            await live.begun.wait()
            if live.is_durable:
                return live.row

    def hold(self, intent: Intent, status: ExecutionStatus, now: datetime) -> LiveExecution:
        """Take the slot or the place in the queue, and the budget, in this very step."""
        reserved = reservation(self._life.state, intent.request.max_budget_usd)
        row = ExecutionRow(
            intent=intent.model_copy(update={"reserved_nano_usd": reserved}),
            status=status,
            started_at=now if status is ExecutionStatus.RUNNING else None,
            place=self._life.given.runner.place,
        )
        self._life.state.requested(intent)
        return self._hold_again(row)

    def _hold_again(self, row: ExecutionRow) -> LiveExecution:
        intent, slots = row.intent, self._life.state.slots
        hold = Hold(intent.session_id, intent.reserved_nano_usd)
        take = slots.take if row.status is ExecutionStatus.RUNNING else slots.enqueue
        take(intent.execution_id, hold)
        live = self._live[intent.execution_id] = LiveExecution(row)
        self._life.changed()
        return live

    async def begin(self, live: LiveExecution) -> StoreError | None:
        """T1, and off it goes. The error, where it cannot be made durable: it holds nothing then.

        To be run as a task of its own: a caller who stops waiting must not leave it half begun.
        """
        execution_id = live.row.intent.execution_id
        self._beginning.add(execution_id)
        try:
            await self._life.ledger.begin(live.row)
        except StoreError as error:
            self._life.trouble(error)
            self._life.state.slots.release(execution_id)
            self._end(live)
            return error
        else:
            live.is_durable = True
        finally:
            self._beginning.discard(execution_id)
            live.begun.set()
        if live.row.status is ExecutionStatus.RUNNING:
            self._life.spawn(self._run(live))
        self.start_waiting()
        return None

    async def cancel(self, live: LiveExecution) -> None:
        """Ask a run to end, or take it out of the queue. One that has ended stays as it is."""
        await live.begun.wait()
        if live.ended.is_set():
            return
        if live.row.cancel_requested_at is None:
            live.row = live.row.model_copy(update={"cancel_requested_at": self._life.now()})
            with contextlib.suppress(Conflict):
                await self._life.ledger.update(live.row)
        if live.row.intent.execution_id in self._life.state.slots.waiting:
            self._cancel_waiting(live)
        elif live.run is not None:
            live.run.stop()

    def _cancel_waiting(self, live: LiveExecution) -> None:
        """Take it out of the queue in this step, so that it is not started, and settle it."""
        self._life.state.slots.release(live.row.intent.execution_id)
        message = "cancelled before it was started"
        self._life.spawn(self._settle(live, Failed(kind=FailureKind.CANCELLED, message=message)))

    def interrupt(self) -> None:
        """Ask everything that runs to end."""
        for live in self._live.values():
            if live.run is not None:
                live.run.stop()

    async def take_up(self, rows: Iterable[ExecutionRow]) -> None:
        """Go on with what an earlier activation left open.

        Everybody takes the slot, the session and the budget again that it had, before anything may
        end or start.
        """
        lives = [self._hold_again(row) for row in rows]
        ids = {live.row.intent.execution_id for live in lives}
        self._beginning |= ids
        for live in lives:
            live.is_durable = True
            live.begun.set()
            await self._resume(live)
        self._beginning -= ids
        self.start_waiting()

    async def _resume(self, live: LiveExecution) -> None:
        """A run that left a directory is adopted, alive or ended. Of one without, in this place, no
        process was ever started, for the directory comes first: it waits again, before all others.
        Of one from another place nobody knows: it is not run again.
        """
        given, row, run = self._life.given, live.row, None
        if row.status is ExecutionStatus.RUNNING:
            run = given.runner.find(await self.launch(row.intent))
        if run is not None:
            self._life.spawn(self._follow(live, run))
        elif row.status is ExecutionStatus.RUNNING and row.place != given.runner.place:
            self._life.spawn(self._settle(live, _LOST))
        elif row.cancel_requested_at is not None:
            self._cancel_waiting(live)
        elif row.status is ExecutionStatus.RUNNING:
            self._life.state.slots.demote(row.intent.execution_id)
            live.row = row.model_copy(update={"status": ExecutionStatus.QUEUED, "started_at": None})

    def start_waiting(self) -> None:
        """Start what waits, in order, as far as slots and sessions are free."""
        slots = self._life.state.slots
        limit = 0 if self._life.state.suspended else self._life.state.spec.max_concurrent
        while (execution_id := slots.next(limit, self._beginning)) is not None:
            slots.promote(execution_id)
            live = self._live[execution_id]
            live.row = live.row.model_copy(
                update={
                    "status": ExecutionStatus.RUNNING,
                    "started_at": self._life.now(),
                    "place": self._life.given.runner.place,
                }
            )
            self._life.changed()
            self._life.spawn(self._run(live, waited=True))

    async def _run(self, live: LiveExecution, *, waited: bool = False) -> None:
        try:
            if waited:
                await self._life.ledger.update(live.row)
            launch = await self.launch(live.row.intent)
            environment = self._life.given.environment(self._life.state.spec)
        except StoreError as error:
            self._life.trouble(error)
            await self._settle(live, Failed(kind=FailureKind.NOT_STARTED, message=str(error)))
        except ConfigError as error:
            await self._settle(live, Failed(kind=FailureKind.AUTHENTICATION, message=str(error)))
        else:
            await self._follow(live, await self._life.given.runner.start(launch, environment))

    async def _follow(self, live: LiveExecution, run: Run) -> None:
        live.run = run
        if live.row.cancel_requested_at is not None:
            run.stop()
        try:
            outcome = await run.outcome()
        except Exception:  # a defect must not keep the slot, nor claim to know what was spent
            log.exception("run could not be read", extra={"execution_id": run.run_id})
            message = "the run could not be read; what it spent is not known"
            outcome = Failed(kind=FailureKind.EXECUTION_ERROR, message=message, evidence=False)
        await self._settle(live, outcome)
        run.discard()

    async def launch(self, intent: Intent) -> Launch:
        request, budget = intent.request, intent.request.max_budget_usd
        known = await self._life.ledger.session(intent.session_id)
        # A session keeps the system prompt that it began with, unless the request brings another.
        default = None if intent.resumes else self._life.given.system_prompt
        return Launch(
            run_id=intent.execution_id,
            prompt=request.prompt,
            session_id=intent.session_id,
            resumes=intent.resumes,
            model=intent.model,
            timeout_seconds=intent.timeout_seconds,
            system_prompt=request.system_prompt or default,
            max_turns=request.max_turns,
            max_budget_usd=None if budget is None else format(budget, "f"),
            json_schema=request.json_schema,
            session_total_nano_usd=known.total_nano_usd if known else None,
            rates=self._life.state.rates,
        )

    async def _settle(self, live: LiveExecution, outcome: Outcome) -> None:
        """T2. Tried until it is durable; whoever waits is told after that, and not before."""
        state = self._life.state
        while True:
            end = settlement(state.spec.id, live.row, outcome, state.standing, self._life.now())
            try:
                is_end = await self._life.ledger.settle(end)
                break
            except StoreError as error:
                self._life.trouble(error)
                await asyncio.sleep(STORE_RETRY_SECONDS)
        if is_end:
            live.row = end.row
            state.settle(end)
        else:  # it had ended already, and was counted then
            state.slots.release(live.row.intent.execution_id)
        self._end(live)
        self.start_waiting()
        log.info(
            "execution ended",
            extra={
                "subscription_id": state.spec.id,
                "execution_id": end.row.intent.execution_id,
                "status": end.row.status.value,
            },
        )

    def _end(self, live: LiveExecution) -> None:
        self._live.pop(live.row.intent.execution_id, None)
        live.ended.set()
        self._life.changed()

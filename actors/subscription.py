"""One subscription: it alone owns its ledger, its state, its slots and its queue.

The order of things is the guarantee. Admission and reservation are one step without an ``await``
between them (G6). The intent is durable before anything is spawned (T1); outcome and usage are
durable, in one transaction, before the slot is free again and anybody is answered (T2; G2, G3).
Runs are the subscription's own tasks: callers come and go, and waiting again by id gives the same
answer. Every method may be called again with the same arguments; nothing happens twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, assert_never

from pool.admission import Admission, Ask, Refusal, RefusalCause, Run, Wait, admit
from pool.claude.run import Launch, Runner
from pool.claude.run import Run as CliRun
from pool.cooldown import Standing
from pool.errors import ConfigError, Conflict, NotFound, StoreError
from pool.execution import Execution, ExecutionRow, ExecutionStatus, Intent, shown
from pool.money import usd
from pool.outcome import Failed, FailureKind, Outcome
from pool.report import Report
from pool.settlement import settlement
from pool.slots import Hold
from pool.snapshot import SeatPolicy, report
from pool.state import REMEMBERED, State, recovered, reservation
from pool.store.protocol import BlockTotal, Ledger, Page
from pool.subscription import SubscriptionSpec
from pool.usage import UsageRecord
from pool.value import Value

log = logging.getLogger(__name__)

LONGEST_POLL_SECONDS = 30.0
"""How long one waiting call is held: long enough to be rare, short enough to notice a dead peer."""
STORE_RETRY_SECONDS = 1.0
"""Between two tries to write while the disk refuses."""
RETENTION_PERIOD = timedelta(hours=1)


class Started(Value):
    """The subscription has the execution: running, waiting, or ended already."""

    execution: Execution
    report: Report


class Recorded(Value):
    """Whether usage from outside was added, and the subscription afterwards."""

    added: bool
    report: Report


class NotAdmitted(Value):
    """The subscription does not take it; nothing of it was kept."""

    refusal: Refusal
    report: Report


@dataclass(frozen=True)
class Surroundings:
    """What a subscription is given beside its rows."""

    runner: Runner
    environment: Callable[[SubscriptionSpec], Mapping[str, str]]
    """The variables of a run; raises ``ConfigError`` where the credential is missing."""
    clock: Callable[[], datetime]
    leave: Callable[[StoreError], None]
    """Called when the ledger is lost to this activation: it must end the process."""
    policy: SeatPolicy
    system_prompt: str
    retention: timedelta


@dataclass
class _Live:
    """An execution that has not ended."""

    row: ExecutionRow
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Its intent is durable, or it was given up."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    run: CliRun | None = None


class Subscription:
    """The owner of one seat. Made by ``activate``."""

    def __init__(self, state: State, ledger: Ledger, surroundings: Surroundings) -> None:
        self._state = state
        self._ledger = ledger
        self._with = surroundings
        self._live: dict[str, _Live] = {}
        self._beginning: set[str] = set()
        """Admitted, but not durable yet: they hold their place and are not to be started."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    @classmethod
    async def activate(
        cls, spec: SubscriptionSpec, ledger: Ledger, surroundings: Surroundings
    ) -> Subscription:
        """Rebuild the subscription from its ledger, and go on with what had not ended."""
        recovery = await ledger.recover(surroundings.clock() - REMEMBERED)
        self = cls(recovered(spec, recovery), ledger, surroundings)
        for row in recovery.open:
            await self._take_up(row)
        self._start_waiting()
        self._spawn(self._retain())
        return self

    # -- what routers and callers ask ------------------------------------------------------------

    async def start(self, intent: Intent) -> Started | NotAdmitted:
        """Admit an execution, or refuse it. Asked again with the same id: what became of it."""
        known = await self._row(intent.execution_id)
        if known is not None:
            return Started(execution=self._shown(known), report=self._report())
        now = self._with.clock()
        match self._admission(intent, now):
            case Refusal() as refusal:
                return NotAdmitted(refusal=refusal, report=self._report())
            case Run():
                live = self._hold(intent, ExecutionStatus.RUNNING, now)
            case Wait():
                live = self._hold(intent, ExecutionStatus.QUEUED, now)
            case never:
                assert_never(never)
        return await self._begin(live)

    async def result(
        self, execution_id: str, wait_seconds: float = LONGEST_POLL_SECONDS
    ) -> Execution:
        """The execution, once it has ended or ``wait_seconds`` (at most 30) have passed."""
        live = self._live.get(execution_id)
        if live is not None:
            await _within(wait_seconds, live.ended)
        row = await self._row(execution_id)
        if row is None:
            raise NotFound("execution", execution_id)
        return self._shown(row)

    async def cancel(self, execution_id: str) -> Execution:
        """Ask a run to end, or take it out of the queue. One that has ended stays as it is."""
        live = self._live.get(execution_id)
        if live is not None:
            await live.begun.wait()
        if live is None or live.ended.is_set():
            return await self.result(execution_id, 0)
        if live.row.cancel_requested_at is None:
            live.row = live.row.model_copy(update={"cancel_requested_at": self._with.clock()})
            with contextlib.suppress(Conflict):
                await self._ledger.update(live.row)
        if execution_id in self._state.slots.waiting:
            self._state.slots.release(execution_id)
            message = "cancelled before it was started"
            self._spawn(self._settle(live, Failed(kind=FailureKind.CANCELLED, message=message)))
        elif live.run is not None:
            live.run.stop()
        return await self.result(execution_id)

    async def next_report(self, epoch: int, version: int, wait_seconds: float) -> Report:
        """A report as soon as it differs from the one named; an unchanged one, with its new time,
        after ``wait_seconds``.
        """
        if (epoch, version) == (self._state.epoch, self._state.version):
            await _within(wait_seconds, self._news)
        return self._report()

    def _report(self) -> Report:
        """The subscription at this instant."""
        return report(self._state, self._with.policy, self._with.clock())

    async def executions(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
    ) -> Page[Execution]:
        page = await self._ledger.executions(
            limit=limit, cursor=cursor, status=status, session_id=session_id
        )
        items = tuple(self._shown(row) for row in page.items)
        return Page[Execution](items=items, next_cursor=page.next_cursor)

    async def usage(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[UsageRecord]:
        return await self._ledger.usage(limit=limit, cursor=cursor, since=since, until=until)

    async def blocks(self, *, limit: int, cursor: str | None = None) -> Page[BlockTotal]:
        return await self._ledger.blocks(limit=limit, cursor=cursor)

    async def record(self, record: UsageRecord) -> Recorded:
        """Count usage from outside the pool. Nothing is added where its id was counted before."""
        added = await self._ledger.record(record)
        if added:
            self._state.spend(record)
            self._changed()
        return Recorded(added=added, report=self._report())

    # -- what operators order --------------------------------------------------------------------

    async def pause(self) -> Report:
        """Take no new work; what runs or waits goes on."""
        return await self._stand(self._state.standing.model_copy(update={"paused": True}))

    async def drain(self) -> Report:
        """Take no new work, for good: the step before removal."""
        return await self._stand(self._state.standing.model_copy(update={"draining": True}))

    async def resume(self) -> Report:
        """Take work again, whatever it was that stopped it: an order, or a cooldown."""
        return await self._stand(Standing())

    async def suspend(self) -> Report:
        """Start nothing more in this activation; what waits is left to the next one."""
        self._state.suspended = True
        self._changed()
        return self._report()

    async def interrupt(self) -> Report:
        """Ask everything that runs to end; it is settled with what it cost."""
        for live in self._live.values():
            if live.run is not None:
                live.run.stop()
        return self._report()

    async def configure(self, spec: SubscriptionSpec) -> Report:
        """Go on with changed settings."""
        if spec != self._state.spec:
            self._state.spec = spec
            self._changed()
            self._start_waiting()
        return self._report()

    async def close(self) -> None:
        """Let go of the ledger. Runs go on, and the next activation adopts them."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._ledger.close()

    # -- admission -------------------------------------------------------------------------------

    def _admission(self, intent: Intent, now: datetime) -> Admission:
        if self._state.store_problem is not None:
            return Refusal(cause=RefusalCause.STORE, detail=self._state.store_problem)
        ask = Ask(
            goes_on=intent.resumes,
            reserve_usd=usd(reservation(self._state, intent.request.max_budget_usd)),
            session_busy=self._state.slots.is_busy(intent.session_id),
        )
        return admit(report(self._state, self._with.policy, now), ask, self._with.policy.limits)

    def _hold(self, intent: Intent, status: ExecutionStatus, now: datetime) -> _Live:
        """Take the slot or the place in the queue, and the budget, in this very step."""
        reserved = reservation(self._state, intent.request.max_budget_usd)
        row = ExecutionRow(
            intent=intent.model_copy(update={"reserved_nano_usd": reserved}),
            status=status,
            started_at=now if status is ExecutionStatus.RUNNING else None,
        )
        self._state.last_request_at = now
        self._state.last_session_id = intent.session_id
        return self._hold_again(row)

    def _hold_again(self, row: ExecutionRow) -> _Live:
        intent, slots = row.intent, self._state.slots
        hold = Hold(intent.session_id, intent.reserved_nano_usd)
        take = slots.take if row.status is ExecutionStatus.RUNNING else slots.enqueue
        take(intent.execution_id, hold)
        live = self._live[intent.execution_id] = _Live(row)
        self._changed()
        return live

    async def _begin(self, live: _Live) -> Started | NotAdmitted:
        """T1, and off it goes."""
        execution_id = live.row.intent.execution_id
        self._beginning.add(execution_id)
        try:
            await self._ledger.begin(live.row)
        except StoreError as error:
            self._trouble(error)
            self._state.slots.release(execution_id)
            self._end(live)
            refusal = Refusal(cause=RefusalCause.STORE, detail=str(error))
            return NotAdmitted(refusal=refusal, report=self._report())
        finally:
            self._beginning.discard(execution_id)
            live.begun.set()
        if live.row.status is ExecutionStatus.RUNNING:
            self._spawn(self._run(live))
        self._start_waiting()
        return Started(execution=self._shown(live.row), report=self._report())

    # -- running ---------------------------------------------------------------------------------

    async def _take_up(self, row: ExecutionRow) -> None:
        """Go on with an execution that an earlier activation left open.

        A run that left a directory is adopted, alive or ended. One without was certainly never
        spawned, for the directory comes first: it waits in the queue again.
        """
        if row.status is ExecutionStatus.RUNNING:
            run = self._with.runner.find(await self._launch(row.intent))
            if run is not None:
                live = self._hold_again(row)
                live.begun.set()
                self._spawn(self._follow(live, run))
                return
            row = row.model_copy(update={"status": ExecutionStatus.QUEUED, "started_at": None})
        self._hold_again(row).begun.set()

    def _start_waiting(self) -> None:
        """Start what waits, in order, as far as slots and sessions are free."""
        slots = self._state.slots
        limit = 0 if self._state.suspended else self._state.spec.max_concurrent
        while (execution_id := slots.next(limit, self._beginning)) is not None:
            slots.promote(execution_id)
            live = self._live[execution_id]
            live.row = live.row.model_copy(
                update={"status": ExecutionStatus.RUNNING, "started_at": self._with.clock()}
            )
            self._changed()
            self._spawn(self._run(live, waited=True))

    async def _run(self, live: _Live, *, waited: bool = False) -> None:
        try:
            if waited:
                await self._ledger.update(live.row)
            launch = await self._launch(live.row.intent)
            environment = self._with.environment(self._state.spec)
        except StoreError as error:
            self._trouble(error)
            await self._settle(live, Failed(kind=FailureKind.NOT_STARTED, message=str(error)))
        except ConfigError as error:
            await self._settle(live, Failed(kind=FailureKind.AUTHENTICATION, message=str(error)))
        else:
            await self._follow(live, await self._with.runner.start(launch, environment))

    async def _follow(self, live: _Live, run: CliRun) -> None:
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

    async def _launch(self, intent: Intent) -> Launch:
        request, budget = intent.request, intent.request.max_budget_usd
        known = await self._ledger.session(intent.session_id)
        # A session keeps the system prompt that it began with, unless the request brings another.
        default = None if intent.resumes else self._with.system_prompt
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
        )

    async def _settle(self, live: _Live, outcome: Outcome) -> None:
        """T2. Tried until it is durable; whoever waits is told after that, and not before."""
        state = self._state
        while True:
            end = settlement(state.spec.id, live.row, outcome, state.standing, self._with.clock())
            try:
                await self._ledger.settle(end)
                break
            except StoreError as error:
                self._trouble(error)
                await asyncio.sleep(STORE_RETRY_SECONDS)
        live.row = end.row
        state.settle(end)
        self._end(live)
        self._start_waiting()
        log.info(
            "execution ended",
            extra={
                "subscription_id": state.spec.id,
                "execution_id": end.row.intent.execution_id,
                "status": end.row.status.value,
            },
        )

    def _end(self, live: _Live) -> None:
        self._live.pop(live.row.intent.execution_id, None)
        live.ended.set()
        self._changed()

    # -- housekeeping ----------------------------------------------------------------------------

    async def _row(self, execution_id: str) -> ExecutionRow | None:
        """A row of an execution: from memory while it lives, from the ledger afterwards."""
        if execution_id not in self._live:
            row = await self._ledger.execution(execution_id)
            if execution_id not in self._live:
                return row
        return self._live[execution_id].row

    def _shown(self, row: ExecutionRow) -> Execution:
        return shown(self._state.spec.id, row)

    async def _stand(self, standing: Standing) -> Report:
        if standing != self._state.standing:
            await self._ledger.stand(standing)
            self._state.standing = standing
            self._changed()
        return self._report()

    def _trouble(self, error: StoreError) -> None:
        """Take no work until a write succeeds again; with the ledger lost, leave."""
        log.error(
            "store refused a write",
            extra={"subscription_id": self._state.spec.id, "problem": error.problem},
        )
        if self._ledger.is_lost:
            self._with.leave(error)
        if self._state.store_problem is None:
            self._state.store_problem = str(error)
            self._changed()
            self._spawn(self._probe())

    async def _probe(self) -> None:
        """Write the standing, which changes nothing, until the disk takes it."""
        while self._state.store_problem is not None:
            await asyncio.sleep(STORE_RETRY_SECONDS)
            with contextlib.suppress(StoreError):
                await self._ledger.stand(self._state.standing)
                self._state.store_problem = None
                self._changed()

    def _changed(self) -> None:
        self._state.version += 1
        self._news.set()
        self._news = asyncio.Event()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("task failed", exc_info=task.exception())

    async def _retain(self) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await self._ledger.expire(self._with.clock() - self._with.retention)
            await asyncio.sleep(RETENTION_PERIOD.total_seconds())


async def _within(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(min(seconds, LONGEST_POLL_SECONDS)):
            await event.wait()

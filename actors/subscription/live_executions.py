"""The executions of a subscription that have not ended: held, begun, run, settled.

The order of things is the guarantee. The intent is durable before anything is spawned (T1); outcome
and usage are durable, in one transaction, before the slot is free again and anybody is answered
(T2; G2, G3). A run is a task of the activation: callers come and go. It is over with its
answer; what its CLI does as it exits holds no slot (G6 bounds runs), and is the ``aftermath``. What
cannot be served here is handed on; see ``handoff``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from actors.aiokit import every
from actors.subscription.aftermath import Aftermath
from actors.subscription.context import STORE_RETRY_SECONDS, SubscriptionContext
from actors.subscription.handoff import Handoff, why_not_again
from actors.subscription.live_execution import LiveExecution
from actors.subscription.run_elsewhere import FollowedRun
from actors.subscription.sessions.session_transfer import Elsewhere, fetched, note_gone
from actors.subscription.tool_rounds import ToolRounds, settled
from pool.claude.launch.directories import resolved
from pool.claude.launch.launch_spec import Launch
from pool.claude.runner import Run
from pool.claude.transcripts.copy import CopyRefused
from pool.errors import ConfigError, Conflict, InvalidRequest, PoolError, StoreError
from pool.executions.intent import Intent
from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ToolChoice
from pool.subscriptions.admission import Refusal, refusal_to_start
from pool.subscriptions.failover import goes_elsewhere, was_unsure
from pool.subscriptions.report import Report
from pool.subscriptions.settlement import Settlement, settlement
from pool.subscriptions.slots import Hold
from pool.subscriptions.state import ask_to_start, held_while_running, reservation

log = logging.getLogger(__name__)

TEND_SECONDS = 0.5
"""Between two looks at what waits: time alone ends cooldowns and waits."""
AHEAD_SECONDS = 60.0
"""How long a cancellation waits for its execution: longer than anything is on its way."""
WANTED_SECONDS = 2.0
"""How long to wait for an earlier subscription to say whether an execution is wanted still: one
that is being started again answers later, and would hold up what may have left it for that
reason."""


_LOST = Failed(
    kind=FailureKind.KILLED,
    message="it was started on another machine, before the machine was started anew, or before a "
    "backup was restored; what became of it is not known",
    evidence=False,
)
_CANCELLED = Failed(kind=FailureKind.CANCELLED, message="cancelled before it was started")
_REMOVED = "its subscription was removed from the pool"
_NOT_STARTED = Failed(
    kind=FailureKind.NOT_STARTED,
    message=f"{_REMOVED} before it was started, and no other one takes it: send it again",
)


class LiveExecutions:
    """Every execution that has not ended, by id."""

    def __init__(self, context: SubscriptionContext) -> None:
        self._context = context
        self._live: dict[str, LiveExecution] = {}
        self._unready: set[str] = set()
        """Admitted but not durable yet, or being handed on: they hold their place and are not to
        be started."""
        self._cancelled_ahead: dict[str, float] = {}
        """When executions that are on their way here were cancelled, on the monotonic clock."""
        self._handoff = Handoff(context, self)
        self.aftermath = Aftermath(context, self.launch)
        self.tool_rounds = ToolRounds(context, self.start_waiting)

    @property
    def is_any(self) -> bool:
        """Whether there is anything that has not ended, or whose CLI is not gone yet."""
        return bool(self._live) or self.aftermath.is_any

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
        self, intent: Intent, status: ExecutionStatus, now: datetime, *, reserves: bool = True
    ) -> LiveExecution:
        """Take the slot or the place in the queue, and the budget, in this very step. It is not to
        be started before ``begin`` has made it durable.
        """
        was_cancelled = self._cancelled_ahead.pop(intent.execution_id, None) is not None
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
        self._unready.add(intent.execution_id)
        return self._hold_again(row)

    def _hold_again(self, row: ExecutionRow) -> LiveExecution:
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

    async def begin(self, live: LiveExecution) -> StoreError | None:
        """T1, and off it goes. The error, where it cannot be made durable: it holds nothing then.

        To be run as a task of its own: a caller who stops waiting must not leave it half begun.
        """
        try:
            await self._context.ledger.begin(live.row)
        except StoreError as error:
            self._context.trouble(error)
            self._context.state.slots.release(live.id)
            self._end(live)
            return error
        else:
            live.is_durable = True
            self._context.recorder.admitted(live.row)
        finally:
            self._unready.discard(live.id)
            live.begun.set()
        if live.row.status is ExecutionStatus.RUNNING:
            self._context.spawn(self._run(live), live.id)
        elif live.row.cancel_requested_at is not None:
            self._cancel_waiting(live)
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
            self._cancel_waiting(live)
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

    def _cancel_waiting(self, live: LiveExecution) -> None:
        """Take it out of the queue in this step, so that it is not started, and settle it."""
        self._give_up_waiting(live, _CANCELLED)

    def _give_up_waiting(self, live: LiveExecution, why: Failed) -> None:
        self._context.state.slots.release(live.id)
        self._context.spawn(self._settle(live, why), live.id)

    async def interrupt(self) -> None:
        """Ask everything that runs to end. Who waits for a caller is left to the next activation,
        unless there is to be none.
        """
        waits, leaves = ExecutionStatus.WAITING_FOR_CALLER, self._context.state.retired
        live = [each for each in self._live.values() if leaves or each.row.status is not waits]
        await asyncio.gather(*(each.run.stop() for each in live if each.run is not None))

    async def retire(self) -> int:
        """Let go of everything, for the subscription has left the pool: what waits goes on at
        another one or ends, what runs is asked to end. How many have not ended here yet: asked
        again, it goes on with those.
        """
        self._context.state.retired = True
        for execution_id in tuple(self._context.state.slots.waiting):
            if execution_id not in self._unready:
                self._give_up_waiting(self._live[execution_id], _NOT_STARTED)
        await self.interrupt()
        await self._context.deps.runner.let_go()
        return len(self._live)

    async def take_up(self, rows: Iterable[ExecutionRow]) -> None:
        """Go on with what an earlier activation left open.

        Everybody takes the slot, the session and the budget again that it had, before anything may
        end or start.
        """
        lives = [self._hold_again(row) for row in rows]
        ids = {live.id for live in lives}
        self._unready |= ids
        leaving = [live for live in lives if live.row.status is ExecutionStatus.MOVING]
        for live in lives:
            live.is_durable = True
            live.begun.set()
            if live not in leaving:
                await self._resume(live)
        self._unready -= ids
        for live in leaving:
            self._unready.add(live.id)
            live.may_be_elsewhere = True
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
            self._context.spawn(self._follow(live, run), live.id)
        elif row.status in has_run and not row.rounds and self._context.is_elsewhere(row.node):
            self._context.spawn(self._follow_elsewhere(live), live.id)
        elif row.rounds or (row.status in has_run and row.place != deps.runner.place):
            lost = settled(live, _LOST, self._context.now())
            self._context.spawn(self._settle(live, lost), live.id)
        else:
            await self._wait_again(live)

    async def _wait_again(self, live: LiveExecution) -> None:
        """Have one that was never started wait, before all others, unless it is not wanted."""
        if live.row.cancel_requested_at is not None:
            self._cancel_waiting(live)
        elif live.row.status is ExecutionStatus.RUNNING:
            self._context.state.slots.demote(live.id)
            live.becomes(status=ExecutionStatus.QUEUED, started_at=None)
            await self._note(live)

    async def _follow_elsewhere(self, live: LiveExecution) -> None:
        """Ask the node where it was started. Meanwhile it holds what it held."""
        node, launch = live.row.node or "", await self.launch(live.row.intent)
        run = live.run = FollowedRun(self._context, node, live.row, launch)
        if await run.never_ran():
            live.run = None
            await self._wait_again(live)
            self.start_waiting()
        else:
            await self._follow(live, run)

    async def _note(self, live: LiveExecution) -> None:
        """Have lists show it as it stands. Where that is lost, the next activation finds it so."""
        try:
            await self._context.ledger.update(live.row)
        except StoreError as error:
            self._context.trouble(error)

    # -- what waits ------------------------------------------------------------------------------

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
        if self.tool_rounds.return_slots(report.capacity):
            report = self._context.report()
        unready = self._unready | self._see_off(report)
        while (execution_id := state.slots.next(report.capacity, unready)) is not None:
            live = self._live[execution_id]
            if self._refusal(live, report) is not None:
                unready.add(execution_id)
                continue
            self._promote(live)
            self._context.spawn(self._run(live, waited=True), live.id)
            report = self._context.report()  # what this one holds, the next one cannot have (G6)

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
            live = self._live[execution_id]
            is_offered_last = execution_id in self._unready or self._handoff.may_be_offered(live)
            if _is_out_of_patience(live, now) and not is_offered_last:
                self._give_up_waiting(live, _waited(live))
        cannot_start = set()
        for execution_id in tuple(state.slots.ready(self._unready)):
            live = self._live[execution_id]
            refused = self._refusal(live, report)
            if refused is not None:
                cannot_start.add(execution_id)
            is_last = _is_out_of_patience(live, now)
            if (why := self._handoff.reason(live, refused, report, is_last=is_last)) is not None:
                self._unready.add(execution_id)
                self._context.spawn(self._handoff.hand_off(live, why), live.id)
        return cannot_start

    def _refusal(self, live: LiveExecution, report: Report) -> Refusal | None:
        """Why something that waits cannot start here now, slots and sessions apart."""
        ask = ask_to_start(self._context.state, live.row.intent)
        return refusal_to_start(report, ask, self._context.deps.policy.limits)

    def waits_again(self, live: LiveExecution) -> None:
        """It was not handed on, and waits where it was."""
        self._unready.discard(live.id)
        if live.row.cancel_requested_at is not None:
            self._cancel_waiting(live)

    # -- a run -----------------------------------------------------------------------------------

    async def _run(self, live: LiveExecution, *, waited: bool = False) -> None:
        try:
            if waited:
                await self._context.ledger.update(live.row)
                self._context.recorder.started(live.row)
            here = await self._with_session(live, waited=waited)
            if isinstance(here, Failed):
                await self._settle(live, here)
                return
            if isinstance(here, Elsewhere):
                live.becomes(started_at=None)
                await self._settle(live, here.as_failure(), follows=True)
                return
            live.row = here.model_copy(update={"cancel_requested_at": live.row.cancel_requested_at})
            launch = await self._at_its_place(live.row.intent)
            environment = self._environment(live.row.intent)
            run = None
            if await self._is_wanted(live):
                run = await self._context.deps.runner.start(launch, environment)
        except StoreError as error:
            self._context.trouble(error)
            await self._settle(live, Failed(kind=FailureKind.NOT_STARTED, message=str(error)))
        except ConfigError as error:
            await self._settle(live, Failed(kind=FailureKind.AUTHENTICATION, message=str(error)))
        except InvalidRequest as error:
            await self._settle(live, Failed(kind=FailureKind.INVALID_REQUEST, message=str(error)))
        else:
            if run is not None:
                await self._follow(live, run)
            else:
                live.becomes(started_at=None)
                await self._settle(live, _CANCELLED)

    async def _with_session(
        self, live: LiveExecution, *, waited: bool
    ) -> ExecutionRow | Failed | Elsewhere:
        """The execution once its session is here (``fetched``); where it goes on from results, made
        of the one that they were called for in.
        """
        here = await fetched(self._context, live.row, waited=waited)
        intent, runner = live.row.intent, self._context.deps.runner
        if intent.continues is None or intent.forks is None or not isinstance(here, ExecutionRow):
            return here
        await runner.quiet(intent.forks)
        wanted = (intent.forks, await self.launch(intent), intent.continues)
        try:
            await asyncio.to_thread(runner.continue_session, self._environment(intent), *wanted)
        except CopyRefused as error:
            return Failed(kind=FailureKind.SESSION_NOT_FOUND, message=str(error))
        return here

    async def _is_wanted(self, live: LiveExecution) -> bool:
        """Whether nobody has cancelled it, here or where it was before. Its caller may have hung up
        as it was on its way here, when only an earlier subscription could learn of it.
        """
        ids, row = live.row.intent.earlier_owners, live.row
        if row.cancel_requested_at is None and ids:
            asked = await asyncio.gather(*(self._was_cancelled_at(each, live.id) for each in ids))
            if any(asked):
                live.becomes(cancel_requested_at=self._context.now())
        return live.row.cancel_requested_at is None

    async def _was_cancelled_at(self, subscription_id: str, execution_id: str) -> bool:
        """Whether an earlier subscription knows that it was cancelled. One that is away does not
        say.
        """
        try:
            async with asyncio.timeout(WANTED_SECONDS):
                earlier = self._context.deps.actors.subscription(subscription_id)
                return await earlier.was_cancelled(execution_id)
        except (PoolError, TimeoutError) as error:
            fields = {"subscription_id": subscription_id, "execution_id": execution_id}
            problem = {**fields, "problem": str(error)}
            log.warning("earlier subscription did not answer", extra=problem)
            return False

    async def _follow(self, live: LiveExecution, run: Run) -> None:
        live.run = run
        live.is_found.set()
        live.becomes(process=run.way)
        if live.row.cancel_requested_at is not None:
            await run.stop()
        try:
            outcome = await self.tool_rounds.outcome(live, run)
        except Exception:  # a defect must not keep the slot, nor claim to know what was spent
            ids = {"subscription_id": self._context.state.spec.id, "execution_id": live.id}
            log.exception("run could not be read", extra=ids)
            message = "the run could not be read; what it spent is not known"
            outcome = Failed(kind=FailureKind.EXECUTION_ERROR, message=message, evidence=False)
        if self._context.state.retired:
            outcome = _of_a_removed_one(outcome)
        await self._settle(live, outcome)
        is_watched = live.is_followed or live.row.intent.request.stream
        self.aftermath.begin(live.row.intent, run, is_watched=is_watched)
        if self._context.takes_no_more:
            await self._context.deps.runner.let_go()

    async def _at_its_place(self, intent: Intent) -> Launch:
        """The launch with the real places of its directories; ``InvalidRequest`` for others."""
        launch, roots = await self.launch(intent), self._context.deps.roots
        if launch.agent.working_directory is None and not launch.agent.add_directories:
            return launch
        agent = await asyncio.to_thread(resolved, launch.agent, intent.grant, roots)
        return launch.model_copy(update={"agent": agent})

    def _environment(self, intent: Intent) -> Mapping[str, str]:
        """The variables of a run. The CLI reads the trace it belongs to, where it is to trace."""
        environment = self._context.deps.environment(self._context.state.spec)
        trace = {} if intent.trace is None else {"TRACEPARENT": intent.trace}
        return {**environment, **trace}

    async def launch(self, intent: Intent) -> Launch:
        request, budget = intent.request, intent.budget_usd
        goes_on, continues = intent.resumes or intent.forks is not None, bool(intent.continues)
        total = None
        if goes_on and not continues:
            total = await self._total(intent.forks or intent.session_id)
        # A session keeps the system prompt that it began with, unless the request brings another.
        keeps = goes_on and not (intent.continues is not None and intent.continues.begins)
        default = None if keeps or request.tools else self._context.deps.system_prompt
        return Launch(
            run_id=intent.execution_id,
            prompt=request.prompt,
            messages=request.messages[-1:] if goes_on else request.messages,
            session_id=intent.session_id,
            resumes=intent.resumes or continues,
            forks=None if continues else intent.forks,
            model=intent.model,
            timeout_seconds=intent.timeout_seconds,
            system_prompt=request.system_prompt or default,
            max_turns=request.max_turns,
            max_budget_usd=None if budget is None else format(budget, "f"),
            json_schema=request.json_schema,
            images=request.images,
            model_settings=request.model_settings,
            stops_at_max_tokens=request.stops_at_max_tokens,
            tools=request.tools,
            agent=request.agent,
            owner=intent.process_owner,
            client_tools=request.client_tools,
            tool_choice=ToolChoice() if intent.continues else request.tool_choice,
            continues=continues,
            session_total_nano_usd=intent.session_total_nano_usd or total,
            rates=self._context.state.rates,
        )

    async def _total(self, session_id: str) -> int | None:
        known = await self._context.ledger.session(session_id)
        return known.total_nano_usd if known else None

    # -- its end ---------------------------------------------------------------------------------

    async def _settle(
        self, live: LiveExecution, outcome: Outcome, *, follows: bool = False
    ) -> None:
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
        self.start_waiting()

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

    async def end(self, live: LiveExecution, make: Callable[[], Settlement]) -> None:
        """End an execution whose run, if it had one, was settled before."""
        if await self._keep(live, make):
            self._ended(live)
        self.start_waiting()

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
        self._end(live)
        return None

    def _ended(self, live: LiveExecution) -> None:
        self._end(live)
        self._context.recorder.ended(live.row)
        log.info(
            "execution ended",
            extra={
                "subscription_id": self._context.state.spec.id,
                "execution_id": live.id,
                "status": live.row.status.value,
            },
        )

    def _end(self, live: LiveExecution) -> None:
        self._unready.discard(live.id)
        self._live.pop(live.id, None)
        self._context.state.idle_since = self._context.now()
        live.ended.set()
        live.is_found.set()
        live.turned.tell()
        self._context.changed()


def _of_a_removed_one(outcome: Outcome) -> Outcome:
    """What a run ended as that was interrupted for its subscription's sake."""
    if isinstance(outcome, Failed) and outcome.kind is FailureKind.INTERRUPTED:
        return outcome.model_copy(update={"message": f"interrupted: {_REMOVED}"})
    return outcome


def _hold_of(row: ExecutionRow) -> Hold:
    intent = row.intent
    return Hold(intent.session_id, intent.reserved_nano_usd, intent.caller, intent.forks)


def _is_out_of_patience(live: LiveExecution, now: datetime) -> bool:
    patience = timedelta(seconds=live.row.intent.queue_timeout_seconds)
    return now - (live.waits_since or now) >= patience


def _waited(live: LiveExecution) -> Failed:
    seconds = live.row.intent.queue_timeout_seconds
    return Failed(
        kind=FailureKind.QUEUE_TIMEOUT,
        message=f"no slot became free within {seconds:g} s, and nobody else could take it",
    )

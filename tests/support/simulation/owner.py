"""The owner of a simulated subscription: what ``actors.subscription.subscription``,
``live_executions`` and ``handoff`` do, without a store and processes, by the same rules: it
admits, queues, runs, settles and hands on. It looks at what waits thirty times less often than
the actors do, so waits come out longer, never shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from pool.executions.intent import Intent
from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.executions.row import ExecutionRow, attempts
from pool.executions.status import ExecutionStatus
from pool.money import usd
from pool.subscriptions.admission import (
    Ask,
    Refusal,
    RefusalCause,
    Run,
    Wait,
    admit,
    refusal,
    refusal_to_start,
)
from pool.subscriptions.consequences.failover import goes_elsewhere
from pool.subscriptions.consequences.settlement import given_up, moved, settlement
from pool.subscriptions.consequences.standing import active_cooldown, still_signed_out
from pool.subscriptions.report import Report
from pool.subscriptions.reporting import SubscriptionPolicy, report
from pool.subscriptions.slots import Hold
from pool.subscriptions.spec import SubscriptionSpec
from pool.subscriptions.state import State, ask_of, ask_to_start, held_while_running, reservation
from pool.usage.blocks import block_at
from pool.usage.expected_cost import floor
from pool.usage.records import ModelUsage, RunSize, Usage
from tests.support.simulation.clock import Clock, Steps
from tests.support.simulation.traffic import OPUS, Request, SimulatedSubscription
from tests.support.simulation.witness import witness_of

if TYPE_CHECKING:
    from tests.support.simulation.router import Router

TEND_SECONDS = 15.0
ASK_AGAIN = timedelta(seconds=3)
SETTLES_IN = timedelta(seconds=2)
REDRAWN_AFTER = timedelta(minutes=10)
"""Of a report that nothing but time has changed: only its burn rate fades meanwhile."""
RECHECKED_BEFORE = timedelta(seconds=10)


@dataclass
class Live:
    """An execution at its owner."""

    row: ExecutionRow
    request: Request
    asked_at: datetime | None = None
    is_leaving: bool = False

    @property
    def id(self) -> str:
        return self.row.intent.execution_id


@dataclass(frozen=True)
class Answer:
    """To a request for admission: a refusal, or none."""

    refusal: Refusal | None
    report: Report


class Owner:
    """One subscription's owner."""

    def __init__(
        self, subscription: SimulatedSubscription, policy: SubscriptionPolicy, clock: Clock
    ) -> None:
        plan = subscription.account.plan
        self.subscription, self.account, self.policy, self.clock = (
            subscription,
            subscription.account,
            policy,
            clock,
        )
        spec = SubscriptionSpec(
            id=subscription.id,
            kind=plan.name,
            weekly_budget_usd=Decimal(str(plan.week_usd)),
            expected_block_usd=Decimal(str(plan.five_hour_usd)),
            max_concurrent=plan.slots,
            weight=plan.weight,
            tier=subscription.tier,
        )
        self.state = State(spec=spec)
        self.witness = witness_of(
            subscription.id, plan.week_usd, plan.slots, spec.max_queued, policy.limits
        )
        self._live: dict[str, Live] = {}
        self._is_tended = False
        self._drawn = self.report()
        self.router: Router

    # -- reports ---------------------------------------------------------------------------------

    def report(self) -> Report:
        return report(self.state, self.policy, self.clock.now)

    def report_at(self, at: datetime) -> Report:
        """The report of an instant since the last change; drawn anew where time changed it."""
        drawn = self._drawn
        if drawn.version != self.state.version or self._is_past(drawn, at):
            self._drawn = report(self.state, self.policy, at)
            return self._drawn
        return drawn.model_copy(update={"observed_at": at})

    def _is_past(self, drawn: Report, at: datetime) -> bool:
        made, max_age = drawn.observed_at, timedelta(hours=6)
        edges = [block_at(made).ends_at, drawn.state_until]
        edges += [made + REDRAWN_AFTER] if drawn.burn_rate_usd_per_hour else []
        for window in drawn.windows.values():
            edges += [window.resets_at, window.observed_at + max_age]
        return any(edge is not None and made < edge <= at for edge in edges)

    def _changed(self) -> None:
        self.state.version += 1
        self.router.will_hear_of(self)

    # -- admission -------------------------------------------------------------------------------

    def start(self, intent: Intent, request: Request, *, may_wait: bool) -> Answer:
        """Admission and reservation in one step, as the real owner does it."""
        ask = ask_of(self.state, intent, may_wait=may_wait)
        match admit(self.report(), ask, self.policy.limits):
            case Refusal() as refused:
                return Answer(refused, self.report())
            case Run():
                self._run(self._hold(intent, request, ExecutionStatus.RUNNING))
            case Wait(reserves=reserves):
                self._hold(intent, request, ExecutionStatus.QUEUED, reserves=reserves)
                self._start_waiting()
                self._tend()
        return Answer(None, self.report())

    def _hold(
        self, intent: Intent, request: Request, status: ExecutionStatus, *, reserves: bool = True
    ) -> Live:
        reserved = reservation(self.state, intent) if reserves else 0
        intent = intent.model_copy(update={"reserved_nano_usd": reserved})
        hold = Hold(intent.session_id, reserved, intent.caller)
        self.state.requested(intent)
        slots = self.state.slots
        (slots.take if status is ExecutionStatus.RUNNING else slots.enqueue)(
            intent.execution_id, hold
        )
        live = Live(ExecutionRow(intent=intent, status=status), request)
        self._live[live.id] = live
        self.witness.admitted(live.id, reserved, self.clock.now)
        self._changed()
        return live

    # -- what waits ------------------------------------------------------------------------------

    def _tend(self) -> None:
        if not self._is_tended:
            self._is_tended = True
            self.clock.after(TEND_SECONDS, self._tended)

    def _tended(self) -> None:
        self._is_tended = False
        if self.state.slots.waiting:
            self._start_waiting()
            self._tend()

    def _start_waiting(self) -> None:
        state = self.state
        if not state.slots.waiting:
            return
        made = self.report()
        unready = {live.id for live in self._live.values() if live.is_leaving}
        unready |= self._see_off(made, unready)
        while (id_ := state.slots.next(made.capacity, unready)) is not None:
            live = self._live[id_]
            if self._refusal(live, made) is not None:
                unready.add(id_)
                continue
            self._promote(live)
            self._run(live)
            made = self.report()

    def _promote(self, live: Live) -> None:
        intent, slots = live.row.intent, self.state.slots
        reserved = held_while_running(self.state, intent)
        slots.reserve(live.id, reserved)
        slots.promote(live.id)
        intent = intent.model_copy(update={"reserved_nano_usd": reserved})
        live.row = live.row.model_copy(update={"intent": intent})
        self.witness.reserves(live.id, reserved, self.clock.now)
        self._changed()

    def _refusal(self, live: Live, made: Report) -> Refusal | None:
        ask = ask_to_start(self.state, live.row.intent)
        return refusal_to_start(made, ask, self.policy.limits)

    def _see_off(self, made: Report, leaving: set[str]) -> set[str]:
        unready = set(leaving)
        for id_ in tuple(self.state.slots.ready(leaving)):
            live = self._live[id_]
            intent = live.row.intent
            refused = self._refusal(live, made)
            if refused is not None:
                unready.add(id_)
            waited = self.clock.now - intent.created_at
            if waited >= timedelta(seconds=intent.queue_timeout_seconds):
                self._end(live, Failed(kind=FailureKind.QUEUE_TIMEOUT, message="waited"))
            elif (why := self._reason(live, refused, made)) is not None:
                unready.add(id_)
                live.is_leaving, live.asked_at = True, self.clock.now
                self.clock.begin(self._leave(live, why))
        return unready

    def _reason(self, live: Live, refused: Refusal | None, made: Report) -> Refusal | None:
        intent, now = live.row.intent, self.clock.now
        if live.asked_at is not None and now - live.asked_at < ASK_AGAIN:
            return None
        is_full, waits = made.running >= made.capacity, now - intent.created_at >= SETTLES_IN
        if refused is None and is_full and waits and not intent.resumes:
            return Refusal(cause=RefusalCause.BUSY, detail="it waits there for a slot")
        return refused

    # -- a run -----------------------------------------------------------------------------------

    def _run(self, live: Live) -> None:
        now, intent = self.clock.now, live.row.intent
        status = ExecutionStatus.RUNNING
        live.row = live.row.model_copy(update={"started_at": now, "status": status})
        goes_on = intent.resumes and intent.session_from is None
        self.witness.started(live.id, intent.model, self.state.standing, goes_on=goes_on, now=now)
        self.router.book.started(live.id, self, live.request, now)
        seconds, failure, rejected = self._truth(live.request, now)
        self.clock.after(seconds, lambda: self._settle(live, failure, rejected))

    def _truth(
        self, request: Request, now: datetime
    ) -> tuple[float, FailureKind | None, str | None]:
        """How long it takes, and how it fails, if it does."""
        account, opus = self.account, request.model == OPUS
        if account.is_signed_out(now):
            return 0.8, FailureKind.AUTHENTICATION, None
        if account.is_out(now):
            return 3.0, FailureKind.OVERLOADED, None
        rejected = account.exceeded(request.cost_nano_usd, opus=opus, now=now)
        if rejected is not None:
            return 1.0, FailureKind.USAGE_LIMIT, rejected
        account.charge(request.cost_nano_usd, opus=opus, now=now)
        return request.seconds, None, None

    def _outcome(self, live: Live, failure: FailureKind | None, rejected: str | None) -> Outcome:
        request, speaks = live.request, self.account.has_windows
        speaks = speaks and failure in {None, FailureKind.USAGE_LIMIT}
        opus = request.model == OPUS
        event = self.account.event(self.clock.now, opus=opus, rejected=rejected)
        limits = (event,) if speaks else ()
        if failure is not None:
            return Failed(kind=failure, message=failure.value, limits=limits)
        cost = ModelUsage(output_tokens=1, cost_nano_usd=request.cost_nano_usd)
        return Completed(usage=Usage(models={request.model: cost}), limits=limits)

    def _settle(self, live: Live, failure: FailureKind | None, rejected: str | None) -> None:
        now, state, id_ = self.clock.now, self.state, self.state.spec.id
        outcome = self._outcome(live, failure, rejected)
        elsewhere = goes_elsewhere(live.row, outcome, state.standing, self.policy.max_attempts)
        end = settlement(id_, live.row, outcome, state.standing, now, goes_elsewhere=elsewhere)
        live.row = end.row
        state.settle(end)
        self.witness.left(live.id)
        self.witness.told(outcome, state.standing, now)
        self._recheck_login()
        self._changed()
        if elsewhere:
            self.clock.begin(self._leave(live, self._subscription_failed(live)))
        else:
            self._ended(live)
        self._start_waiting()

    def _recheck_login(self) -> None:
        cooldown = active_cooldown(self.state.standing, self.clock.now)
        if cooldown is not None and cooldown.cause is FailureKind.AUTHENTICATION:
            self.clock.at(cooldown.until - RECHECKED_BEFORE, self._rechecked)

    def _rechecked(self) -> None:
        now, standing = self.clock.now, self.state.standing
        cooldown = active_cooldown(standing, now)
        if cooldown is None or cooldown.until - now > RECHECKED_BEFORE:
            return
        if self.account.is_signed_out(now):
            self.state.standing = still_signed_out(standing, now)
            self._changed()
            self._recheck_login()

    # -- its end ---------------------------------------------------------------------------------

    def _subscription_failed(self, live: Live) -> Refusal:
        failed = live.row.outcome
        detail = f"tried there: {failed.kind.value}" if isinstance(failed, Failed) else "tried"
        cooldown = active_cooldown(self.state.standing, self.clock.now)
        if cooldown is None:
            return Refusal(cause=RefusalCause.ATTEMPTED, detail=detail)
        signed_out = cooldown.cause is FailureKind.AUTHENTICATION
        cause = RefusalCause.NEEDS_LOGIN if signed_out else RefusalCause.COOLDOWN
        return Refusal(cause=cause, detail=detail, until=cooldown.until)

    def _leave(self, live: Live, why: Refusal) -> Steps:
        tried = attempts(self.state.spec.id, live.row)
        has_run = live.row.outcome is not None
        there = yield from self.router.hand_off(self, live.row.intent, live.request, tried, why)
        now = self.clock.now
        if there is not None:
            self.state.settle(moved(live.row, there, now))
            self._gone(live)
        elif has_run:
            outcome = live.row.outcome
            assert outcome is not None
            end = given_up(live.row, outcome, now)
            self.state.settle(end)
            live.row = end.row
            self._ended(live)
        else:
            live.is_leaving = False
        self._start_waiting()

    def _end(self, live: Live, failed: Failed) -> None:
        """It never ran."""
        end = given_up(live.row, failed, self.clock.now)
        self.state.settle(end)
        live.row = end.row
        self._ended(live)

    def _ended(self, live: Live) -> None:
        self._gone(live)
        self.router.ended(live.row, live.request, self)

    def _gone(self, live: Live) -> None:
        self.witness.left(live.id)
        self._live.pop(live.id)
        self._changed()

    # -- for the judgement of refusals -----------------------------------------------------------

    def could_take(self, request: Request, *, goes_on: bool, needs_slot: bool) -> bool:
        """Whether there is headroom for it, by everything this subscription was told."""
        standing = self.state.standing
        if needs_slot and not self.witness.has_free_slot(standing):
            return False
        return self.witness.has_headroom(
            *(request.model, standing, self._would_hold(request)),
            goes_on=goes_on,
            now=self.clock.now,
        )

    def _would_hold(self, request: Request) -> int:
        size = RunSize(model=request.model, input_tokens=1)
        return floor(self.state.costs.expected.values(), size).nano_usd

    def could_truly_take(self, request: Request) -> bool:
        """Whether it would have been answered here."""
        now, account = self.clock.now, self.account
        if account.is_out(now) or account.is_signed_out(now):
            return False
        opus = request.model == OPUS
        if account.exceeded(request.cost_nano_usd, opus=opus, now=now) is not None:
            return False
        return self.witness.has_place(self.state.standing)

    def why_not(self, request: Request) -> str:
        """The reason that this subscription gives for refusing such a request."""
        reserve = self._would_hold(request)
        ask = Ask(goes_on=False, reserve_usd=usd(reserve), model=request.model)
        refused = refusal(self.report(), ask, self.policy.limits)
        return refused.cause.value if refused else "none"

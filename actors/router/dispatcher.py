"""Bringing a request to a subscription that admits it.

An execution is claimed in the directory, and placed at the subscription that is asked, before that
is asked (``claims``); so a dispatch that is repeated ends at the same subscription, and one id
never runs twice (G3). A session goes to the subscription that holds it. If that cannot serve it,
the session is given another home first, and its transcript is fetched from the old one before
anything runs; so every later turn is sent after it, and its history never forks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from actors.aiokit import Keyed
from actors.interfaces.messages import (
    Dispatch,
    HandedOff,
    HandoffRequest,
    NotAdmitted,
    NotTaken,
    Started,
)
from actors.interfaces.protocols import SubscriptionActors
from actors.router.archive import Archive
from actors.router.choices import Choices
from actors.router.claims import Claims, SeenClaim, TakenMeanwhile
from actors.router.keys import Caller, KeyRegistry
from actors.router.placement import (
    Placement,
    nobody_takes,
    reason_of,
    session_id_of,
    source_of,
    target_of,
    tried,
    why_not_others,
)
from actors.router.presence.report_cache import ReportCache
from pool.errors import (
    ActorLost,
    Conflict,
    Exhausted,
    InvalidRequest,
    NotFound,
    PoolError,
    SessionGone,
    StoreError,
    UnknownModel,
)
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.request import ExecutionRequest, request_digest
from pool.executions.routing_record import Routing
from pool.money import nano_usd
from pool.routing.capacity import Capacity, capacity
from pool.routing.policy import RoutingPolicy
from pool.routing.ranking import Ranking, explained
from pool.storage.directory.claims import Claim, NewClaim
from pool.storage.directory.directory import Directory
from pool.subscriptions.admission import Refusal, RefusalCause
from pool.subscriptions.report import Report
from pool.usage.expected_cost import Floor
from pool.usage.records import RunSize
from pool.values import Value

HISTORY_SECONDS = 2.0
"""How long it is waited for that a subscription says how long a session is."""
MOST_SURPRISES = 10
"""How often somebody who seemed to have a free slot may turn out not to; then a request waits."""


class DispatchSettings(Value):
    """What dispatching takes from configuration."""

    policy: RoutingPolicy = RoutingPolicy()
    default_model: str
    models: tuple[str, ...] = ()
    """Patterns of those that may be named; empty for all that is offered."""
    timeout_seconds: float


class Dispatcher:
    """Ranks by what the watch remembers, and asks one subscription after the other."""

    def __init__(
        self,
        directory: Directory,
        actors: SubscriptionActors,
        reports: ReportCache,
        keys: KeyRegistry,
        archive: Archive,
        settings: DispatchSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self._claims = Claims(directory, actors, lambda: reports.followed)
        self._archive = archive
        self._actors = actors
        self._reports = reports
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._choices = Choices(
            *(reports, settings.policy, settings.default_model, settings.models), clock=clock
        )
        self._locks = Keyed(asyncio.Lock)

    async def dispatch(self, dispatch: Dispatch, caller: Caller) -> Execution:
        """Bring a request to a subscription that admits it.

        Answers with the execution as it was when admitted, or, where its id or key is known, as it
        is now. Raises ``Exhausted`` or ``Unavailable`` where nobody admits it, ``KeyReused`` for a
        key with another body, ``UnknownModel``, ``NotFound`` for a session or subscription,
        ``Conflict`` for a session at work, ``InvalidRequest``, and what the caller's key says no
        with (see ``KeyRegistry.admitted``); after any of these nothing runs and nothing was spent.
        """
        request = await self._checked(dispatch.request)
        dispatch = dispatch.model_copy(update={"request": request})
        digest = request_digest(request)
        with suppress(TakenMeanwhile):
            return await self._dispatched(dispatch, caller, digest)
        return await self._dispatched(dispatch, caller, digest)  # where the other router has it

    async def _dispatched(self, dispatch: Dispatch, caller: Caller, digest: str) -> Execution:
        """Dispatch what nobody else in this router dispatches meanwhile, by whatever name.

        Neither the claim nor the session's home is read a second time. What was claimed before and
        handed on since is found by ``Claims.settle_on``. The home is read under the session's lock,
        which other dispatches and handoffs that move it hold, too; and rebalancing leaves the
        transcript where it is until a later turn fetches it.
        """
        async with self._alone("key", dispatch.scoped_key or dispatch.execution_id):
            claim = await self._claims.known(dispatch, digest)
            if claim is not None and (ended := await self._archived(claim)) is not None:
                return ended
            self._check_wanted(dispatch.request, caller)
            id_ = dispatch.execution_id if claim is None else claim.execution_id
            session_id = session_id_of(dispatch.request, id_)
            async with self._alone("execution", id_), self._alone("session", session_id):
                order = Placement(
                    dispatch.model_copy(update={"execution_id": id_}),
                    session_id,
                    await self._claims.home(dispatch.request, caller.access),
                    key=caller.key,
                )
                wanted = NewClaim(
                    execution_id=id_,
                    key=dispatch.scoped_key,
                    digest=digest,
                    at=dispatch.created_at,
                    session_id=session_id,
                    tenant=order.session_tenant,
                )
                order = replace(order, wanted=wanted)
                self._check_home(order)
                await self._choices.hear(order)
                return await self._admitted(order, caller, claim)

    async def _admitted(self, order: Placement, caller: Caller, claim: Claim | None) -> Execution:
        """Place an order as its caller's key lets it run."""
        return await self._keys.admitted(
            order.dispatch,
            caller,
            lambda permit: self._place(order.under(permit), SeenClaim(claim)),
            lambda: self._least(order),
            runs_as=self._runs_as(order.request),
            home=order.home.subscription_id if order.home else None,
        )

    async def hand_off(self, handoff: HandoffRequest) -> HandedOff | NotTaken:
        """Find another subscription for an execution that its owner cannot serve.

        Asked again, it finds what it did before. Where nobody takes it, the directory says again
        that it is its owner's.
        """
        intent, owner = handoff.intent, handoff.subscription_id
        self._reports.remember(handoff.report)
        async with (
            self._alone("execution", intent.execution_id),
            self._alone("session", intent.session_id),
        ):
            claim = await self._claims.standing(intent.execution_id)
            if claim is None:  # forgotten, by a retention that is shorter than a run
                return NotTaken(reasons="it is not in the directory any more", retry_at=None)
            order = await self._handed_off(handoff)
            await self._choices.hear(order)
            while True:
                seen = SeenClaim(claim)
                try:
                    return await self._brought_on(order, seen, handoff)
                except (ActorLost, StoreError):
                    raise  # nobody has said no: it is asked again
                except PoolError as error:
                    claim = await self._claims.give_back(order, owner, seen.claim or claim)
                    if claim.subscription_id == owner:
                        return self._not_taken(order, error, claim)
                order = await self._handed_off(handoff)  # another router has gone on with it

    async def _brought_on(
        self, order: Placement, seen: SeenClaim, handoff: HandoffRequest
    ) -> HandedOff:
        """Bring an execution from its owner to another one, or to where an earlier try, or another
        router, has brought it: then its key pays for that attempt already.
        """
        if seen.claim is not None and seen.claim.subscription_id == handoff.subscription_id:
            spent = sum(nano_usd(each.cost_usd) for each in handoff.attempts)
            await self._keys.top_up(order.dispatch, spent, lambda: self._least(order))
        execution = await self._place(order, seen)
        return HandedOff(subscription_id=execution.subscription_id)

    def _not_taken(self, order: Placement, error: PoolError, claim: Claim) -> NotTaken:
        return NotTaken(
            reasons=str(error),
            retry_at=error.retry_at if isinstance(error, Exhausted) else None,
            others=why_not_others(order, self._choices.ranking(order, order.barred)),
            placement=claim.placement,
        )

    async def _handed_off(self, handoff: HandoffRequest) -> Placement:
        """What its owner hands on, as an order that its earlier owners do not get."""
        intent = handoff.intent
        dispatch = Dispatch(
            execution_id=intent.execution_id,
            request=intent.request,
            caller=intent.caller,
            tenant=intent.belongs_to,
            grant=intent.grant,
            created_at=intent.created_at,
            trace=intent.trace,
            continues=intent.continues,
        )
        owners = (*intent.earlier_owners, handoff.subscription_id)
        return Placement(
            dispatch,
            intent.session_id,
            await self._claims.home_of(intent.reads),
            barred={each: tried(each, handoff) for each in owners},
            attempts=handoff.attempts,
            owners=owners,
            may_wait=handoff.may_wait,
            history_tokens=intent.history_tokens,
            key=(await self._keys.caller(intent.caller)).key,
            handed_on=intent.placement,
        )

    async def route(
        self, request: ExecutionRequest, caller: Caller, *, all_candidates: bool = False
    ) -> Routing:
        """Where a request would go now, and why; nothing is claimed, reserved or run.

        Tells what an execution would keep of it; with ``all_candidates`` every subscription.
        Raises what ``dispatch`` would raise, but for want of the limits of the caller's key.
        """
        request = await self._checked(request)
        self._check_wanted(request, caller)
        home = await self._claims.home(request, caller.access)
        dispatch = Dispatch(execution_id="", request=request, created_at=self._clock())
        order = Placement(dispatch, request.session_id or "", home, key=caller.key)
        self._check_home(order)
        if caller.key is not None:
            self._keys.check(
                *(caller.key, request),
                runs_as=self._runs_as(request),
                home=home.subscription_id if home else None,
            )
        await self._choices.hear(order)
        choices = self._choices
        ranking = choices.whole(order) if all_candidates else choices.ranking(order, {})
        refused = {each.report.id: each.refusal for each in ranking.candidates if each.refusal}
        target = target_of(order, ranking, None, refused)
        return explained(ranking, target, reason_of(order, ranking, target))

    async def capacity(self, model: str | None, n: int, caller: Caller) -> Capacity:
        """How many of ``n`` further requests of a model would start now; nothing is reserved.

        ``UnknownModel`` for one that nobody has.
        """
        name = self._settings.default_model if model is None else await self._known(model)
        request = ExecutionRequest(prompt="-", model=name)
        now = self._clock()
        dispatch = Dispatch(execution_id="", request=request, created_at=now)
        order = Placement(dispatch, "", None, key=caller.key)
        await self._choices.hear(order)
        return capacity(self._choices.whole(order), name, n, now)

    # -- what is asked for -----------------------------------------------------------------------

    async def _checked(self, request: ExecutionRequest) -> ExecutionRequest:
        """The request with its model by the name that it has here."""
        for model in request.agent.models:
            if (name := await self._known(model)) != model:
                problem = f"no model {model!r} is known here by this name: write {name!r}"
                raise InvalidRequest("agent.sub_agents", problem)
        if request.model is None:
            return request
        return request.model_copy(update={"model": await self._known(request.model)})

    async def _known(self, model: str) -> str:
        """The name that a model has here; ``UnknownModel`` for one that nobody has."""
        name = self._choices.catalogue.find(model)
        if name is None:
            await self._reports.await_all()  # one that has sent no report yet may have it
            name = self._choices.catalogue.find(model)
        if name is None:
            raise UnknownModel(model, self._choices.catalogue.nearest(model))
        return name

    def _check_wanted(self, request: ExecutionRequest, caller: Caller) -> None:
        """``NotFound`` for a subscription that is not known. Of one that is closed to the caller
        nothing is told here: its key says no, whether it is known or not.
        """
        wanted = request.subscription_id
        if wanted is None or wanted in self._reports.followed:
            return
        if caller.key is None or caller.key.covers_subscription(wanted):
            raise NotFound("subscription", wanted)

    def _check_home(self, order: Placement) -> None:
        """Raise ``SessionGone`` where a session lived on a subscription that was removed."""
        home = order.home and order.home.subscription_id
        if home is not None and home not in self._reports.followed:
            problem = f"the subscription {home!r} that it lives on was removed"
            raise SessionGone(order.dispatch.execution_id, problem)

    def _runs_as(self, request: ExecutionRequest) -> frozenset[str]:
        """What its model stands for, where that is an alias."""
        return self._choices.catalogue.runs_as(request.model or self._settings.default_model)

    @asynccontextmanager
    async def _alone(self, kind: str, id_: str) -> AsyncIterator[None]:
        """One dispatch of a key, an execution or a session at a time: while one has been refused
        here and asks there, a second one must not be admitted here. In this order, where several
        are needed.
        """
        async with self._locks[f"{kind} {id_}"]:
            yield

    # -- where it goes ---------------------------------------------------------------------------

    async def _place(self, order: Placement, seen: SeenClaim) -> Execution:
        """Ask one subscription after the other; the one that was asked before comes first, and is
        left only once it has refused, by the very placement that stands.
        """
        claim = seen.claim
        known = await self._known_elsewhere(order, claim)
        if known is not None:
            return known
        refusals = dict(order.barred)
        surprises, refused_by, again = 0, None, None
        while True:
            asked = again or (self._asked_before(claim) if surprises == 0 else None)
            ranking = self._choices.ranking(order, refusals, asked=asked)
            target = _next(order, claim, ranking, asked, refusals)
            may_wait = surprises >= MOST_SURPRISES or not ranking.has_free_slot(target)
            if may_wait and not order.may_wait and target != asked:
                raise nobody_takes(order, ranking)
            with self._choices.sending_to(target):
                epoch, anew = self._epoch(target, refused_by), refused_by is not None
                settling = self._claims.settle_on(target, order, claim, epoch=epoch, anew=anew)
                order, claim = await settling
                seen.claim, refused_by = claim, None
                if claim is None or target != claim.subscription_id:  # another router decided
                    refusals, surprises = dict(order.barred), 0  # whom it has asked, comes first
                    again = None
                    continue
                order = await self._with_history(order, target)
                intent = self._intent(target, order, ranking, claim)
                owner = self._actors.subscription(target)
                answer = await owner.start(intent, may_wait=may_wait and order.may_wait)
                self._reports.remember(answer.report)
                refused_by = answer.report if isinstance(answer, NotAdmitted) else None
                again = target if _is_another_activation(answer, claim) else None
            match answer:
                case Started(execution=execution):
                    await self._claims.begun_as(order, execution.session_id, target)
                    return execution
                case NotAdmitted() if again is not None:
                    pass  # it is placed anew for that activation, there
                case NotAdmitted(refusal=Refusal(cause=RefusalCause.BUSY)):
                    surprises += 1  # its report says so now
                case NotAdmitted(refusal=Refusal(cause=RefusalCause.SESSION_BUSY, detail=detail)):
                    raise Conflict(detail)
                case NotAdmitted(refusal=refusal):
                    refusals[target] = refusal
                case never:
                    assert_never(never)

    def _epoch(self, target: str, refused_by: Report | None) -> int:
        """The activation of ``target`` that is to be asked: the one that has just refused, or the
        one of its latest report.
        """
        if refused_by is not None and refused_by.id == target:
            return refused_by.epoch
        known = self._reports.known_report(target)
        return 0 if known is None else known.epoch

    def _asked_before(self, claim: Claim | None) -> str | None:
        """Who was asked for an execution before, and is there still."""
        asked = None if claim is None else claim.subscription_id
        return asked if asked in self._reports.followed else None

    async def _archived(self, claim: Claim) -> Execution | None:
        """An execution of a subscription that was removed; None where it never began there."""
        asked = claim.subscription_id
        if asked is None or asked in self._reports.followed:
            return None
        try:
            return await self._archive.execution(asked, claim.execution_id)
        except NotFound:
            return None

    async def _known_elsewhere(self, order: Placement, claim: Claim | None) -> Execution | None:
        """An execution that was brought where its session lived then, and lives no more."""
        asked, home = None if claim is None else claim.subscription_id, order.home
        if asked is None or asked in order.barred or not order.resumes or home is None:
            return None
        if home.subscription_id == asked:
            return None
        try:
            return await self._actors.subscription(asked).result(order.dispatch.execution_id, 0)
        except NotFound as error:
            raise Conflict("its session was moved while it was on its way: send it anew") from error

    def _intent(self, chosen: str, order: Placement, ranking: Ranking, claim: Claim) -> Intent:
        request, settings = order.request, self._settings
        longest = settings.policy.settings.queue_timeout_seconds
        return Intent(
            execution_id=order.dispatch.execution_id,
            request=request,
            session_id=order.session_id,
            resumes=order.resumes,
            forks=order.forks,
            session_from=source_of(order, chosen),
            model=request.model or settings.default_model,
            timeout_seconds=request.timeout_seconds or settings.timeout_seconds,
            queue_timeout_seconds=request.queue_timeout_seconds or longest,
            reserved_nano_usd=0,
            routing=explained(ranking, chosen, reason_of(order, ranking, chosen)),
            created_at=order.dispatch.created_at,
            caller=order.dispatch.caller,
            tenant=order.dispatch.tenant,
            trace=order.dispatch.trace,
            continues=order.dispatch.continues,
            grant=order.dispatch.grant,
            earlier_attempts=order.attempts,
            earlier_owners=order.owners,
            history_tokens=order.history_tokens,
            placement=claim.placement,
            placed_for=claim.epoch,
        )

    async def _least(self, order: Placement) -> Floor:
        """The least that an order holds of its key: what runs like it cost, wherever it runs."""
        size = RunSize(
            model=order.request.model or self._settings.default_model,
            input_tokens=order.request.input_tokens + await self._history_tokens(order),
            uses_tools=order.request.uses_tools,
        )
        return self._choices.floor(size, self._runs_as(order.request))

    async def _with_history(self, order: Placement, target: str) -> Placement:
        """An order with the length of its history, where ``target`` has to fetch that first, and
        cannot know what comes.
        """
        if source_of(order, target) is None:
            return order
        return replace(order, history_tokens=await self._history_tokens(order))

    async def _history_tokens(self, order: Placement) -> int:
        """About how long the history is that an order goes on from, as whoever has its transcript
        says. One that cannot be asked does not give it away either.
        """
        if order.home is None or order.history_tokens:
            return order.history_tokens
        holder = self._actors.subscription(order.home.fetch_from or order.home.subscription_id)
        with suppress(PoolError, TimeoutError):
            async with asyncio.timeout(HISTORY_SECONDS):
                return await holder.history_tokens(order.forks or order.session_id)
        return 0


def _next(
    order: Placement,
    claim: Claim | None,
    ranking: Ranking,
    asked: str | None,
    refusals: Mapping[str, Refusal],
) -> str:
    """Whom to ask next; what was given back to its owner meanwhile goes nowhere else."""
    if claim is not None and order.is_given_back(claim):
        raise nobody_takes(order, ranking)
    return target_of(order, ranking, asked, refusals)


def _is_another_activation(answer: Started | NotAdmitted, claim: Claim) -> bool:
    """Whether it was refused by another activation than it was placed for, which refuses for that
    reason alone.
    """
    return isinstance(answer, NotAdmitted) and claim.epoch not in {0, answer.report.epoch}

"""The placer: it asks one subscription after the other until one takes an order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import assert_never

from actors.interfaces.messages import NotAdmitted, Started
from actors.interfaces.protocols import SubscriptionActors
from actors.router.dispatching.choices import Choices
from actors.router.dispatching.claims import Claims, SeenClaim
from actors.router.dispatching.placement import (
    Order,
    nobody_takes,
    reason_of,
    source_of,
    target_of,
)
from actors.router.dispatching.requests import Requests
from actors.router.dispatching.settings import DispatchSettings
from actors.router.presence.followers import Followers
from pool.errors import Conflict, NotFound, PoolError
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.routing.ranking import Ranking, explained
from pool.storage.directory.claims import Claim
from pool.subscriptions.admission import Refusal, RefusalCause
from pool.subscriptions.report import Report
from pool.usage.expected_cost import Floor
from pool.usage.records import RunSize

HISTORY_SECONDS = 2.0
"""How long it is waited for that a subscription says how long a session is."""
MOST_SURPRISES = 10
"""How often somebody who seemed to have a free slot may turn out not to; then a request waits."""


class Placer:
    """Goes by the ranking, and by what those say who are asked."""

    def __init__(
        self,
        actors: SubscriptionActors,
        followers: Followers,
        claims: Claims,
        choices: Choices,
        requests: Requests,
        settings: DispatchSettings,
    ) -> None:
        self._actors = actors
        self._followers = followers
        self._claims = claims
        self._choices = choices
        self._requests = requests
        self._settings = settings

    async def place(self, order: Order, seen: SeenClaim) -> Execution:
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
                self._followers.remember(answer.report)
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
        known = self._followers.known_report(target)
        return 0 if known is None else known.epoch

    def _asked_before(self, claim: Claim | None) -> str | None:
        """Who was asked for an execution before, and is there still."""
        asked = None if claim is None else claim.subscription_id
        return asked if asked in self._followers.followed else None

    async def _known_elsewhere(self, order: Order, claim: Claim | None) -> Execution | None:
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

    def _intent(self, chosen: str, order: Order, ranking: Ranking, claim: Claim) -> Intent:
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

    async def least(self, order: Order) -> Floor:
        """The least that an order holds of its key: what runs like it cost, wherever it runs."""
        size = RunSize(
            model=order.request.model or self._settings.default_model,
            input_tokens=order.request.input_tokens + await self._history_tokens(order),
            uses_tools=order.request.uses_tools,
        )
        return self._choices.floor(size, self._requests.runs_as(order.request))

    async def _with_history(self, order: Order, target: str) -> Order:
        """An order with the length of its history, where ``target`` has to fetch that first, and
        cannot know what comes.
        """
        if source_of(order, target) is None:
            return order
        return replace(order, history_tokens=await self._history_tokens(order))

    async def _history_tokens(self, order: Order) -> int:
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
    order: Order,
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

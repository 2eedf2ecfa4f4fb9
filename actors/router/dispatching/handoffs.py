"""Handoffs: executions that their subscription cannot serve, brought on to another one."""

from __future__ import annotations

from actors.interfaces.messages import Dispatch, HandedOff, HandoffRequest, NotTaken
from actors.router.dispatching.choices import Choices
from actors.router.dispatching.claims import Claims, SeenClaim
from actors.router.dispatching.locks import DispatchLocks
from actors.router.dispatching.placement import Placement, tried, why_not_others
from actors.router.dispatching.placer import Placer
from actors.router.keys import KeyRegistry
from actors.router.presence.report_cache import ReportCache
from pool.errors import ActorLost, Exhausted, PoolError, StoreError
from pool.money import nano_usd
from pool.storage.directory.claims import Claim


class Handoffs:
    """Finds another subscription for what is handed on."""

    def __init__(
        self,
        reports: ReportCache,
        keys: KeyRegistry,
        claims: Claims,
        choices: Choices,
        placer: Placer,
        locks: DispatchLocks,
    ) -> None:
        self._reports = reports
        self._keys = keys
        self._claims = claims
        self._choices = choices
        self._placer = placer
        self._locks = locks

    async def hand_off(self, handoff: HandoffRequest) -> HandedOff | NotTaken:
        """Find another subscription for an execution that its owner cannot serve.

        Asked again, it finds what it did before. Where nobody takes it, the directory says again
        that it is its owner's.
        """
        intent, owner = handoff.intent, handoff.subscription_id
        self._reports.remember(handoff.report)
        async with (
            self._locks.execution(intent.execution_id),
            self._locks.session(intent.session_id),
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
            await self._keys.top_up(order.dispatch, spent, lambda: self._placer.least(order))
        execution = await self._placer.place(order, seen)
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

"""Handoffs: executions that their subscription cannot serve, brought on to another one."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from actors.interfaces.messages import Dispatch, HandedOff, HandoffRequest, NotTaken
from actors.interfaces.protocols import SubscriptionActors
from actors.router.dispatching.choices import Choices
from actors.router.dispatching.claims import Claims, SeenClaim
from actors.router.dispatching.locks import DispatchLocks
from actors.router.dispatching.placement import Order, tried, why_not_others
from actors.router.dispatching.placer import Placer
from actors.router.keys.key_registry import KeyRegistry
from actors.router.presence.followers import Followers
from pool.errors import ActorLost, Exhausted, NotFound, PoolError, StoreError
from pool.executions.execution import Execution
from pool.money import nano_usd
from pool.storage.directory.claims import Claim

LOOK_SECONDS = 2.0
"""For those who may hand an execution on to say so."""


class Handoffs:
    """Finds another subscription for what is handed on."""

    def __init__(
        self,
        actors: SubscriptionActors,
        followers: Followers,
        keys: KeyRegistry,
        claims: Claims,
        choices: Choices,
        placer: Placer,
        locks: DispatchLocks,
    ) -> None:
        self._actors = actors
        self._followers = followers
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
        self._followers.remember(handoff.report)
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

    async def under_way(self, claim: Claim) -> Execution | None:
        """An execution that a subscription is about to hand on, as it is there, where the one that
        was to have it does not: the router that asked for that died before. Whoever hands it on
        asks again, with every attempt so far, which a dispatch that is repeated does not know. None
        where the other one has it, or nobody: then it is placed anew.
        """
        asked = claim.subscription_id
        if claim.placement <= 1 or asked is None or asked not in self._followers.followed:
            return None  # it was placed once, or nowhere that could be asked
        if await self._at(asked, claim.execution_id) is not None:
            return None
        others = self._followers.known - self._followers.resting - {asked}  # who sleeps has no work
        found = await asyncio.gather(*(self._soon_at(id_, claim.execution_id) for id_ in others))
        return next((each for each in found if each is not None), None)

    async def _soon_at(self, subscription_id: str, execution_id: str) -> Execution | None:
        """The same, where it answers soon: it may be the one that is lost."""
        with suppress(PoolError, TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                return await self._at(subscription_id, execution_id)
        return None

    async def _at(self, subscription_id: str, execution_id: str) -> Execution | None:
        """An execution as a subscription has it; None where it has not, or not any more."""
        try:
            found = await self._actors.subscription(subscription_id).result(execution_id, 0)
        except NotFound:
            return None
        return found if found.subscription_id == subscription_id else None

    async def _brought_on(
        self, order: Order, seen: SeenClaim, handoff: HandoffRequest
    ) -> HandedOff:
        """Bring an execution from its owner to another one, or to where an earlier try, or another
        router, has brought it: then its key pays for that attempt already.
        """
        if seen.claim is not None and seen.claim.subscription_id == handoff.subscription_id:
            spent = sum(nano_usd(each.cost_usd) for each in handoff.attempts)
            await self._keys.top_up(order.dispatch, spent, lambda: self._placer.least(order))
        execution = await self._placer.place(order, seen)
        return HandedOff(subscription_id=execution.subscription_id)

    def _not_taken(self, order: Order, error: PoolError, claim: Claim) -> NotTaken:
        return NotTaken(
            reasons=str(error),
            retry_at=error.retry_at if isinstance(error, Exhausted) else None,
            others=why_not_others(order, self._choices.ranking(order, order.barred)),
            placement=claim.placement,
        )

    async def _handed_off(self, handoff: HandoffRequest) -> Order:
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
        return Order(
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

"""Bringing a request to a subscription that admits it.

An execution is claimed in the directory, and placed at the subscription that is asked, before that
is asked (``claims``); so a dispatch that is repeated ends at the same subscription, and one id
never runs twice (G3). A session goes to the subscription that holds it. If that cannot serve it,
the session is given another home first, and its transcript is fetched from the old one before
anything runs; so every later turn is sent after it, and its history never forks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from operator import attrgetter

from actors.aiokit import forwarded
from actors.interfaces.messages import Dispatch
from actors.interfaces.protocols import SubscriptionActors
from actors.router.dispatching.choices import Choices
from actors.router.dispatching.claims import Claims, SeenClaim, TakenMeanwhile
from actors.router.dispatching.handoffs import Handoffs
from actors.router.dispatching.locks import DispatchLocks
from actors.router.dispatching.placement import Order, reason_of, session_id_of, target_of
from actors.router.dispatching.placer import Placer
from actors.router.dispatching.requests import Requests
from actors.router.dispatching.settings import DispatchSettings
from actors.router.keys.callers import Caller
from actors.router.keys.key_registry import KeyRegistry
from actors.router.ledgers.archive import Archive
from actors.router.ledgers.resting import RestingLedgers
from actors.router.presence.followers import Followers
from pool.errors import NotFound
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest, request_digest
from pool.executions.routing_record import Routing
from pool.keys.access import FULL_ACCESS
from pool.routing.capacity import Capacity, capacity
from pool.routing.ranking import explained
from pool.storage.directory.claims import Claim, NewClaim
from pool.storage.directory.directory import Directory


class Dispatcher:
    """Ranks by what the followers remember, and has one subscription after the other asked."""

    def __init__(
        self,
        directory: Directory,
        actors: SubscriptionActors,
        followers: Followers,
        keys: KeyRegistry,
        archive: Archive,
        resting: RestingLedgers,
        settings: DispatchSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self._claims = Claims(directory, actors, lambda: followers.followed)
        self._archive = archive
        self._resting = resting
        self._followers = followers
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._choices = Choices(
            *(followers, settings.policy, settings.default_model, settings.models), clock=clock
        )
        self._requests = Requests(followers, self._choices, settings.default_model)
        self._placer = Placer(
            *(actors, followers, self._claims, self._choices, self._requests), settings=settings
        )
        self._locks = DispatchLocks()
        self._handoffs = Handoffs(
            *(actors, followers, keys, self._claims, self._choices, self._placer), locks=self._locks
        )

    async def dispatch(self, dispatch: Dispatch, caller: Caller) -> Execution:
        """Bring a request to a subscription that admits it.

        Answers with the execution as it was when admitted, or, where its id or key is known, as it
        is now. Raises ``Exhausted`` or ``Unavailable`` where nobody admits it, ``KeyReused`` for a
        key with another body, ``UnknownModel``, ``NotFound`` for a session or subscription,
        ``Conflict`` for a session at work, ``InvalidRequest``, and what the caller's key says no
        with (see ``KeyRegistry.admitted``); after any of these nothing runs and nothing was spent.
        """
        request = await self._requests.checked(dispatch.request)
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
        async with self._locks.key(dispatch.scoped_key or dispatch.execution_id):
            claim = await self._claims.known(dispatch, digest)
            if claim is not None and (ended := await self._ended(claim)) is not None:
                return ended
            self._requests.check_wanted(dispatch.request, caller)
            if claim is not None and (found := await self._handoffs.under_way(claim)) is not None:
                return found
            id_ = dispatch.execution_id if claim is None else claim.execution_id
            session_id = session_id_of(dispatch.request, id_)
            async with self._locks.execution(id_), self._locks.session(session_id):
                order = Order(
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
                    conversation=dispatch.conversation,
                )
                order = replace(order, wanted=wanted)
                self._requests.check_home(order)
                await self._choices.hear(order)
                return await self._admitted(order, caller, claim)

    async def _admitted(self, order: Order, caller: Caller, claim: Claim | None) -> Execution:
        """Place an order as its caller's key lets it run."""
        return await self._keys.admitted(
            order.dispatch,
            caller,
            lambda permit: self._placer.place(order.under(permit), SeenClaim(claim)),
            lambda: self._placer.least(order),
            runs_as=self._requests.runs_as(order.request),
            home=order.home.subscription_id if order.home else None,
        )

    hand_off = forwarded(attrgetter("_handoffs"), Handoffs.hand_off)

    async def _ended(self, claim: Claim) -> Execution | None:
        """An execution that has ended where nobody can be asked for it: at a subscription that was
        removed, or that cannot come up. None for any other, and for one that never began there. A
        router that has just begun may not know yet what cannot come up: nobody waits for that with
        a key in hand, and whoever asks again is answered.
        """
        asked = claim.subscription_id
        if asked is None:
            return None
        if asked not in self._followers.followed:
            with suppress(NotFound):
                return await self._archive.execution(asked, claim.execution_id)
            return None
        if asked in self._followers.unusable:
            return await self._resting.ended(asked, claim.execution_id, FULL_ACCESS)
        return None

    async def route(
        self, request: ExecutionRequest, caller: Caller, *, all_candidates: bool = False
    ) -> Routing:
        """Where a request would go now, and why; nothing is claimed, reserved or run.

        Tells what an execution would keep of it; with ``all_candidates`` every subscription.
        Raises what ``dispatch`` would raise, but for want of the limits of the caller's key.
        """
        request = await self._requests.checked(request)
        self._requests.check_wanted(request, caller)
        home = await self._claims.home(request, caller.access)
        dispatch = Dispatch(execution_id="", request=request, created_at=self._clock())
        order = Order(dispatch, request.session_id or "", home, key=caller.key)
        self._requests.check_home(order)
        if caller.key is not None:
            self._keys.check(
                *(caller.key, request),
                runs_as=self._requests.runs_as(request),
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
        name = (
            self._settings.default_model
            if model is None
            else await self._requests.known_model(model)
        )
        request = ExecutionRequest(prompt="-", model=name)
        now = self._clock()
        dispatch = Dispatch(execution_id="", request=request, created_at=now)
        order = Order(dispatch, "", None, key=caller.key)
        await self._choices.hear(order)
        return capacity(self._choices.whole(order), name, n, now)

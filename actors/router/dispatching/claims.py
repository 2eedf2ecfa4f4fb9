"""Claims: what the directory keeps of an execution before its subscription is asked.

A new request takes its id and its idempotency key, what it holds of its caller's key, and its
place in one transaction: all of it stands, or nothing does, so a request that is refused for want
of anything leaves no trace. From then on its place changes only from where it stands; of two
routers that disagree one goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, replace

from actors.interfaces.messages import Dispatch
from actors.interfaces.protocols import SubscriptionActors
from actors.router.dispatching.placement import Order
from actors.router.session_access import is_open
from pool.errors import Conflict, InvalidRequest, KeyReused, NotFound
from pool.executions.request import ExecutionRequest
from pool.executions.session import SessionHome
from pool.keys.access import Access
from pool.storage.directory.claims import Claim
from pool.storage.directory.directory import Directory


class TakenMeanwhile(Conflict):
    """Another router has taken the idempotency key between two looks: it stands there by now."""


@dataclass
class SeenClaim:
    """The claim of an order while it is being placed, as it was seen last."""

    claim: Claim | None


class Claims:
    """The claims of executions, and the homes of the sessions that go with them."""

    def __init__(
        self, directory: Directory, actors: SubscriptionActors, known: Callable[[], Container[str]]
    ) -> None:
        self._directory = directory
        self._actors = actors
        self._known = known
        """The subscriptions that can be asked."""

    async def known(self, dispatch: Dispatch, digest: str) -> Claim | None:
        """The claim of a request that was dispatched before; ``KeyReused`` for another one under
        its key.
        """
        claim = await self._directory.locate(dispatch.execution_id, dispatch.scoped_key)
        if claim is not None:
            _check(claim, dispatch, digest)
        return claim

    async def standing(self, execution_id: str) -> Claim | None:
        """The claim of an execution, as it stands."""
        return await self._directory.locate(execution_id)

    async def home(self, request: ExecutionRequest, access: Access) -> SessionHome | None:
        """Where the session of a request lives, that it resumes or forks.

        ``NotFound`` for one that is not known, or not open to the caller; ``InvalidRequest`` for a
        resumed one that lives elsewhere than its caller says.
        """
        if request.session_id is None:
            return None
        home = await self._directory.session_home(request.session_id)
        if home is None or not await is_open(home, access, self._actors, self._known()):
            raise NotFound("session", request.session_id)
        wanted = request.subscription_id
        if wanted not in {None, home.subscription_id} and not request.fork_session:
            raise InvalidRequest(
                "subscription_id",
                f"the session lives on {home.subscription_id!r}: leave subscription_id out",
            )
        return home

    async def home_of(self, session_id: str | None) -> SessionHome | None:
        return None if session_id is None else await self._directory.session_home(session_id)

    async def settle_on(
        self, target: str, order: Order, claim: Claim | None, *, epoch: int, anew: bool
    ) -> tuple[Order, Claim | None]:
        """Note that ``target`` is asked, and that the session lives there; the order and the claim
        as they stand afterwards, which is elsewhere where another router has decided otherwise.
        ``epoch`` is the activation of ``target`` that is to be asked. ``anew``: the placement that
        stands was refused.

        Raises ``KeyReused``, ``TakenMeanwhile`` and, for the caller's key, ``KeyLimited``.
        """
        before = None if claim is None else claim.subscription_id
        if before != target:
            order = await self._session_moved(target, before, order)
            if order.resumes and order.home is not None and order.home.subscription_id != target:
                return order, claim
        if order.wanted is not None:
            claim = await self._directory.claim(order.wanted, target, epoch)
            _check(claim, order.dispatch, order.wanted.digest)
            if claim.execution_id != order.wanted.execution_id:
                raise TakenMeanwhile("its idempotency key was taken just now: send it once more")
            return replace(order, wanted=None), claim
        if before != target or anew:
            claim = await self._directory.place(
                *(order.dispatch.execution_id, target, order.session_id),
                instead_of=before,
                tenant=order.session_tenant,
                placement=None if claim is None else claim.placement,
                epoch=epoch,
            )
        return order, claim

    async def _session_moved(self, target: str, before: str | None, order: Order) -> Order:
        """Have the session live at ``target``, before the execution does: a move that nobody comes
        back to costs nothing, and a turn is never placed where its session is not.
        """
        if order.resumes and order.home is not None and order.home.subscription_id != target:
            home = await self._directory.move_session(
                order.session_id,
                instead_of=order.home.subscription_id,
                subscription_id=target,
                with_history=True,
            )
            if home is None:
                raise NotFound("session", order.session_id)
            return replace(order, home=home)
        if before is not None and not order.resumes:
            await self._directory.move_session(
                order.session_id, instead_of=before, subscription_id=target, with_history=False
            )
        return order

    async def begun_as(self, order: Order, session_id: str, owner: str) -> None:
        """Note under which id the session of an order was begun, where its owner had a process
        ahead that has one of its own. Whoever is told of the execution after a crash before this
        comes here again.
        """
        if order.home is None and session_id != order.session_id:
            await self._directory.name_session(order.session_id, session_id, owner)

    async def give_back(self, order: Order, owner: str, claim: Claim) -> Claim:
        """Let the directory say again that an execution is its owner's, under a number by which no
        other handoff that is still on its way goes on, and its session too, if it stands as it was
        seen last; how it stands afterwards. Elsewhere, another router has gone on with it.
        """
        if not order.is_given_back(claim):
            claim = await self._directory.place(
                claim.execution_id,
                owner,
                order.session_id,
                instead_of=claim.subscription_id,
                placement=claim.placement,
            )
            if claim.subscription_id != owner:
                return claim
        await self._session_given_back(order, owner)
        return claim

    async def _session_given_back(self, order: Order, owner: str) -> None:
        if order.resumes and order.home is not None and order.home.subscription_id != owner:
            return  # it went elsewhere before, by another turn
        home = await self._directory.session_home(order.session_id)
        if home is not None and home.subscription_id != owner:
            await self._directory.move_session(
                order.session_id,
                instead_of=home.subscription_id,
                subscription_id=owner,
                with_history=order.resumes,
            )


def _check(claim: Claim, dispatch: Dispatch, digest: str) -> None:
    if claim.digest != digest:
        raise KeyReused(dispatch.idempotency_key or dispatch.execution_id, claim.execution_id)

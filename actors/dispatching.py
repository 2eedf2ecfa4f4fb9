"""Bringing a request to a subscription that admits it.

An execution is claimed in the directory before anybody is asked, and noted at the subscription that
is asked before it is asked; so a dispatch that is repeated ends at the same subscription, and one
id never runs twice (G3).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import assert_never
from uuid import NAMESPACE_OID, uuid5
from weakref import WeakValueDictionary

from actors.peers import Peers
from actors.subscription import NotAdmitted, Started
from actors.watch import Watch
from pool.admission import Ask, Refusal
from pool.errors import (
    Exhausted,
    InvalidRequest,
    KeyReused,
    NotFound,
    PoolError,
    Unavailable,
)
from pool.execution import Execution, ExecutionRequest, Intent, request_digest
from pool.routing import Ranking, RoutingPolicy, explained, rank
from pool.store.protocol import Claim, Directory
from pool.value import Instant, Value


class Dispatch(Value):
    """A request on its way to a subscription."""

    execution_id: str
    request: ExecutionRequest
    caller: str = ""
    idempotency_key: str | None = None
    created_at: Instant

    @property
    def scoped_key(self) -> str | None:
        """The key as the directory knows it: two callers never share one."""
        key = self.idempotency_key
        return None if key is None else f"{self.caller}/{key}"


class DispatchSettings(Value):
    """What dispatching takes from configuration."""

    policy: RoutingPolicy = RoutingPolicy()
    default_model: str
    timeout_seconds: float


@dataclass(frozen=True)
class _Order:
    """What is the same whichever subscription runs it."""

    dispatch: Dispatch
    session_id: str
    home: str | None
    """Where its session lives; it can go on nowhere else."""

    @property
    def only(self) -> str | None:
        return self.home or self.dispatch.request.subscription_id


class Dispatcher:
    """Ranks by what the watch remembers, and asks one subscription after the other."""

    def __init__(
        self,
        directory: Directory,
        peers: Peers,
        watch: Watch,
        settings: DispatchSettings,
        knows_model: Callable[[str], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._directory = directory
        self._peers = peers
        self._watch = watch
        self._settings = settings
        self._knows_model = knows_model
        self._clock = clock
        self._sent: Counter[str] = Counter()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def dispatch(self, dispatch: Dispatch) -> Execution:
        """Bring a request to a subscription that admits it.

        Answers with the execution as it was when admitted, or, where its id or key is known, as it
        is now. Raises ``Exhausted`` or ``Unavailable`` where nobody admits it, ``KeyReused`` for a
        key with another body, ``NotFound`` for a session or subscription that is not known, and
        ``InvalidRequest``; after any of these nothing runs and nothing was spent.
        """
        self._check(dispatch.request)
        home = await self._home(dispatch.request)
        claim = await self._claim(dispatch)
        # A new session's id follows from the execution's: a repeated dispatch names the same one.
        new_session_id = str(uuid5(NAMESPACE_OID, claim.execution_id))
        session_id = dispatch.request.session_id or new_session_id
        order = _Order(
            dispatch.model_copy(update={"execution_id": claim.execution_id}), session_id, home
        )
        await self._watch.heard_of([order.only] if order.only else self._watch.followed)
        async with self._alone(claim.execution_id):
            return await self._place(order, await self._as_it_stands(claim))

    def _check(self, request: ExecutionRequest) -> None:
        if request.tools:
            raise InvalidRequest("tools", "no tools are granted to callers of this pool: leave out")
        if request.stream:
            raise InvalidRequest("stream", "is not offered: wait, or ask with background")
        if request.model is not None and not self._knows_model(request.model):
            raise InvalidRequest(
                "model", f"{request.model!r} is not among the models this pool serves"
            )
        wanted = request.subscription_id
        if wanted is not None and wanted not in self._watch.followed:
            raise NotFound("subscription", wanted)

    async def _home(self, request: ExecutionRequest) -> str | None:
        if request.session_id is None:
            return None
        home = await self._directory.session_home(request.session_id)
        if home is None:
            raise NotFound("session", request.session_id)
        if request.subscription_id not in {None, home}:
            raise InvalidRequest(
                "subscription_id", f"the session lives on {home!r}: leave subscription_id out"
            )
        return home

    async def _claim(self, dispatch: Dispatch) -> Claim:
        digest = request_digest(dispatch.request)
        claim = await self._directory.claim(
            execution_id=dispatch.execution_id,
            digest=digest,
            now=dispatch.created_at,
            key=dispatch.scoped_key,
        )
        if claim.digest != digest:
            raise KeyReused(dispatch.idempotency_key or dispatch.execution_id, claim.execution_id)
        return claim

    @asynccontextmanager
    async def _alone(self, execution_id: str) -> AsyncIterator[None]:
        """One dispatch of an execution at a time: while one has been refused here and asks there, a
        second one must not be admitted here.
        """
        lock = self._locks.setdefault(execution_id, asyncio.Lock())
        async with lock:
            yield

    async def _as_it_stands(self, claim: Claim) -> Claim:
        """The claim as whoever was here before has left it."""
        return await self._directory.locate(claim.execution_id) or claim

    async def _place(self, order: _Order, claim: Claim) -> Execution:
        """Ask one subscription after the other; the one that was asked before comes first."""
        refusals: dict[str, Refusal] = {}
        while True:
            ranking = self._rank(order, refusals)
            target = _target(order, ranking, claim, refusals)
            with self._sending_to(target):
                if target != claim.subscription_id:
                    claim = await self._directory.place(
                        claim.execution_id,
                        target,
                        order.session_id,
                        instead_of=claim.subscription_id,
                    )
                if target != claim.subscription_id:  # another router has asked somebody else
                    refusals.clear()
                    continue
                intent = self._intent(target, order, ranking)
                answer = await self._peers.subscription(target).start(intent)
                self._watch.remember(answer.report)
            match answer:
                case Started(execution=execution):
                    return execution
                case NotAdmitted(refusal=refusal):
                    refusals[target] = refusal
                case never:
                    assert_never(never)

    @contextmanager
    def _sending_to(self, subscription_id: str) -> Iterator[None]:
        """Count a request that is on its way, from the very step that chose its goal."""
        self._sent[subscription_id] += 1
        try:
            yield
        finally:
            self._sent[subscription_id] -= 1

    def _intent(self, chosen: str, order: _Order, ranking: Ranking) -> Intent:
        request = order.dispatch.request
        return Intent(
            execution_id=order.dispatch.execution_id,
            request=request,
            session_id=order.session_id,
            resumes=order.home is not None,
            model=request.model or self._settings.default_model,
            timeout_seconds=request.timeout_seconds or self._settings.timeout_seconds,
            reserved_nano_usd=0,
            routing=explained(ranking, chosen, _reason(order, ranking)),
            created_at=order.dispatch.created_at,
        )

    def _rank(self, order: _Order, refusals: dict[str, Refusal]) -> Ranking:
        budget = order.dispatch.request.max_budget_usd
        ask = Ask(goes_on=order.home is not None, reserve_usd=budget or Decimal(0))
        reports = [each for each in self._watch.reports if order.only in {None, each.id}]
        ranking = rank(reports, ask, self._settings.policy, self._clock(), self._sent)
        return ranking.refused(refusals)


def _target(order: _Order, ranking: Ranking, claim: Claim, refusals: Mapping[str, Refusal]) -> str:
    """Whom to ask: the one that was asked before, until it has refused; then the best."""
    asked = claim.subscription_id
    if asked is not None and asked not in refusals:
        return asked
    if not ranking.usable:
        raise _nobody(order, ranking)
    return ranking.usable[0].report.id


def _reason(order: _Order, ranking: Ranking) -> str:
    if order.home is not None:
        return f"its session lives on {order.home}"
    if order.dispatch.request.subscription_id is not None:
        return "the caller asked for it"
    usable = len(ranking.usable)
    return f"the best of {usable} that can take it" if usable > 1 else "the only one that can"


def _nobody(order: _Order, ranking: Ranking) -> PoolError:
    execution_id = order.dispatch.execution_id
    reasons = ranking.reasons or "no subscription is known: add one to pool.toml or over HTTP"
    if ranking.is_exhausted:
        return Exhausted(execution_id, reasons, ranking.retry_at)
    return Unavailable(execution_id, reasons)

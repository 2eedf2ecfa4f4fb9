"""The router: it ranks subscriptions by the reports it remembers, and asks the best for admission.

It holds nothing that cannot be had again: reports come from the owners, by one long poll each, and
who runs what stands in the directory. An execution is claimed there before anybody is asked, and
noted at the subscription that is asked before it is asked; so a dispatch that is repeated, here or
at another router, ends at the same subscription, and one id never runs twice (G3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import assert_never
from uuid import NAMESPACE_OID, uuid5

from actors.peers import Peers
from actors.subscription import NotAdmitted, Started, Subscription
from actors.watch import Watch
from pool.admission import Ask, Refusal
from pool.backup import Backup
from pool.errors import (
    Conflict,
    Exhausted,
    InvalidRequest,
    KeyReused,
    NotFound,
    PeerLost,
    PoolError,
    Unavailable,
)
from pool.execution import Execution, ExecutionRequest, Intent, request_digest
from pool.overview import Overview, overview
from pool.report import Report
from pool.routing import Ranking, RoutingPolicy, explained, rank
from pool.store.protocol import Claim, Directory, Registration
from pool.subscription import SubscriptionChange, SubscriptionSpec, changed
from pool.usage import UsageRecord
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


class RouterSettings(Value):
    """What a router takes from configuration."""

    policy: RoutingPolicy = RoutingPolicy()
    default_model: str
    timeout_seconds: float
    backups_dir: Path = Path("backups")


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


class Router:
    """Ranks and dispatches. Made by ``activate``."""

    def __init__(
        self,
        directory: Directory,
        peers: Peers,
        settings: RouterSettings,
        knows_model: Callable[[str], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._directory = directory
        self._peers = peers
        self._settings = settings
        self._knows_model = knows_model
        self._clock = clock
        self._registrations: dict[str, Registration] = {}
        self._watch = Watch(peers)
        self._sent: Counter[str] = Counter()

    @classmethod
    async def activate(
        cls,
        directory: Directory,
        peers: Peers,
        settings: RouterSettings,
        knows_model: Callable[[str], bool],
        clock: Callable[[], datetime],
    ) -> Router:
        """Read the registry, and see to it that everybody in it runs."""
        self = cls(directory, peers, settings, knows_model, clock)
        for registration in await directory.registrations():
            self._adopt(registration)
        return self

    # -- dispatch --------------------------------------------------------------------------------

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
        await self._watch.heard_of([order.only] if order.only else self._registrations)
        return await self._place(order, claim)

    async def locate(self, execution_id: str) -> str:
        """The subscription that has an execution."""
        claim = await self._directory.locate(execution_id)
        if claim is None or claim.subscription_id is None:
            raise NotFound("execution", execution_id)
        return claim.subscription_id

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
        if wanted is not None and wanted not in self._registrations:
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

    # -- what is known ---------------------------------------------------------------------------

    async def reports(self) -> tuple[Report, ...]:
        """The latest report of every subscription, by id."""
        await self._watch.heard_of_all()
        return self._watch.reports

    async def report(self, subscription_id: str) -> Report:
        """The latest report of one subscription."""
        self._known(subscription_id)
        report = await self._watch.report(subscription_id)
        if report is None:
            raise PeerLost(subscription_id, "it was never heard of: see its log")
        return report

    async def overview(self) -> Overview:
        unheard = await self._watch.heard_of_all()
        return overview(self._watch.reports, self._clock(), unheard)

    async def registrations(self) -> tuple[Registration, ...]:
        return tuple(self._registrations[id_] for id_ in sorted(self._registrations))

    # -- the registry ----------------------------------------------------------------------------

    async def declare(self, specs: Iterable[SubscriptionSpec]) -> None:
        """Make the registry agree with ``pool.toml``: what stands there wins, what was declared
        earlier and stands there no more goes. Subscriptions added while running stay.
        """
        declared = {spec.id: spec for spec in specs}
        for known in tuple(self._registrations.values()):
            if known.declared and known.spec.id not in declared:
                await self._forget(known.spec.id)
        for spec in declared.values():
            await self._register(spec, declared=True)

    async def add(self, spec: SubscriptionSpec) -> Report:
        """Add a subscription while the pool runs."""
        known = self._registrations.get(spec.id)
        if known is not None and known.spec != spec:
            raise Conflict(f"subscription {spec.id!r} exists: change it with PATCH")
        if known is None:
            await self._register(spec, declared=False)
        return await self.report(spec.id)

    async def change(self, subscription_id: str, change: SubscriptionChange) -> Report:
        """Change settings. Those of a declared subscription hold until the next start."""
        known = self._known(subscription_id)
        spec = changed(known.spec, change)
        await self._register(spec, declared=known.declared)
        return await self._ordered(subscription_id, lambda owner: owner.configure(spec))

    async def pause(self, subscription_id: str) -> Report:
        return await self._ordered(subscription_id, lambda owner: owner.pause())

    async def resume(self, subscription_id: str) -> Report:
        return await self._ordered(subscription_id, lambda owner: owner.resume())

    async def drain(self, subscription_id: str) -> Report:
        return await self._ordered(subscription_id, lambda owner: owner.drain())

    async def record(self, record: UsageRecord) -> bool:
        """Have usage from outside the pool counted. False where its id was counted before."""
        self._known(record.subscription_id)
        recorded = await self._peers.subscription(record.subscription_id).record(record)
        self._watch.remember(recorded.report)
        return recorded.added

    async def backup(self, name: str) -> Backup:
        """Copy every store into the folder ``name`` below the backups. Asked again, it goes on."""
        folder = self._settings.backups_dir / name
        directory = folder / "directory.sqlite"
        if not directory.exists():
            await self._directory.backup(directory)
        for subscription_id in self._registrations:
            file = folder / "subscriptions" / subscription_id / "ledger.sqlite"
            await self._peers.subscription(subscription_id).backup(file)
        return Backup(
            path=str(folder),
            subscriptions=tuple(sorted(self._registrations)),
            bytes=sum(file.stat().st_size for file in folder.rglob("*.sqlite")),
            taken_at=self._clock(),
        )

    async def suspend(self) -> None:
        """Have nobody start anything, until this activation ends: the service is stopping."""
        for subscription_id in self._registrations:
            await self._ordered(subscription_id, lambda owner: owner.suspend())

    async def interrupt(self) -> None:
        """Have everybody ask what runs to end."""
        for subscription_id in self._registrations:
            await self._ordered(subscription_id, lambda owner: owner.interrupt())

    async def remove(self, subscription_id: str) -> None:
        """Forget a subscription that has nothing left to do; its ledger stays on disk."""
        known = self._known(subscription_id)
        if known.declared:
            raise Conflict(f"subscription {subscription_id!r} stands in pool.toml: remove it there")
        report = await self.drain(subscription_id)
        if report.running or report.queued:
            raise Conflict(
                f"subscription {subscription_id!r} still runs {report.running} and holds "
                f"{report.queued} waiting executions; it drains now, remove it afterwards"
            )
        await self._forget(subscription_id)

    async def close(self) -> None:
        await self._watch.close()
        await self._directory.close()

    async def _ordered(
        self, subscription_id: str, order: Callable[[Subscription], Awaitable[Report]]
    ) -> Report:
        """Pass an order on, and know its effect at once: the next request is ranked by it."""
        self._known(subscription_id)
        report = await order(self._peers.subscription(subscription_id))
        self._watch.remember(report)
        return report

    def _known(self, subscription_id: str) -> Registration:
        registration = self._registrations.get(subscription_id)
        if registration is None:
            raise NotFound("subscription", subscription_id)
        return registration

    async def _register(self, spec: SubscriptionSpec, *, declared: bool) -> None:
        known = self._registrations.get(spec.id)
        created_at = known.created_at if known else self._clock()
        registration = Registration(spec=spec, declared=declared, created_at=created_at)
        if registration != known:
            await self._directory.register(registration)
        self._adopt(registration)

    def _adopt(self, registration: Registration) -> None:
        self._registrations[registration.spec.id] = registration
        self._watch.follow(registration.spec)

    async def _forget(self, subscription_id: str) -> None:
        await self._watch.unfollow(subscription_id)
        await self._peers.deactivate(subscription_id)
        await self._directory.unregister(subscription_id)
        self._registrations.pop(subscription_id, None)


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

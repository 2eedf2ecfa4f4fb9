"""The registry: which subscriptions there are, as they were declared or added, and the orders that
each of them is given.

It stands in the directory; here is what of it is in memory. An order is passed on to its
subscription's actor, and its effect is known at once: the next request is ranked by it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime

from actors.interfaces.messages import Retracted
from actors.interfaces.protocols import SubscriptionActors
from actors.interfaces.subscription_actor import SubscriptionActor
from actors.router.ledgers.archive import Archive
from actors.router.presence.followers import Followers
from actors.router.presence.newcomers import Newcomers
from actors.router.presence.sleepers import Sleepers
from actors.router.retirements import Retirements
from pool.errors import ActorLost, Conflict, InvalidRequest, NotFound, PoolError
from pool.storage.directory.claims import Registration
from pool.storage.directory.directory import Directory
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec, changed
from pool.usage.records import UsageRecord
from pool.usage.retraction import UsageToRetract

log = logging.getLogger(__name__)


class Registry:
    """The subscriptions that are registered."""

    def __init__(
        self,
        directory: Directory,
        actors: SubscriptionActors,
        followers: Followers,
        sleepers: Sleepers,
        newcomers: Newcomers,
        archive: Archive,
        clock: Callable[[], datetime],
    ) -> None:
        self._directory = directory
        self._actors = actors
        self._followers = followers
        self._sleepers = sleepers
        self._newcomers = newcomers
        self._archive = archive
        self._clock = clock
        self._registrations: dict[str, Registration] = {}
        self._retirements = Retirements(self._letting_go, self._forget)

    def __contains__(self, subscription_id: str) -> bool:
        return subscription_id in self._registrations

    async def recover(self) -> None:
        """Take up who was registered when this router began."""
        registrations = await self._directory.registrations()
        await self._newcomers.settle([each.spec for each in registrations])
        for registration in registrations:
            self._adopt(registration)

    async def close(self) -> None:
        await self._retirements.close()

    async def registrations(self) -> tuple[Registration, ...]:
        return tuple(self._registrations[id_] for id_ in sorted(self._registrations))

    async def subscription_ids(self) -> tuple[str, ...]:
        return tuple(sorted(self._registrations))

    async def subscription(self, subscription_id: str) -> Report:
        spec = self._known(subscription_id).spec
        if subscription_id in self._sleepers:
            return self._sleepers.report(spec)
        await self._followers.await_one({subscription_id})
        report = self._followers.known_report(subscription_id)
        if report is None:
            problem = self._followers.unusable.get(subscription_id)
            raise ActorLost(subscription_id, str(problem or "it has sent no report: see its log"))
        return report

    async def declare(self, specs: Iterable[SubscriptionSpec]) -> None:
        declared = {spec.id: spec for spec in specs}
        for subscription_id in declared:  # it was put back while it was let go
            await self._retirements.end(subscription_id)
        before = dict(self._registrations)
        await self._newcomers.settle([each for id_, each in declared.items() if id_ not in before])
        await asyncio.gather(*(self._register(each, declared=True) for each in declared.values()))
        known = (each.spec.id for each in before.values() if each.declared)
        await self._retirements.begin(id_ for id_ in known if id_ not in declared)
        changed = (id_ for id_ in before.keys() & declared if before[id_].spec != declared[id_])
        await asyncio.gather(*(self._told(declared[id_]) for id_ in changed))

    async def add(self, spec: SubscriptionSpec) -> Report:
        known = self._registrations.get(spec.id)
        if known is not None and known.spec != spec:
            raise Conflict(f"subscription {spec.id!r} exists: change it with PATCH")
        if known is None:
            nowhere = await self._newcomers.settle([spec])
            if (problem := nowhere.get(spec.id)) is not None:
                raise InvalidRequest(problem.field, problem.problem)
            await self._register(spec, declared=False)
            await self._followers.await_one({spec.id})
            if (problem := self._followers.unusable.get(spec.id)) is not None:
                await self._forget(spec.id)
                raise InvalidRequest(problem.field, problem.problem)
        return await self.subscription(spec.id)

    async def change(self, subscription_id: str, change: SubscriptionChange) -> Report:
        known = self._known(subscription_id)
        spec = changed(known.spec, change)
        await self._register(spec, declared=known.declared)
        await self._followers.wake(subscription_id)
        await self.subscription(subscription_id)
        # One that cannot come up is waited for: this may be what has it come up.
        report = await self._actors.subscription(subscription_id).configure(spec)
        self._followers.remember(report)
        return report

    async def pause(self, subscription_id: str) -> Report:
        return await self._ordered(subscription_id, lambda owner: owner.pause())

    async def resume(self, subscription_id: str) -> Report:
        return await self._ordered(subscription_id, lambda owner: owner.resume())

    async def drain(self, subscription_id: str) -> Report:
        return await self._ordered(subscription_id, lambda owner: owner.drain())

    async def record(self, record: UsageRecord) -> bool:
        recorded = await (await self._owner(record.subscription_id)).record(record)
        self._followers.remember(recorded.report)
        return recorded.added

    async def retract(self, subscription_id: str, wanted: UsageToRetract, by: str) -> Retracted:
        retracted = await (await self._owner(subscription_id)).retract(wanted, by)
        self._followers.remember(retracted.report)
        return retracted

    async def suspend(self) -> None:
        await self._followers.suspend()
        await self._everybody(lambda owner: owner.suspend())

    async def interrupt(self) -> None:
        await self._everybody(lambda owner: owner.interrupt())

    async def remove(self, subscription_id: str) -> None:
        known = self._known(subscription_id)
        if known.declared:
            raise Conflict(f"subscription {subscription_id!r} stands in pool.toml: remove it there")
        if subscription_id in self._followers.unusable:  # nothing of it runs, or could be drained
            await self._forget(subscription_id)
            return
        report = await self.drain(subscription_id)
        if report.running or report.queued:
            raise Conflict(
                f"subscription {subscription_id!r} still runs {report.running} and holds "
                f"{report.queued} waiting executions; it drains now, remove it afterwards"
            )
        await self._followers.unfollow(subscription_id)  # nobody is sent there any more
        with suppress(PoolError):  # put back, it takes work: the drain was for its removal
            await self._actors.subscription(subscription_id).resume()
        await self._forget(subscription_id)

    async def _everybody(self, order: Callable[[SubscriptionActor], Awaitable[Report]]) -> None:
        """Pass an order on to all who are there; who sleeps has nothing to do. One that does not
        answer stops no other.
        """
        there = sorted(self._followers.known - self._sleepers.ids)
        passed = (self._ordered(id_, order) for id_ in there)
        answers = await asyncio.gather(*passed, return_exceptions=True)
        for id_, answer in zip(there, answers, strict=True):
            if isinstance(answer, BaseException):
                log.warning("order lost", extra={"subscription_id": id_, "problem": str(answer)})

    async def _ordered(
        self, subscription_id: str, order: Callable[[SubscriptionActor], Awaitable[Report]]
    ) -> Report:
        """Pass an order on, and know its effect at once: the next request is ranked by it."""
        await self._followers.wake(subscription_id)
        report = await order(await self._owner(subscription_id))
        self._followers.remember(report)
        return report

    async def _owner(self, subscription_id: str) -> SubscriptionActor:
        """A subscription's actor, which comes up first if it has not yet. ``ActorLost`` at once for
        one that cannot come up, with the reason.
        """
        await self.subscription(subscription_id)
        problem = self._followers.unusable.get(subscription_id)
        if problem is not None:
            raise ActorLost(subscription_id, str(problem))
        return self._actors.subscription(subscription_id)

    async def _told(self, spec: SubscriptionSpec) -> None:
        """Have a subscription go by another specification. One that cannot be reached now has
        sent no report yet, or gets it before its next report counts; one that sleeps comes up with
        it.
        """
        if spec.id in self._followers.known - self._sleepers.ids:
            with suppress(PoolError):
                await self._ordered(spec.id, lambda owner: owner.configure(spec))

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
        self._followers.follow(registration.spec)

    async def _letting_go(self, subscription_id: str) -> int:
        """Have a subscription let go of what it has; how many executions it has still."""
        if subscription_id in self._sleepers:
            return 0
        return await (await self._owner(subscription_id)).retire()

    async def _forget(self, subscription_id: str) -> None:
        await self._followers.unfollow(subscription_id)
        await self._actors.deactivate(subscription_id)
        await self._directory.unregister(subscription_id)
        self._archive.joined(subscription_id)
        self._registrations.pop(subscription_id, None)

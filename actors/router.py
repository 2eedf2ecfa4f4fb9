"""The router: who there is, how they fare, and where a request goes.

It holds nothing that cannot be had again: reports come from the owners (``watch``), who runs what
stands in the directory (``dispatching``), and so does the registry, which is kept here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

from actors.dispatching import Dispatch, Dispatcher, DispatchSettings
from actors.life import RETENTION_PERIOD
from actors.peers import Peers
from actors.subscription import Subscription
from actors.watch import Watch
from pool.backup import Backup
from pool.errors import Conflict, NotFound, PeerLost, StoreError
from pool.execution import Execution
from pool.overview import Overview, overview
from pool.report import Report
from pool.store.protocol import Directory, Registration
from pool.subscription import SubscriptionChange, SubscriptionSpec, changed
from pool.usage import UsageRecord
from pool.value import Value


class RouterSettings(Value):
    """What a router takes from configuration."""

    dispatch: DispatchSettings
    backups_dir: Path = Path("backups")
    retention: timedelta = timedelta(days=35)


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
        self._clock = clock
        self._registrations: dict[str, Registration] = {}
        self._watch = Watch(peers)
        self._retaining: asyncio.Task[None] | None = None
        self._dispatcher = Dispatcher(
            directory, peers, self._watch, settings.dispatch, knows_model, clock
        )

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
        self._retaining = asyncio.create_task(self._retain())
        return self

    # -- executions ------------------------------------------------------------------------------

    async def dispatch(self, dispatch: Dispatch) -> Execution:
        """Bring a request to a subscription that admits it; see ``Dispatcher.dispatch``."""
        return await self._dispatcher.dispatch(dispatch)

    async def locate(self, execution_id: str) -> str:
        """The subscription that has an execution."""
        claim = await self._directory.locate(execution_id)
        if claim is None or claim.subscription_id is None:
            raise NotFound("execution", execution_id)
        return claim.subscription_id

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
        if self._retaining is not None:
            self._retaining.cancel()
            await asyncio.gather(self._retaining, return_exceptions=True)
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

    async def _retain(self) -> None:
        """Forget claims and homes of sessions that were not used for long; now and every hour."""
        while True:
            with contextlib.suppress(StoreError):
                await self._directory.expire(self._clock() - self._settings.retention)
            await asyncio.sleep(RETENTION_PERIOD.total_seconds())

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

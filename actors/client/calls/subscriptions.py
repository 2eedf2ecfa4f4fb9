"""Subscriptions, as a client adds, changes and stops them."""

from __future__ import annotations

from actors.aiokit import forwarded
from actors.client.calls.view import PoolView, for_subscription, router
from actors.interfaces.router_actor import RouterActor
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionSpec


class SubscriptionCalls(PoolView):
    """What a client does with subscriptions."""

    async def subscriptions(self) -> tuple[Report, ...]:
        """The latest report of every subscription, by id, from memory."""
        reports = await self._router().subscriptions()
        return tuple(self._seen(each) for each in reports if self._covers(each.id))

    async def shown_subscriptions(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> str:
        """The same as JSON, a ``Page[Report]``, so many at a time or all: a tenth of the work."""
        return await self._router().shown_subscriptions(self._access, limit=limit, cursor=cursor)

    heard_from = forwarded(router, RouterActor.heard_from)

    async def subscription(self, subscription_id: str) -> Report:
        """The latest report of one subscription."""
        return self._seen(await self._open_router(subscription_id).subscription(subscription_id))

    async def add(self, spec: SubscriptionSpec) -> Report:
        """Add a subscription while the pool runs. ``Conflict`` where the id is taken."""
        return await self._open_router(spec.id).add(spec)

    change = for_subscription(RouterActor.change)
    remove = for_subscription(RouterActor.remove)
    pause = for_subscription(RouterActor.pause)
    resume = for_subscription(RouterActor.resume)
    drain = for_subscription(RouterActor.drain)

    def _seen(self, report: Report) -> Report:
        """A report as whoever asks sees it: which session was the last is its tenant's business."""
        hidden = {} if self._access.tenant is None else {"session_id": None}
        return report.model_copy(update=hidden)

"""The pool's own records, as the reconciler reads and amends them: through their subscriptions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from actors.interfaces.protocols import Actors
from pool.admin_api.organizations import Account
from pool.alerts.alerts import Alert
from pool.errors import Conflict, NotFound
from pool.storage.paging import Page
from pool.usage.model_names import base_name, plainly_named
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, UsageRecord, UsageSource
from pool.values import Value

_AT_ONCE = 500
_PRICED_RECORDS = 200
"""How many of a subscription's newest records prices are learned from."""
MOST_RECORDS = 100_000
"""Read of one bucket of one subscription: a day of a busy one."""


class Recorded(Value):
    """What a subscription recorded in a bucket, adjustments apart."""

    models: dict[str, ModelUsage]
    """Under the names of the records."""
    adjustments: tuple[UsageRecord, ...] = ()

    def name_of(self, base: str) -> str:
        """The name under which a model stands in the records; the plain one where it does not."""
        names = (name for name in sorted(self.models) if base_name(name) == base)
        return next(names, base)


class Ledgers:
    """Reads and amends; repeats nothing that was done."""

    def __init__(self, actors: Actors) -> None:
        self._actors = actors

    async def raise_alert(self, alert: Alert) -> None:
        await self._actors.router().raise_alert(alert)

    async def account(self, subscription_id: str) -> Account | None:
        """A subscription; None where the pool has none of this id."""
        try:
            report = await self._actors.router().subscription(subscription_id)
        except NotFound:
            return None
        return Account(subscription_id=report.id, kind=report.kind, email=report.email)

    async def rates(self, accounts: Iterable[Account]) -> LearnedPrices:
        """Prices, by the plain names of models, that the accounts' own runs teach."""
        learned: list[UsageRecord] = []
        for account in accounts:
            page = await self._page(account.subscription_id, limit=_PRICED_RECORDS)
            learned.extend(
                record.model_copy(update={"usage": plainly_named(record.usage)})
                for record in page.items
            )
        return LearnedPrices.learned_from(learned)

    async def recorded(self, subscription_id: str, since: datetime, until: datetime) -> Recorded:
        """The sums of a subscription's records with ``since <= timestamp < until``.

        ``Conflict`` where there are more than are read: nothing is said of a part of them.
        """
        models: dict[str, ModelUsage] = {}
        adjusted: list[UsageRecord] = []
        cursor, read = None, 0
        while True:
            page = await self._page(
                subscription_id, limit=_AT_ONCE, cursor=cursor, since=since, until=until
            )
            for record in page.items:
                if record.source is UsageSource.ADJUSTMENT:
                    adjusted.append(record)
                    continue
                for name, usage in record.usage.models.items():
                    models[name] = models.get(name, ModelUsage()) + usage
            cursor, read = page.next_cursor, read + len(page.items)
            if cursor is None:
                return Recorded(models=models, adjustments=tuple(adjusted))
            if read >= MOST_RECORDS:
                raise Conflict(f"{subscription_id} has too many records there: {read} and more")

    async def append(self, records: Iterable[UsageRecord]) -> tuple[UsageRecord, ...]:
        """Add records to their ledgers; those that were not there before."""
        added = []
        for record in records:
            recorded = await self._actors.subscription(record.subscription_id).record(record)
            if recorded.added:
                added.append(record)
        return tuple(added)

    async def _page(
        self,
        subscription_id: str,
        *,
        limit: int,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[UsageRecord]:
        """Of one that sleeps the router reads the first page, and nobody wakes; where there is more
        to read, it comes up and reads that itself.
        """
        if cursor is None:
            page = await self._actors.router().resting_records(
                subscription_id, limit=limit, since=since, until=until
            )
            if page is not None:
                return page
        subscription = self._actors.subscription(subscription_id)
        return await subscription.usage(limit=limit, cursor=cursor, since=since, until=until)

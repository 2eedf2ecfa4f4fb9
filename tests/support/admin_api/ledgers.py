"""Subscriptions that are only ledgers: enough for the reconciler, on the real SQLite."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from api.demo.standin.bill import Bill, Usage
from pool.alerts.alerts import Alert
from pool.errors import ActorLost, NotFound
from pool.storage.ledger.ledger import Ledger
from pool.storage.sqlite import SqliteStores
from pool.usage.records import ModelUsage, UsageRecord, UsageSource
from pool.usage.records import Usage as Recorded
from tests.support.admin_api.adminapi import KEY, billed
from tests.support.values.examples import SONNET


@dataclass
class LedgerAccount:
    ledger: Ledger
    kind: str
    email: str | None
    is_away: bool = False
    is_asleep: bool = False
    woken: int = 0
    """How often it was called."""

    async def usage(self, **wanted: Any) -> Any:
        self.woken += 1
        if self.is_away:
            raise ActorLost(self.ledger.subscription_id, "away")
        return await self.ledger.usage(**wanted)

    async def record(self, record: UsageRecord) -> Any:
        return SimpleNamespace(added=await self.ledger.record(record))


@dataclass
class LedgerPeers:
    """Answers as the router and the owners do, of what the reconciler asks them."""

    folder: Path
    accounts: dict[str, LedgerAccount] = field(default_factory=dict)
    is_away: bool = False
    alerts: list[Alert] = field(default_factory=list)

    async def raise_alert(self, alert: Alert) -> bool:
        self.alerts.append(alert)
        return True

    async def add(self, id_: str, kind: str = "api_key", email: str | None = None) -> LedgerAccount:
        ledger = await SqliteStores(self.folder).open_ledger(id_)
        self.accounts[id_] = LedgerAccount(ledger, kind, email)
        return self.accounts[id_]

    def router(self) -> Any:
        return SimpleNamespace(
            raise_alert=self.raise_alert,
            subscription=self._report,
            resting_records=self._resting_records,
        )

    async def _resting_records(self, id_: str, **wanted: Any) -> Any:
        """Of one that sleeps."""
        account = self.accounts[id_]
        return await account.ledger.usage(**wanted) if account.is_asleep else None

    async def _report(self, id_: str) -> Any:
        if self.is_away:
            raise ActorLost("router", "away")
        if id_ not in self.accounts:
            raise NotFound("subscription", id_)
        account = self.accounts[id_]
        return SimpleNamespace(id=id_, kind=account.kind, email=account.email)

    def subscription(self, id_: str) -> Any:
        return self.accounts[id_]

    async def close(self) -> None:
        for account in self.accounts.values():
            await account.ledger.close()


def as_the_cli_counts(usage: Usage, cost_nano_usd: int) -> ModelUsage:
    return ModelUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_creation_input_tokens=usage.cache_creation_5m_input_tokens
        + usage.cache_creation_1h_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cost_nano_usd=cost_nano_usd,
    )


async def ran(
    account: LedgerAccount,
    bill: Bill,
    at: datetime,
    *,
    settled_at: datetime | None = None,
    token: str = KEY,
    model: str = SONNET,
    usage: Usage | None = None,
) -> UsageRecord:
    """A run of the pool: billed by the stand-in, and recorded as the CLI tells it."""
    line = billed(bill, at, token=token, model=f"{model}-20250929", usage=usage)
    counted = as_the_cli_counts(line.usage, line.cost_nano_usd or 0)
    record = UsageRecord(
        id=f"run:{line.message_id}",
        subscription_id=account.ledger.subscription_id,
        timestamp=settled_at or at,
        source=UsageSource.CLI,
        usage=Recorded(models={model: counted}),
    )
    assert await account.ledger.record(record)
    return record

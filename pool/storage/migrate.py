"""A whole pool from one kind of store to another: everything, or a reason why not.

The target must be empty, so that nothing is ever imported twice; a move that was interrupted leaves
a target that is not, and is begun again with an empty one. The source is read and never changed
(but for the epochs that opening it raises). Portions of bounded size go across one by one; when all
have arrived they are read back, and every row and every nano-dollar must be what was sent.

Nobody may write to the source meanwhile. SQLite sees to that by its lock; otherwise stop the pool.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from pool.errors import StoreError
from pool.storage.directory.directory import Directory
from pool.storage.directory.portion import DirectoryPortion
from pool.storage.documents import document
from pool.storage.ledger.ledger import Ledger
from pool.storage.ledger.portion import LedgerPortion
from pool.storage.reconciler_portion import ReconcilerPortion
from pool.storage.stores import Stores
from pool.values import Value

Portion = TypeVar("Portion", LedgerPortion, DirectoryPortion, ReconcilerPortion)
_AFTER_ALL = datetime.max.replace(tzinfo=UTC)


class Moved(Value):
    """What was brought across, and verified there."""

    subscriptions: tuple[str, ...]
    executions: int
    records: int
    """Those that retention has left; the totals count all there ever were."""
    cost_nano_usd: int
    """Of all lifetimes."""
    claims: int
    registrations: int
    reconciliations: int


class _Store(Protocol[Portion]):
    def export(self) -> AsyncIterator[Portion]: ...

    async def load(self, portion: Portion) -> None: ...


class _Tally:
    """How many rows of each kind went by, what they cost, and a digest of what they said."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.cost_nano_usd = 0
        self._digest = hashlib.sha256()

    def add(self, portion: LedgerPortion | DirectoryPortion | ReconcilerPortion) -> None:
        for kind in portion.model_fields_set:
            given = getattr(portion, kind)
            values = given if isinstance(given, tuple) else (given,)
            self.rows[kind] += len(values)
            for value in values:
                self._digest.update(f"{kind} {document(value)}\n".encode())
        if isinstance(portion, LedgerPortion):
            self.cost_nano_usd += sum(block.usage.cost_nano_usd for block in portion.blocks)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


def _difference(sent: _Tally, arrived: _Tally) -> str | None:
    if sent.cost_nano_usd != arrived.cost_nano_usd:
        difference = arrived.cost_nano_usd - sent.cost_nano_usd
        return f"the total differs by {difference} nano-dollars"
    kinds = [kind for kind in sent.rows if sent.rows[kind] != arrived.rows[kind]]
    if kinds:
        counts = ", ".join(f"{arrived.rows[kind]} of {sent.rows[kind]} {kind}" for kind in kinds)
        return f"there are {counts}"
    if sent.digest != arrived.digest:
        return "rows came back changed"
    return None


async def move(source: Stores, target: Stores, subscription_ids: Iterable[str]) -> Moved:
    """Move the ledgers of these subscriptions and of all that the directory names, the reconciler's
    history, and the directory itself.

    When this returns, the target holds what the source does. Raises ``StoreError`` for a target
    that is not empty, before anything is written, and for one that differs afterwards.
    """
    async with AsyncExitStack() as opened:
        from_directory = await source.open_directory()
        opened.push_async_callback(from_directory.close)
        to_directory = await target.open_directory()
        opened.push_async_callback(to_directory.close)
        from_history = await source.open_reconciliations()
        opened.push_async_callback(from_history.close)
        to_history = await target.open_reconciliations()
        opened.push_async_callback(to_history.close)
        wanted = sorted({*subscription_ids, *await _named(from_directory)})
        await _check_empty("directory", to_directory)
        await _check_empty("reconciler", to_history)
        for subscription_id in wanted:
            await _check_ledger_empty(target, subscription_id)
        tallies = [await _move_ledger(source, target, each) for each in wanted]
        history = await _brought("reconciler", from_history, to_history)
        # The registry comes last: until then nobody takes the target for a pool.
        tally = await _brought("directory", from_directory, to_directory)
    return Moved(
        subscriptions=tuple(wanted),
        executions=sum(each.rows["executions"] for each in tallies),
        records=sum(each.rows["records"] for each in tallies),
        cost_nano_usd=sum(each.cost_nano_usd for each in tallies),
        claims=tally.rows["claims"],
        registrations=tally.rows["registrations"],
        reconciliations=history.rows["reconciliations"],
    )


async def _named(directory: Directory) -> set[str]:
    """Every subscription that the directory knows of, also where it is registered no more."""
    names: set[str | None] = set()
    async for portion in directory.export():
        names |= {registration.spec.id for registration in portion.registrations}
        names |= {claim.subscription_id for claim in portion.claims}
        names |= {home.subscription_id for home in portion.homes}
    return {name for name in names if name is not None}


async def _check_ledger_empty(target: Stores, subscription_id: str) -> None:
    ledger = await target.open_ledger(subscription_id)
    try:
        await _check_empty(f"ledger of {subscription_id}", ledger)
    finally:
        await ledger.close()


async def _check_empty(name: str, store: _Store[Portion]) -> None:
    async for portion in store.export():
        if portion != type(portion)():
            problem = (
                "is not empty in the target: nothing was moved; move into an empty database "
                "(what an interrupted move left is dropped with its schema)"
            )
            raise StoreError(name, problem)


async def _move_ledger(source: Stores, target: Stores, subscription_id: str) -> _Tally:
    async with AsyncExitStack() as opened:
        ledger = await source.open_ledger(subscription_id)
        opened.push_async_callback(ledger.close)
        copy = await target.open_ledger(subscription_id)
        opened.push_async_callback(copy.close)
        name = f"ledger of {subscription_id}"
        tally = await _brought(name, ledger, copy)
        await _check_totals(name, ledger, copy)
        return tally


async def _brought(name: str, source: _Store[Portion], target: _Store[Portion]) -> _Tally:
    """Bring all portions across, and read them back."""
    sent, arrived = _Tally(), _Tally()
    async for portion in source.export():
        sent.add(portion)
        await target.load(portion)
    async for portion in target.export():
        arrived.add(portion)
    difference = _difference(sent, arrived)
    if difference is not None:
        raise StoreError(name, f"did not arrive as it was: {difference}; begin again, empty")
    return sent


async def _check_totals(name: str, source: Ledger, target: Ledger) -> None:
    """What an activation there starts from is what one here would."""
    before = await source.recover(_AFTER_ALL)
    after = await target.recover(_AFTER_ALL)
    if after.model_copy(update={"epoch": before.epoch}) != before:
        problem = f"totals {after.totals} are not the {before.totals} that were moved"
        raise StoreError(name, problem)

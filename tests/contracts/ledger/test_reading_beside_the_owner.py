"""A ledger that somebody reads while its owner writes on, whatever it is kept in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pool.errors import Fenced
from pool.storage.ledger.ledger import Ledger
from pool.storage.stores import Stores
from pool.usage.records import UsageRecord

NOW = datetime(2026, 1, 28, 16, 30, tzinfo=UTC)


def record(name: str) -> UsageRecord:
    return UsageRecord(id=name, subscription_id="sub1", timestamp=NOW)


async def test_it_shows_what_is_kept_and_the_owner_stays_the_owner(
    stores: Stores, ledger: Ledger
) -> None:
    """With SQLite nobody else can have the file open, and says so."""
    await ledger.record(record("use_1"))

    beside = await stores.read_ledger("sub1")
    seen: list[int] = []
    if beside is not None:
        seen = [
            (await beside.recover(NOW)).totals.records,
            len((await beside.usage(limit=9)).items),
        ]
        assert beside.epoch == (await beside.recover(NOW)).epoch == ledger.epoch
    still_writes = await ledger.record(record("use_2"))
    if beside is not None:
        with pytest.raises(Fenced):
            await beside.record(record("use_3"))
        await beside.close()

    assert seen == ([] if beside is None else [1, 1])
    assert still_writes
    assert not ledger.is_lost

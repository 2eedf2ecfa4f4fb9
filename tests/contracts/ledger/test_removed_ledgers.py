"""The ledger of a removed subscription, whatever it is kept in: who may take it over, and when."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from pool.errors import Fenced, StoreBusy
from pool.storage.directory.claims import Registration
from pool.storage.ledger.ledger import Ledger
from pool.storage.stores import Stores
from pool.subscriptions.consequences.standing import Standing
from pool.subscriptions.spec import Credential, SubscriptionSpec
from pool.usage.records import UsageRecord

NOW = datetime(2026, 1, 28, 16, 30, tzinfo=UTC)
RECORD = UsageRecord(id="use_1", subscription_id="sub1", timestamp=NOW)


async def put_back(stores: Stores) -> None:
    directory = await stores.open_directory(wait_seconds=5)
    spec = SubscriptionSpec(id="sub1", credential=Credential(oauth_token_env="SUB1_TOKEN"))
    await directory.register(Registration(spec=spec, declared=False, created_at=NOW))
    await directory.close()


async def test_all_ledgers_are_named_whoever_has_them(stores: Stores, ledger: Ledger) -> None:
    other = await stores.open_ledger("a-removed.one")
    await other.close()

    assert await stores.ledgers() == ("a-removed.one", "sub1")


async def test_where_nothing_was_kept_yet_no_ledger_is_named(stores: Stores) -> None:
    assert await stores.ledgers() == ()


async def test_one_whose_subscription_lives_is_left_to_it(stores: Stores, ledger: Ledger) -> None:
    await put_back(stores)

    with pytest.raises(StoreBusy):
        await stores.open_removed("sub1", wait_seconds=0.1)

    assert await ledger.record(RECORD)
    assert not ledger.is_lost


async def test_one_whose_subscription_is_put_back_meanwhile_is_its_own_again(
    stores: Stores,
) -> None:
    """It waits for the other one to close, or shuts it out."""
    before = await stores.open_ledger("sub1")
    await before.record(RECORD)
    await before.close()
    removed = await stores.open_removed("sub1", wait_seconds=5)
    await put_back(stores)

    opening = asyncio.ensure_future(stores.open_ledger("sub1", wait_seconds=5))
    await asyncio.wait([opening], timeout=0.5)
    if opening.done():
        with pytest.raises(Fenced):
            await removed.expire(NOW.replace(year=2027))
    await removed.close()
    owner = await opening

    assert (await owner.usage(limit=9)).items == (RECORD,)
    await owner.stand(Standing(paused=True))
    assert owner.epoch > removed.epoch
    await owner.close()


async def test_two_who_take_a_removed_one_over_do_each_other_no_harm(stores: Stores) -> None:
    before = await stores.open_ledger("sub1")
    await before.record(RECORD)
    await before.close()

    async def clean() -> int:
        ledger = await stores.open_removed("sub1", wait_seconds=10)
        try:
            return await ledger.expire(NOW.replace(year=2027))
        except Fenced:
            return 0
        finally:
            await ledger.close()

    removed = await asyncio.gather(*(clean() for _ in range(4)))

    last = await stores.open_removed("sub1")
    assert sum(removed) <= 1
    assert (await last.usage(limit=9)).items == ()
    await last.close()

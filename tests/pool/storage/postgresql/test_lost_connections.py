"""Connections that are lost at a COMMIT: the answer is the truth, or that nobody knows it."""

from __future__ import annotations

import asyncio

import pytest

from pool.errors import CommitUnknown, Fenced, StoreError
from pool.keys.account import Charge, Reservation
from pool.keys.api_keys import KeySpec
from pool.storage.directory.claims import Registration
from pool.storage.postgresql import PostgresqlStores
from pool.storage.postgresql.connection import transactions
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.stores.proxy import Fault, Proxy
from tests.support.stores.stored import NOW, names, new_claim, opened, record, row, settlement

_CUTS = (Fault.BEFORE, Fault.AFTER, Fault.LATE)


@pytest.mark.parametrize("fault", _CUTS)
async def test_a_connection_lost_at_the_commit_is_answered_with_the_truth(
    through: PostgresqlStores, proxy: Proxy, fault: Fault
) -> None:
    async with opened(through) as ledger:
        await ledger.begin(row("exec_1"))

        proxy.fault = fault
        assert await ledger.settle(settlement("exec_1"))

        assert proxy.struck.is_set()
        recovery = await ledger.recover(NOW)
        assert (recovery.totals.executions, recovery.totals.usage.cost_nano_usd) == (1, 30)
        assert not await ledger.settle(settlement("exec_1"))
        assert not ledger.is_lost


@pytest.mark.parametrize("fault", _CUTS)
async def test_all_calls_of_a_commit_in_doubt_are_answered_with_the_truth(
    through: PostgresqlStores, proxy: Proxy, fault: Fault
) -> None:
    async with opened(through) as ledger:
        await ledger.record(record("use_1"))

        proxy.fault = fault
        answers = await asyncio.gather(*(ledger.record(record(f"use_{n}")) for n in range(4)))

        assert answers == [True, False, True, True]
        assert (await ledger.recover(NOW)).totals.records == 4


@pytest.mark.parametrize(("fault", "kept"), [(Fault.AFTER, True), (Fault.BEFORE, False)])
async def test_a_commit_in_doubt_is_told_apart_after_a_takeover_too(
    through: PostgresqlStores, stores: PostgresqlStores, proxy: Proxy, fault: Fault, kept: bool
) -> None:
    stale = await through.open_ledger("sub1")
    proxy.fault, proxy.is_open = fault, False
    writing = asyncio.ensure_future(stale.record(record("use_1")))
    await proxy.struck.wait()
    async with opened(stores) as ledger:
        proxy.is_open = True
        answer = (await asyncio.gather(writing, return_exceptions=True))[0]

        assert (answer is True, type(answer) is Fenced) == (kept, not kept)
        assert await names(ledger) == ({"use_1"} if kept else set())
        with pytest.raises(Fenced):
            await stale.record(record("use_2"))
    await stale.close()


async def test_a_commit_whose_fate_cannot_be_found_out_is_unknown_and_ends_the_activation(
    through: PostgresqlStores,
    stores: PostgresqlStores,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transactions, "DOUBT_SECONDS", 0.3)
    ledger = await through.open_ledger("sub1")
    proxy.fault, proxy.is_open = Fault.AFTER, False

    with pytest.raises(CommitUnknown):
        await ledger.record(record("use_1"))

    assert ledger.is_lost
    proxy.is_open = True
    with pytest.raises(StoreError, match="fate of a commit was unknown"):
        await ledger.record(record("use_2"))
    await ledger.close()
    async with opened(stores) as again:
        assert await names(again) == {"use_1"}


@pytest.mark.parametrize("fault", _CUTS)
async def test_a_directory_that_loses_its_connection_at_the_commit_answers_the_truth(
    through: PostgresqlStores, proxy: Proxy, fault: Fault
) -> None:
    directory = await through.open_directory()
    await directory.register(Registration(spec=_SPEC, declared=False, created_at=NOW))

    proxy.fault = fault
    claim = await directory.claim(new_claim("e1", key="ci/k", reservation=_RESERVATION), "sub1")
    proxy.fault = fault
    placed = await directory.place("e1", "sub2", "s1", instead_of="sub1")
    proxy.fault = fault
    removed = await directory.unregister("sub1")

    assert (claim.subscription_id, placed.subscription_id, removed) == ("sub1", "sub2", True)
    assert proxy.fault is None
    assert await directory.claim(new_claim("e1"), "sub3") == placed
    assert tuple(await directory.keys.open_charges()) == (_RESERVATION.charge,)
    await directory.close()


_RESERVATION = Reservation(
    charge=Charge(execution_id="e1", key_id="k", amount_nano_usd=1, at=NOW),
    key=KeySpec(name="ci", max_concurrent=1),
)
_SPEC = SubscriptionSpec(id="sub1")

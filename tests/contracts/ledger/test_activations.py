"""A ledger and its activations: ownership, recovery, failures, and a copy elsewhere."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pool.errors import Fenced, InvalidRequest, NotFound, StoreBusy, StoreError
from pool.executions.outcome import Failed, FailureKind
from pool.executions.session import SessionTotal
from pool.storage.ledger.ledger import Ledger
from pool.storage.stores import Stores
from pool.subscriptions.consequences.settlement import Settlement
from pool.subscriptions.consequences.standing import Cooldown, Standing
from pool.usage.blocks import block_at
from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource
from pool.usage.totals import LifetimeTotal, total_usage
from tests.support.stores.ledger_rows import NOW, SESSION, TICK, ended, record, row, running, seen
from tests.support.suite.fuzz import examples


async def test_a_call_that_fails_leaves_its_neighbours_alone(ledger: Ledger) -> None:
    await ledger.begin(row("exec_0"))

    answers = await asyncio.gather(
        ledger.record(record("use_1")),
        ledger.update(running("exec_9")),
        ledger.settle(Settlement(row=ended(row("exec_8")), record=record("use_2"))),
        ledger.record(record("use_3")),
        return_exceptions=True,
    )

    assert [True, NotFound, NotFound, True] == [
        answer if isinstance(answer, bool) else type(answer) for answer in answers
    ]
    assert [kept.id for kept in (await ledger.usage(limit=9)).items] == ["use_3", "use_1"]


@pytest.mark.parametrize("tokens", [(2**63 - 1, 1), (2**70,)])
async def test_a_call_that_fails_halfway_leaves_nothing(
    ledger: Ledger, tokens: tuple[int, ...]
) -> None:
    """The last of these is more than a sum of the models can hold."""
    *before, last = (
        record(f"use_{number}").model_copy(
            update={"usage": Usage(models={"a": ModelUsage(output_tokens=each)})}
        )
        for number, each in enumerate(tokens)
    )
    for each in before:
        await ledger.record(each)
    kept = (await ledger.blocks(limit=9), await ledger.usage(limit=9))
    await ledger.begin(row())

    with pytest.raises(StoreError):
        await ledger.settle(Settlement(row=ended(row()), record=last))

    assert kept == (await ledger.blocks(limit=9), await ledger.usage(limit=9))
    assert await ledger.execution("exec_1") == row()
    assert not ledger.is_lost


async def test_an_activation_starts_from_what_the_last_one_left(stores: Stores) -> None:
    first = await stores.open_ledger("sub1")
    standing = Standing(
        draining=True,
        cooldown=Cooldown(
            cause=FailureKind.USAGE_LIMIT,
            evidence="limit",
            since=NOW,
            until=NOW + timedelta(hours=1, microseconds=1),
        ),
    )
    for number in range(3):
        await first.begin(row(f"exec_{number}", created_at=NOW + number * TICK))
    lost = Failed(kind=FailureKind.KILLED, message="gone", evidence=False)
    await first.settle(
        Settlement(
            row=ended(row("exec_1"), lost),
            record=record(),
            standing=standing,
            limits=(seen(NOW, five_hour=0.5),),
        )
    )
    await first.close()

    second = await stores.open_ledger("sub1")
    recovery = await second.recover(NOW)
    await second.close()

    assert recovery.epoch == second.epoch == first.epoch + 1
    assert [left.intent.execution_id for left in recovery.open] == ["exec_0", "exec_2"]
    assert recovery.costs == ((NOW, 30),)
    assert recovery.standing == standing
    assert recovery.windows == seen(NOW, five_hour=0.5).windows
    assert recovery.totals == LifetimeTotal(executions=1, records=1, usage=record().usage)
    assert recovery.recent_costs == (30,)
    assert recovery.last_session_id == SESSION
    assert recovery.last_request_at == NOW + 2 * TICK
    assert recovery.uncertain == 1


async def test_a_new_ledger_starts_from_nothing(ledger: Ledger) -> None:
    recovery = await ledger.recover(NOW)

    assert recovery.epoch == ledger.epoch == 1
    assert recovery.costs == recovery.open == recovery.recent_costs == ()
    assert recovery.totals == LifetimeTotal()
    assert recovery.last_session_id is recovery.last_request_at is None


async def test_recovered_costs_begin_at_the_very_microsecond_asked_for(ledger: Ledger) -> None:
    for offset in (-1, 0, 1):
        await ledger.record(record(f"use_{offset}", 10 + offset, at=NOW + offset * TICK))

    recovery = await ledger.recover(NOW)

    assert recovery.costs == ((NOW, 10), (NOW + TICK, 11))


async def test_a_second_owner_is_refused_or_shuts_the_first_one_out(
    stores: Stores, ledger: Ledger
) -> None:
    try:
        second = await stores.open_ledger("sub1", wait_seconds=0.1)
    except StoreBusy as busy:
        assert "is held by" in str(busy)  # noqa: PT017 - one of two good answers
        assert await ledger.record(record())
        return
    with pytest.raises(Fenced):
        await ledger.record(record("use_stale"))
    kept = await second.record(record())
    listed = (await second.usage(limit=9)).items
    await second.close()

    assert (kept, listed, ledger.is_lost) == (True, (record(),), True)
    assert second.epoch == ledger.epoch + 1


async def test_ledgers_of_two_subscriptions_know_nothing_of_each_other(
    stores: Stores, ledger: Ledger
) -> None:
    other = await stores.open_ledger("sub2")
    await other.record(record())
    await other.close()

    assert (await ledger.usage(limit=9)).items == ()


async def test_a_closed_ledger_takes_no_calls_and_can_be_closed_again(stores: Stores) -> None:
    ledger = await stores.open_ledger("sub1")
    await asyncio.gather(ledger.close(), ledger.close())
    await ledger.close()

    with pytest.raises(StoreError, match="is closed"):
        await ledger.record(record())
    with pytest.raises(StoreError, match="is closed"):
        await ledger.execution("exec_1")
    assert not ledger.is_lost


async def test_a_caller_that_gives_up_does_not_disturb_the_others(ledger: Ledger) -> None:
    calls = [asyncio.ensure_future(ledger.record(record(f"use_{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()

    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert answers[1::2] == [True] * 10
    assert await ledger.record(record("use_last"))


@pytest.mark.parametrize("name", ["", "..", "../sub1", "a/b", "/etc", ".hidden", "a\n", "a\x00"])
async def test_an_id_that_is_no_plain_name_is_refused(stores: Stores, name: str) -> None:
    with pytest.raises(InvalidRequest, match="subscription_id"):
        await stores.open_ledger(name)


async def test_what_was_exported_and_loaded_elsewhere_is_the_same(
    stores: Stores, ledger: Ledger
) -> None:
    old = NOW - timedelta(days=40)
    await ledger.record(record("use_old", at=old))
    await ledger.expire(NOW)
    await ledger.begin(row("exec_1"))
    await ledger.begin(row("exec_2"))
    total = SessionTotal(session_id=SESSION, total_nano_usd=9, last_used_at=NOW)
    limits = tuple(seen(NOW, five_hour=share) for share in (0.3, 0.1, 0.2))
    await ledger.settle(
        Settlement(
            row=ended(row("exec_1")),
            record=record(),
            session=total,
            standing=Standing(paused=True),
            limits=limits,
        )
    )
    await asyncio.gather(*(ledger.record(record(f"use_{n}", at=NOW)) for n in range(2, 600)))

    copy = await stores.open_ledger("copy")
    portions = [portion async for portion in ledger.export()]
    for portion in portions:
        await copy.load(portion)
    arrived = [portion async for portion in copy.export()]
    recoveries = [await each.recover(old) for each in (ledger, copy)]
    events = (await copy.limits(limit=9)).items
    with pytest.raises(StoreError):
        await copy.load(portions[-1])
    await copy.close()

    assert arrived == portions
    assert recoveries[0].totals.records == 600
    assert recoveries[0] == recoveries[1]
    assert events == tuple(reversed(limits))


_names = st.text("abc", min_size=1, max_size=2)
_figures = st.integers(0, 10**12)
_usages = st.dictionaries(
    st.sampled_from(["opus", "sonnet", "haiku"]),
    st.builds(
        ModelUsage,
        input_tokens=_figures,
        output_tokens=_figures,
        cache_creation_input_tokens=_figures,
        cache_read_input_tokens=_figures,
        cost_nano_usd=_figures,
    ),
).map(lambda models: Usage(models=models))
_records = st.builds(
    UsageRecord,
    id=_names,
    subscription_id=st.just("sub1"),
    timestamp=st.integers(0, 3 * 86_400_000_000).map(
        lambda microseconds: NOW + timedelta(microseconds=microseconds)
    ),
    source=st.sampled_from(UsageSource),
    usage=_usages,
)
_fresh = count()


@settings(max_examples=examples(12, 500), suppress_health_check=list(HealthCheck))
@given(records=st.lists(_records, max_size=25))
async def test_totals_equal_what_the_listed_records_add_up_to(
    stores: Stores, records: list[UsageRecord]
) -> None:
    ledger = await stores.open_ledger(f"any{next(_fresh)}")
    answers = await asyncio.gather(*(ledger.record(each) for each in records))
    listed = (await ledger.usage(limit=500)).items
    totals = (await ledger.recover(NOW)).totals
    blocks = (await ledger.blocks(limit=500)).items
    await ledger.close()

    assert sum(answers) == len(listed) == len({each.id for each in records})
    assert all(each in records for each in listed)
    assert totals.records == len(listed)
    assert totals.usage == total_usage(each.usage for each in listed)
    assert {block.block_id for block in blocks} == {block_at(each.timestamp).id for each in listed}
    for block in blocks:
        inside = [each for each in listed if block.starts_at <= each.timestamp < block.ends_at]
        assert block.records == len(inside)
        assert block.usage == total_usage(each.usage for each in inside)

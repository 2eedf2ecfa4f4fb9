"""Lists of a ledger, page by page, and what is known at a glance."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pool.errors import InvalidRequest
from pool.executions.session import SessionTotal
from pool.executions.status import ExecutionStatus
from pool.limits.windows import newest
from pool.storage.ledger.ledger import Ledger
from pool.subscriptions.consequences.settlement import Settlement
from pool.subscriptions.consequences.standing import Standing
from pool.usage.blocks import block_at
from pool.usage.records import UsageSource
from tests.support.stores.ledger_rows import (
    NOW,
    OTHER_SESSION,
    SESSION,
    TICK,
    ended,
    record,
    row,
    seen,
)


async def test_recent_costs_are_the_last_fifty_runs_that_spent_something(ledger: Ledger) -> None:
    for number in range(60):
        await ledger.record(record(f"use_{number:02}", number + 1, at=NOW + number * TICK))
    later = NOW + timedelta(hours=1)
    await ledger.record(record("use_free", 0, at=later))
    await ledger.record(record("use_ext", 777, at=later, source=UsageSource.EXTERNAL))

    recovery = await ledger.recover(NOW)

    assert recovery.recent_costs == tuple(range(11, 61))


async def test_of_each_window_the_one_observed_last_is_kept(ledger: Ledger) -> None:
    events = (
        seen(NOW + TICK, five_hour=0.2, seven_day=0.3),
        seen(NOW, five_hour=0.1, seven_day_opus=0.4),
        seen(NOW + TICK, seven_day=0.5),
    )
    for number, event in enumerate(events):
        await ledger.begin(row(f"exec_{number}"))
        await ledger.settle(Settlement(row=ended(row(f"exec_{number}")), limits=(event,)))

    recovery = await ledger.recover(NOW)

    assert recovery.windows == newest(*(event.windows for event in events))
    assert recovery.windows["five_hour"].utilization == 0.2
    assert recovery.windows["seven_day"].utilization == 0.5


async def test_a_session_keeps_the_last_total_that_was_reported(ledger: Ledger) -> None:
    for number, total in enumerate((100, 250, None)):
        name, used_at = f"exec_{number}", NOW + number * TICK
        await ledger.begin(row(name))
        total_now = SessionTotal(session_id=SESSION, total_nano_usd=total, last_used_at=used_at)
        await ledger.settle(Settlement(row=ended(row(name)), session=total_now))

    kept = await ledger.session(SESSION)

    assert kept == SessionTotal(session_id=SESSION, total_nano_usd=250, last_used_at=NOW + 2 * TICK)


async def test_standing_is_kept(ledger: Ledger) -> None:
    await ledger.stand(Standing(paused=True))

    assert (await ledger.recover(NOW)).standing == Standing(paused=True)


async def test_pages_of_executions_are_newest_first_and_stay_valid_while_rows_are_added(
    ledger: Ledger,
) -> None:
    names = ["exec_a", "exec_b", "exec_c", "exec_d"]
    for name, offset in zip(names, (0, 1, 1, 2), strict=True):
        await ledger.begin(row(name, created_at=NOW + offset * TICK))

    first = await ledger.executions(limit=2)
    await ledger.begin(row("exec_new", created_at=NOW + timedelta(hours=1)))
    second = await ledger.executions(limit=2, cursor=first.next_cursor)

    shown = [kept.intent.execution_id for kept in (*first.items, *second.items)]
    assert shown == ["exec_d", "exec_c", "exec_b", "exec_a"]
    assert second.next_cursor is None


async def test_executions_are_found_by_status_and_by_session(ledger: Ledger) -> None:
    await ledger.begin(row("exec_1"))
    await ledger.begin(row("exec_2", session_id=OTHER_SESSION))
    await ledger.begin(row("exec_3"))
    await ledger.settle(Settlement(row=ended(row("exec_3"))))

    async def found(**wanted: Any) -> list[str]:
        page = await ledger.executions(limit=500, **wanted)
        return [kept.intent.execution_id for kept in page.items]

    assert await found(status=ExecutionStatus.QUEUED) == ["exec_2", "exec_1"]
    assert await found(session_id=SESSION) == ["exec_3", "exec_1"]
    assert await found(session_id=SESSION, status=ExecutionStatus.SUCCEEDED) == ["exec_3"]
    assert await found(status=ExecutionStatus.FAILED) == []


async def test_a_ledger_knows_when_it_was_first_used(ledger: Ledger) -> None:
    unused = await ledger.recover(NOW)
    await ledger.record(record("use_2", at=NOW))
    await ledger.record(record("use_1", at=NOW - timedelta(days=3)))
    used = await ledger.recover(NOW)
    await ledger.expire(NOW + timedelta(days=99))

    first = block_at(NOW - timedelta(days=3)).starts_at
    assert (unused.first_used_at, used.first_used_at) == (None, first)
    assert (await ledger.recover(NOW)).first_used_at == first


async def test_usage_is_listed_between_since_and_until_newest_first(ledger: Ledger) -> None:
    for offset in range(5):
        await ledger.record(record(f"use_{offset}", at=NOW + offset * TICK))
    await ledger.record(record("use_2b", at=NOW + 2 * TICK))

    async def listed(cursor: str | None = None) -> list[str]:
        page = await ledger.usage(limit=2, cursor=cursor, since=NOW + TICK, until=NOW + 4 * TICK)
        names = [kept.id for kept in page.items]
        return names + (await listed(page.next_cursor) if page.next_cursor else [])

    assert await listed() == ["use_3", "use_2b", "use_2", "use_1"]


async def test_usage_is_listed_by_its_source(ledger: Ledger) -> None:
    outside = record("use_1").model_copy(update={"source": UsageSource.OUTSIDE})
    await ledger.record(outside)
    await ledger.record(record("use_2"))

    page = await ledger.usage(limit=2, source=UsageSource.OUTSIDE)

    assert page.items == (outside,)


async def test_block_totals_are_kept_by_model_newest_first(ledger: Ledger) -> None:
    edge = block_at(NOW).ends_at
    await ledger.record(record("use_1", 10, at=edge - TICK))
    await ledger.record(record("use_2", 20, at=edge - TICK))
    await ledger.record(record("use_3", 40, at=edge))

    first = await ledger.blocks(limit=1)
    second = await ledger.blocks(limit=1, cursor=first.next_cursor)

    assert [
        (total.usage.models["claude-sonnet-4-5"].cost_nano_usd, total.records)
        for total in (*first.items, *second.items)
    ] == [(40, 1), (30, 2)]
    assert first.items[0].starts_at == edge == second.items[0].ends_at
    assert first.items[0].block_id == block_at(edge).id
    assert second.next_cursor is None


async def test_limit_events_are_listed_newest_first(ledger: Ledger) -> None:
    events = tuple(seen(NOW + offset * TICK, five_hour=offset / 10) for offset in (0, 2, 1, 2))
    await ledger.begin(row())
    await ledger.settle(Settlement(row=ended(row()), limits=events))

    first = await ledger.limits(limit=3)
    second = await ledger.limits(limit=3, cursor=first.next_cursor)

    assert (*first.items, *second.items) == (events[3], events[1], events[2], events[0])


_LISTS = ("executions", "usage", "blocks", "limits")


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "!!", "bnVsbA", "WyJ1c2FnZSIsMV0", "WyJvdGhlciIsMSwiYSJd", "\u00fc", "A" * 5000],
)
async def test_a_cursor_that_no_list_gave_is_refused(ledger: Ledger, cursor: str) -> None:
    for kind in _LISTS:
        with pytest.raises(InvalidRequest, match="cursor"):
            await getattr(ledger, kind)(limit=1, cursor=cursor)


@pytest.mark.parametrize("limit", [-1, 0, 501])
async def test_a_page_has_one_to_five_hundred_items(ledger: Ledger, limit: int) -> None:
    for kind in _LISTS:
        with pytest.raises(InvalidRequest, match="limit"):
            await getattr(ledger, kind)(limit=limit)

"""Executions that a ledger hands on: open until another one has them, listed on demand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pool.executions.outcome import Failed, FailureKind
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.storage.ledger.ledger import Ledger
from pool.storage.stores import Stores
from pool.subscriptions.consequences.settlement import Settlement
from pool.usage.totals import LifetimeTotal
from tests.support.stores.ledger_rows import (
    NOW,
    OTHER_SESSION,
    SESSION,
    TICK,
    ended,
    record,
    row,
    running,
)


def moving(name: str = "exec_1") -> ExecutionRow:
    """Its run has failed, and another subscription is looked for."""
    limit = Failed(kind=FailureKind.USAGE_LIMIT, message="limit", usage=record().usage)
    update = {"status": ExecutionStatus.MOVING, "finished_at": NOW + TICK, "outcome": limit}
    return running(name).model_copy(update=update)


def moved(from_: ExecutionRow) -> ExecutionRow:
    return from_.model_copy(update={"status": ExecutionStatus.MOVED, "moved_to": "sub2"})


async def test_what_is_being_handed_on_is_open_after_reopening(stores: Stores) -> None:
    first = await stores.open_ledger("sub1")
    waiting = row("exec_2").model_copy(update={"status": ExecutionStatus.MOVING})
    for name in ("exec_1", "exec_2", "exec_3"):
        await first.begin(row(name))
    await first.settle(Settlement(row=moving(), record=record()))
    await first.update(waiting)
    await first.settle(Settlement(row=moved(row("exec_3"))))
    await first.close()

    second = await stores.open_ledger("sub1")
    recovery = await second.recover(NOW)
    await second.close()

    assert recovery.open == (moving(), waiting)
    assert recovery.totals == LifetimeTotal(executions=0, records=1, usage=record().usage)


async def test_what_was_handed_on_counts_what_it_spent_once_and_has_not_ended_here(
    ledger: Ledger,
) -> None:
    await ledger.begin(row())

    is_new = [
        await ledger.settle(Settlement(row=moving(), record=record())),
        await ledger.settle(Settlement(row=moved(moving()), record=record())),
        await ledger.settle(Settlement(row=ended(row()), record=record("use_2"))),
    ]

    recovery = await ledger.recover(NOW - timedelta(days=7))
    assert is_new == [True, True, False]
    assert recovery.open == ()
    assert recovery.costs == ((NOW, 30),)
    assert recovery.totals == LifetimeTotal(executions=0, records=1, usage=record().usage)
    assert await ledger.execution("exec_1") == moved(moving())


async def test_what_nobody_took_over_ends_here_and_is_counted_once(ledger: Ledger) -> None:
    await ledger.begin(row())
    await ledger.settle(Settlement(row=moving(), record=record()))

    assert await ledger.settle(Settlement(row=ended(moving(), moving().outcome)))

    recovery = await ledger.recover(NOW)
    assert recovery.totals == LifetimeTotal(executions=1, records=1, usage=record().usage)
    assert recovery.open == ()


async def test_what_went_on_elsewhere_is_listed_only_where_that_is_asked_for(
    ledger: Ledger,
) -> None:
    for name in ("exec_1", "exec_2", "exec_3"):
        await ledger.begin(row(name))
    await ledger.settle(Settlement(row=moved(row("exec_1"))))
    await ledger.settle(Settlement(row=moving("exec_2")))

    async def found(**wanted: Any) -> list[str]:
        page = await ledger.executions(limit=500, **wanted)
        return [kept.intent.execution_id for kept in page.items]

    assert await found() == await found(session_id=SESSION) == ["exec_3", "exec_2"]
    assert await found(with_moved=True) == ["exec_3", "exec_2", "exec_1"]
    assert await found(session_id=SESSION, with_moved=True) == ["exec_3", "exec_2", "exec_1"]


async def test_what_is_being_handed_on_is_found_among_what_waits(ledger: Ledger) -> None:
    for name in ("exec_1", "exec_2", "exec_3", "exec_4"):
        await ledger.begin(row(name))
    await ledger.settle(Settlement(row=moving("exec_1")))
    await ledger.update(row("exec_2").model_copy(update={"status": ExecutionStatus.MOVING}))
    await ledger.settle(Settlement(row=moved(row("exec_3"))))
    await ledger.begin(running("exec_5"))

    async def found(**wanted: Any) -> list[str]:
        page = await ledger.executions(limit=500, status=ExecutionStatus.QUEUED, **wanted)
        return [kept.intent.execution_id for kept in page.items]

    assert await found() == await found(session_id=SESSION) == ["exec_4", "exec_2", "exec_1"]
    assert await found(session_id=OTHER_SESSION) == []


async def test_pages_of_what_waits_stay_valid_while_some_of_it_is_handed_on(
    ledger: Ledger,
) -> None:
    waiting = [row(f"exec_{n}", created_at=NOW + n * TICK) for n in range(6)]
    for each in waiting:
        await ledger.begin(each)
    await ledger.update(waiting[4].model_copy(update={"status": ExecutionStatus.MOVING}))

    seen: list[list[str]] = []
    cursor: str | None = None
    while not seen or cursor is not None:
        page = await ledger.executions(limit=2, cursor=cursor, status=ExecutionStatus.QUEUED)
        seen.append([kept.intent.execution_id for kept in page.items])
        cursor = page.next_cursor
        handed_on = waiting[len(seen)].model_copy(update={"status": ExecutionStatus.MOVING})
        await ledger.update(handed_on)
        await ledger.update(waiting[4])

    assert seen == [["exec_5", "exec_4"], ["exec_3", "exec_2"], ["exec_1", "exec_0"]]


async def test_a_page_is_full_though_rows_between_went_on_elsewhere(ledger: Ledger) -> None:
    for number in range(6):
        await ledger.begin(row(f"exec_{number}"))
        if number % 2:
            await ledger.settle(Settlement(row=moved(row(f"exec_{number}"))))

    first = await ledger.executions(limit=2)
    second = await ledger.executions(limit=2, cursor=first.next_cursor)

    names = [each.intent.execution_id for page in (first, second) for each in page.items]
    assert (names, second.next_cursor) == (["exec_4", "exec_2", "exec_0"], None)

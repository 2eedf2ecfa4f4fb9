"""Retention: what a ledger removes in time, and what stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pool.executions.outcome import Completed
from pool.executions.row import ExecutionRow
from pool.executions.session import SessionTotal
from pool.executions.tools.permissions import AgentSettings
from pool.storage.ledger.ledger import Ledger
from pool.storage.stores import Stores
from pool.subscriptions.consequences.settlement import Settlement
from tests.support.stores.engines import Engine
from tests.support.stores.ledger_rows import (
    HOUR,
    NOW,
    OTHER_SESSION,
    SECRET,
    SESSION,
    TICK,
    ended,
    record,
    row,
    running,
    seen,
    with_image,
)


async def test_retention_removes_what_is_older_and_keeps_the_totals(ledger: Ledger) -> None:
    old, edge = NOW - TICK, NOW
    await ledger.begin(row("exec_old", created_at=old))
    await ledger.begin(row("exec_open", created_at=old, session_id=OTHER_SESSION))
    await ledger.begin(row("exec_edge", created_at=old))
    for name, at in (("old", old), ("edge", edge)):
        settled = Settlement(
            row=ended(row(f"exec_{name}", created_at=old), finished_at=at),
            record=record(f"use_{name}", at=at),
            limits=(seen(at, five_hour=0.5),),
            session=SessionTotal(session_id=f"session-{name}", total_nano_usd=1, last_used_at=at),
        )
        await ledger.settle(settled)
    before = await ledger.recover(NOW)

    assert await ledger.expire(edge) == 1

    after = await ledger.recover(NOW)
    assert after.totals == before.totals
    assert (await ledger.blocks(limit=9)).items[0].records == 2
    assert after.windows == before.windows
    assert [kept.id for kept in (await ledger.usage(limit=9)).items] == ["use_edge"]
    left = (await ledger.executions(limit=9)).items
    assert [kept.intent.execution_id for kept in left] == ["exec_open", "exec_edge"]
    assert [edge] == [event.observed_at for event in (await ledger.limits(limit=9)).items]
    assert await ledger.session("session-old") is None
    assert await ledger.session("session-edge") is not None


async def test_retention_removes_more_than_one_transaction_takes(ledger: Ledger) -> None:
    await asyncio.gather(*(ledger.record(record(f"use_{number}")) for number in range(1001)))

    assert await ledger.expire(NOW + TICK) == 1001
    assert await ledger.expire(NOW + TICK) == 0


async def test_a_session_that_an_open_execution_needs_does_not_expire(ledger: Ledger) -> None:
    await ledger.begin(row("exec_1"))
    session = SessionTotal(session_id=SESSION, total_nano_usd=1, last_used_at=NOW)
    await ledger.settle(Settlement(row=ended(row("exec_1")), session=session))
    await ledger.begin(row("exec_2"))

    await ledger.expire(NOW + timedelta(days=35))

    assert session == await ledger.session(SESSION)


def private(name: str) -> ExecutionRow:
    """An execution that runs, with something private wherever a request may hold it."""
    begun = running(name)
    private_parts = {
        "prompt": "a secret prompt",
        "system_prompt": "a secret role",
        "json_schema": {"type": "object", "description": "a secret schema"},
        "images": with_image(100).intent.request.images,
        "agent": AgentSettings(append_system_prompt="a secret", mcp_servers={"s": {"key": "k"}}),
    }
    request = begun.intent.request.model_copy(update=private_parts)
    intent = begun.intent.model_copy(update={"request": request})
    return begun.model_copy(update={"intent": intent})


async def test_what_was_asked_and_answered_is_removed_and_all_else_stays(ledger: Ledger) -> None:
    total = SessionTotal(session_id=SESSION, total_nano_usd=9, last_used_at=NOW)
    old = ended(private("exec_old"), SECRET, finished_at=NOW - TICK)
    edge = ended(private("exec_edge"), SECRET, finished_at=NOW)
    for each in (old, edge):
        await ledger.begin(private(each.intent.execution_id))
        await ledger.settle(Settlement(row=each, record=record(), session=total))
    await ledger.begin(private("exec_open"))
    before = await ledger.recover(NOW - TICK)

    removed = [await ledger.remove_content(NOW, NOW + TICK) for _ in range(2)]

    kept = await ledger.execution("exec_old")
    assert removed == [1, 0]
    assert kept is not None
    assert (kept.content_removed_at, kept.intent.request.metadata) == (
        NOW + TICK,
        {"team": "\u00fc"},
    )
    assert not [each for each in ("secret", "image/jpeg") if each in kept.model_dump_json()]
    assert (
        kept.model_copy(
            update={"intent": old.intent, "outcome": old.outcome, "content_removed_at": None}
        )
        == old
    )
    assert isinstance(kept.outcome, Completed)
    assert (kept.outcome.usage, kept.outcome.stop_reason) == (SECRET.usage, "end_turn")
    assert await ledger.execution("exec_edge") == edge
    assert await ledger.execution("exec_open") == private("exec_open")
    assert await ledger.session(SESSION) == total
    assert await ledger.recover(NOW - TICK) == before


async def test_the_content_of_many_and_of_an_earlier_release_is_removed_too(
    engine: Engine,
) -> None:
    many = [ended(private(f"exec_{number:03}")) for number in range(45)]
    await engine.make_earlier([*many, private("exec_open")])
    ledger = await engine.stores.open_ledger("sub1")

    removed = await ledger.remove_content(NOW + HOUR, NOW)
    listed = (await ledger.executions(limit=99)).items
    await ledger.settle(Settlement(row=ended(private("exec_open"))))
    rest = await ledger.remove_content(NOW + HOUR, NOW)
    await ledger.close()

    assert (removed, rest) == (45, 1)
    over = [each for each in listed if each.status.is_final]
    assert {each.content_removed_at for each in over} == {NOW}
    assert not [each for each in over if "secret" in each.model_dump_json()]
    (still_open,) = (each for each in listed if not each.status.is_final)
    assert still_open == private("exec_open")


async def test_what_was_removed_here_is_removed_where_it_is_moved_to(
    stores: Stores, ledger: Ledger
) -> None:
    for name, at in (("exec_1", NOW - TICK), ("exec_2", NOW)):
        await ledger.begin(private(name))
        await ledger.settle(Settlement(row=ended(private(name), finished_at=at)))
    await ledger.remove_content(NOW, NOW)

    copy = await stores.open_ledger("copy")
    portions = [portion async for portion in ledger.export()]
    for portion in portions:
        await copy.load(portion)
    arrived = [portion async for portion in copy.export()]
    removed = [await copy.remove_content(NOW + TICK, NOW) for _ in range(2)]
    await copy.close()

    assert arrived == portions
    assert removed == [1, 0]


async def test_a_row_that_cannot_be_read_goes_with_what_was_asked_and_answered(
    ledger: Ledger,
) -> None:
    odd = private("exec_1").intent.model_copy(update={"session_id": "no uuid"})
    await ledger.begin(private("exec_1").model_copy(update={"intent": odd}))
    end = ended(private("exec_1")).model_copy(update={"intent": odd})
    await ledger.settle(Settlement(row=end, record=record()))

    assert await ledger.remove_content(NOW + HOUR, NOW) == 1
    assert await ledger.remove_content(NOW + HOUR, NOW) == 0
    assert [each async for each in ledger.export() if each.executions] == []
    assert (await ledger.usage(limit=9)).items == (record(),)

"""Executions in a ledger: begun once, settled once, counted once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pool.errors import Conflict, NotFound
from pool.executions.content.image import MAX_IMAGE_BYTES
from pool.executions.outcome import Completed, Failed, FailureKind
from pool.executions.session import SessionTotal
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import ToolCall
from pool.executions.tools.rounds import KeptRound
from pool.storage.ledger.ledger import Ledger
from pool.subscriptions.consequences.settlement import Settlement
from pool.subscriptions.consequences.standing import Standing
from pool.usage.totals import LifetimeTotal
from tests.support.stores.engines import Engine
from tests.support.stores.ledger_rows import (
    HOUR,
    NOW,
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


async def test_what_begins_comes_back_as_it_was_given(ledger: Ledger) -> None:
    given_row = row()

    kept = await ledger.begin(given_row)

    assert kept == given_row == await ledger.execution("exec_1")


async def test_what_is_settled_comes_back_as_it_was_given(ledger: Ledger) -> None:
    begun = running().model_copy(update={"cancel_requested_at": NOW + 2 * TICK})
    await ledger.begin(begun)
    failed = Failed(
        kind=FailureKind.USAGE_LIMIT,
        message="limit",
        usage=record().usage,
        limits=(seen(NOW + 3 * TICK, five_hour=1.0),),
        session_total_nano_usd=123,
    )
    end = ended(begun, failed)

    assert await ledger.settle(Settlement(row=end))
    assert end == await ledger.execution("exec_1")


async def test_unfit_text_that_an_earlier_release_kept_is_mended_as_it_is_read(
    ledger: Ledger,
) -> None:
    await ledger.begin(row())
    answer = Completed.model_construct(result="a\ud800\0", structured_output={"\udc00": 1e999})
    await ledger.settle(Settlement(row=ended(row(), answer)))

    (listed,) = (await ledger.executions(limit=5)).items

    assert isinstance(listed.outcome, Completed)
    assert listed.outcome.result == "a\ufffd\ufffd"
    assert listed.outcome.structured_output == {"\ufffd": None}


async def test_a_row_that_cannot_be_read_takes_nothing_else_down(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.begin(row("exec_1"))
    odd = row("exec_2").intent.model_copy(update={"session_id": "no uuid"})
    await ledger.begin(row("exec_2").model_copy(update={"intent": odd}))

    recovered = await ledger.recover(NOW)
    listed = await ledger.executions(limit=5)

    names = [each.intent.execution_id for each in (*recovered.open, *listed.items)]
    assert names == ["exec_1", "exec_1"]
    assert await ledger.execution("exec_2") is None
    assert {each.message for each in caplog.records} == {"row cannot be read"}


async def test_an_answer_that_holds_anything_json_can_say_comes_back(ledger: Ledger) -> None:
    await ledger.begin(row())
    end = ended(row())

    await ledger.settle(Settlement(row=end))

    assert end == await ledger.execution("exec_1")


async def test_an_execution_begins_once_and_the_first_row_is_kept(ledger: Ledger) -> None:
    await ledger.begin(running())

    assert running() == await ledger.begin(row())
    assert running() == await ledger.execution("exec_1")


async def test_an_unknown_execution_is_none(ledger: Ledger) -> None:
    assert await ledger.execution("exec_9") is None


async def test_an_open_execution_can_be_replaced(ledger: Ledger) -> None:
    await ledger.begin(row())

    await ledger.update(running())

    assert running() == await ledger.execution("exec_1")


async def test_only_the_beginning_of_an_execution_writes_its_request(
    engine: Engine, ledger: Ledger
) -> None:
    begun = with_image(MAX_IMAGE_BYTES)
    asked = begun.model_copy(update={"cancel_requested_at": NOW})
    await ledger.record(record("use_first"))
    await engine.watch(ledger)
    await ledger.record(record("use_second"))

    await engine.written()
    await ledger.begin(begun)
    at_first = await engine.written()
    await ledger.update(asked)
    in_between = await engine.written()
    await ledger.settle(Settlement(row=ended(asked), record=record()))
    in_the_end = await engine.written()

    assert at_first > MAX_IMAGE_BYTES
    assert max(in_between, in_the_end) < MAX_IMAGE_BYTES / 50
    assert min(in_between, in_the_end) > 0
    assert await ledger.execution("exec_1") == ended(asked)


async def test_what_an_earlier_release_kept_is_read(engine: Engine) -> None:
    waits, over = row("exec_1"), ended(running("exec_2"))
    await engine.make_earlier([waits, over])
    ledger = await engine.stores.open_ledger("sub1")

    recovery = await ledger.recover(NOW)
    listed = await ledger.executions(limit=9)
    portions = [portion async for portion in ledger.export()]
    copy = await engine.stores.open_ledger("copy")
    for portion in portions:
        await copy.load(portion)
    arrived = [portion async for portion in copy.export()]
    await copy.close()
    await ledger.close()

    assert recovery.open == (waits,)
    assert listed.items == (over, waits)
    assert arrived == portions


async def test_what_an_earlier_release_began_goes_on_and_ends_once(engine: Engine) -> None:
    waits, runs, over = row("exec_1"), running("exec_2"), ended(running("exec_3"))
    await engine.make_earlier([waits, runs, over])
    ledger = await engine.stores.open_ledger("sub1")

    await ledger.update(running("exec_1"))
    ends = (ended(running("exec_1")), ended(runs), ended(over, Completed(result="nein")))
    settled = [await ledger.settle(Settlement(row=each)) for each in ends]
    kept = [await ledger.execution(each.intent.execution_id) for each in ends]
    await ledger.close()

    assert settled == [True, True, False]
    assert kept == [ends[0], ends[1], over]


async def test_an_ended_execution_cannot_be_replaced(ledger: Ledger) -> None:
    await ledger.begin(row())
    await ledger.settle(Settlement(row=ended(row())))

    with pytest.raises(Conflict):
        await ledger.update(running())
    assert ended(row()) == await ledger.execution("exec_1")


async def test_what_never_began_can_neither_be_replaced_nor_settled(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        await ledger.update(running())
    with pytest.raises(NotFound):
        await ledger.settle(Settlement(row=ended(row()), record=record()))

    assert (await ledger.usage(limit=1)).items == ()


async def test_a_status_that_does_not_fit_the_step_is_refused(ledger: Ledger) -> None:
    await ledger.begin(row("exec_0"))

    with pytest.raises(Conflict):
        await ledger.begin(ended(row()))
    with pytest.raises(Conflict):
        await ledger.update(ended(row("exec_0")))
    with pytest.raises(Conflict):
        await ledger.settle(Settlement(row=running("exec_0")))
    assert (await ledger.recover(NOW)).open == (row("exec_0"),)


async def test_an_execution_settles_once_and_counts_once(ledger: Ledger) -> None:
    await ledger.begin(row())
    first = Settlement(row=ended(row()), record=record("use_1"), limits=(seen(NOW, five_hour=0.1),))
    second = Settlement(
        row=ended(row(), Completed(result="nein")),
        record=record("use_2"),
        standing=Standing(paused=True),
        limits=(seen(NOW + TICK, five_hour=0.9),),
        session=SessionTotal(session_id=SESSION, total_nano_usd=1, last_used_at=NOW),
    )

    assert await ledger.settle(first)
    assert not await ledger.settle(second)

    recovery = await ledger.recover(NOW - timedelta(days=7))
    assert first.row == await ledger.execution("exec_1")
    assert recovery.costs == ((NOW, 30),)
    assert recovery.totals == LifetimeTotal(executions=1, records=1, usage=record().usage)
    assert recovery.standing == Standing()
    assert recovery.windows == first.limits[0].windows
    assert await ledger.session(SESSION) is None


async def test_what_was_observed_without_a_run_is_kept_like_what_runs_tell(ledger: Ledger) -> None:
    older, newer = seen(NOW, five_hour=0.5, seven_day=0.1), seen(NOW + TICK, five_hour=0.6)

    await ledger.observe((newer,))
    await ledger.observe((older,))

    recovery = await ledger.recover(NOW)
    assert recovery.windows == {
        "five_hour": newer.windows["five_hour"],
        "seven_day": older.windows["seven_day"],
    }
    assert [each.observed_at for each in (await ledger.limits(limit=9)).items] == [NOW + TICK, NOW]


async def test_a_settlement_with_a_known_record_keeps_the_rest_and_counts_nothing_twice(
    ledger: Ledger,
) -> None:
    await ledger.begin(row())
    await ledger.record(record("use_1"))

    settlement = Settlement(
        row=ended(row()), record=record("use_1"), standing=Standing(consecutive_failures=2)
    )

    assert await ledger.settle(settlement)
    recovery = await ledger.recover(NOW)
    assert recovery.totals == LifetimeTotal(executions=1, records=1, usage=record().usage)
    assert recovery.standing == Standing(consecutive_failures=2)
    assert (await ledger.blocks(limit=1)).items[0].records == 1


async def test_a_record_whose_id_is_known_is_refused_whatever_it_says(ledger: Ledger) -> None:
    assert await ledger.record(record("use_1", 30))
    assert not await ledger.record(record("use_1", 99, at=NOW + timedelta(days=1)))

    assert (await ledger.usage(limit=9)).items == (record("use_1", 30),)
    assert [total.usage for total in (await ledger.blocks(limit=9)).items] == [record().usage]


async def test_what_is_found_of_an_execution_after_its_end_is_in_its_outcome_once(
    engine: Engine,
) -> None:
    """Also of one that an earlier release kept with its request inside of the document."""
    await engine.make_earlier([ended(row("exec_old"), SECRET)])
    ledger = await engine.stores.open_ledger("sub1")
    await ledger.begin(row("exec_1"))
    await ledger.settle(Settlement(row=ended(row("exec_1"), SECRET)))
    found = record().model_copy(
        update={"id": "exec_1:correction", "execution_id": "exec_1", "usage": SECRET.usage}
    )
    of_old = found.model_copy(update={"id": "exec_old:correction", "execution_id": "exec_old"})
    of_nobody = found.model_copy(update={"id": "exec_2:correction", "execution_id": "exec_2"})

    added = [await ledger.record(each) for each in (found, found, of_old, of_nobody)]

    rows = [await ledger.execution(name) for name in ("exec_1", "exec_old")]
    twice = SECRET.model_copy(update={"usage": SECRET.usage + SECRET.usage})
    assert added == [True, False, True, True]
    assert rows == [ended(row(name), twice) for name in ("exec_1", "exec_old")]
    await ledger.remove_content(NOW + HOUR, NOW)
    assert [each.execution_id for each in (await ledger.usage(limit=9)).items]
    await ledger.close()


async def test_an_execution_is_found_by_the_calls_of_its_callers_tools(ledger: Ledger) -> None:
    """By its tenant alone, from the commit of its round on, until it is removed."""
    known = row()
    known = known.model_copy(update={"intent": known.intent.model_copy(update={"tenant": "red"})})
    calls = tuple(ToolCall(id=f"toolu_{n}", name="weather", input={}) for n in (1, 2))
    made = KeptRound(number=0, tool_calls=calls, cursor="0-10", ended_at=NOW)
    waiting = {"status": ExecutionStatus.WAITING_FOR_CALLER, "rounds": (made,)}
    await ledger.begin(known)

    before = await ledger.execution_of_call("toolu_1")
    for _ in range(2):
        await ledger.update(known.model_copy(update=waiting))
    found = [await ledger.execution_of_call("toolu_2", each) for each in (None, "red", "blue")]
    open_rows = (await ledger.recover(NOW - HOUR)).open
    ended = {"status": ExecutionStatus.FAILED, "finished_at": NOW, "rounds": (made,)}
    await ledger.settle(Settlement(row=known.model_copy(update=ended)))
    after = await ledger.execution_of_call("toolu_1")
    await ledger.expire(NOW + HOUR)
    removed = await ledger.execution_of_call("toolu_1")

    assert (before, found, after, removed) == (None, ["exec_1", "exec_1", None], "exec_1", None)
    assert [each.rounds for each in open_rows] == [(made,)]

"""What every ledger does, whatever it is kept in."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any

import pytest
from engines import Engine
from fuzz import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pool.errors import Conflict, Fenced, InvalidRequest, NotFound, StoreBusy, StoreError
from pool.executions.attempt import Attempt
from pool.executions.content.image import MAX_IMAGE_BYTES, Image
from pool.executions.intent import Intent
from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Candidate, Routing
from pool.executions.row import ExecutionRow
from pool.executions.session import SessionTotal
from pool.executions.status import ExecutionStatus, final_status
from pool.executions.tools.client_tools import ToolCall
from pool.executions.tools.permissions import AgentSettings
from pool.executions.tools.tool_rounds import KeptRound
from pool.limits.windows import RateLimitEvent, Window, newest
from pool.storage.ledger.ledger import Ledger
from pool.storage.stores import Stores
from pool.subscriptions.settlement import Settlement
from pool.subscriptions.standing import Cooldown, Standing
from pool.usage.blocks import block_at
from pool.usage.records import ModelUsage, Usage, UsageRecord, UsageSource
from pool.usage.totals import LifetimeTotal, total_usage

NOW = datetime(2026, 1, 28, 16, 30, 0, 123457, tzinfo=UTC)
SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
OTHER_SESSION = "0b6f1c9e-8f35-4b0e-8b4b-0d5c2f6a7e11"
TICK, HOUR = timedelta(microseconds=1), timedelta(hours=1)


def row(
    name: str = "exec_1", *, session_id: str = SESSION, created_at: datetime = NOW
) -> ExecutionRow:
    intent = Intent(
        execution_id=name,
        request=ExecutionRequest(
            prompt="Sag \u201eja\u201c \U0001f600",
            max_budget_usd=Decimal("0.123456789"),
            json_schema={"type": "object"},
            metadata={"team": "\u00fc"},
        ),
        session_id=session_id,
        resumes=False,
        model="claude-sonnet-4-5",
        timeout_seconds=600.5,
        reserved_nano_usd=1,
        routing=Routing(
            score=99.5,
            reason="most headroom",
            candidates=(Candidate(subscription_id="sub1", score=99.5, report_age_seconds=0.1),),
        ),
        created_at=created_at,
        earlier_attempts=(
            Attempt(subscription_id="sub2", outcome="usage_limit", cost_usd=Decimal("0.000000001")),
        ),
    )
    return ExecutionRow(intent=intent, status=ExecutionStatus.QUEUED)


def running(name: str = "exec_1") -> ExecutionRow:
    change = {"status": ExecutionStatus.RUNNING, "started_at": NOW + TICK}
    return row(name).model_copy(update=change)


def ended(
    begun: ExecutionRow, outcome: Outcome | None = None, *, finished_at: datetime = NOW + 5 * TICK
) -> ExecutionRow:
    outcome = outcome or Completed(result="ja", structured_output={"a": [1, 2.5, None, "\u2603"]})
    change = {"status": final_status(outcome), "finished_at": finished_at, "outcome": outcome}
    return begun.model_copy(update=change)


def record(
    name: str = "use_1",
    nano_usd: int = 30,
    *,
    at: datetime = NOW,
    source: UsageSource = UsageSource.CLI,
) -> UsageRecord:
    usage = Usage(models={"claude-sonnet-4-5": ModelUsage(output_tokens=7, cost_nano_usd=nano_usd)})
    return UsageRecord(id=name, subscription_id="sub1", timestamp=at, source=source, usage=usage)


def seen(at: datetime, **utilizations: float) -> RateLimitEvent:
    windows = {
        name: Window(status="allowed", observed_at=at, utilization=utilization)
        for name, utilization in utilizations.items()
    }
    return RateLimitEvent(observed_at=at, status="allowed", windows=windows, raw={"n": [1, 0.1]})


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


def with_image(size: int) -> ExecutionRow:
    """An execution that shows the model an image which nothing can make smaller."""
    data = b"\xff\xd8\xff" + Random(size).randbytes(size - 3)
    image = Image(data=b64encode(data).decode(), media_type="image/jpeg")
    request = ExecutionRequest(prompt="q", images=(image,))
    change = {"intent": row().intent.model_copy(update={"request": request})}
    return running().model_copy(update=change)


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


SECRET = Completed(
    result="a secret answer",
    structured_output={"secret": 1},
    stop_reason="end_turn",
    usage=record().usage,
    num_turns=1,
)


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


@settings(max_examples=examples(25, 500), suppress_health_check=list(HealthCheck))
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

"""What a removed subscription did can still be read, at once, and under its key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors.client import patience
from actors.router.ledgers.archive import SOON_SECONDS
from pool.claude.process.process_runner import ProcessRunner
from pool.errors import ActorLost, NotFound, SessionGone
from pool.executions.execution import Execution
from pool.executions.progress import Ended
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.subscriptions.report import SubscriptionState
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import completed, spec
from tests.support.values.manual_clock import ManualClock

OpenPool = Callable[..., Awaitable[LocalPool]]


def ask(**of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "q", **of})


REQUEST = ask(subscription_id="gone")


@pytest.fixture
async def removed(local_pool: LocalPool) -> Execution:
    """An execution of a subscription that was added, used and removed."""
    await local_pool.client.add(spec("gone"))
    execution = await local_pool.client.execute(REQUEST, idempotency_key="k")
    await local_pool.client.remove("gone")
    return execution


async def test_it_is_read_at_once_from_its_store(local_pool: LocalPool, removed: Execution) -> None:
    began = time.monotonic()

    found = await local_pool.client.result(removed.id, wait_seconds=30)
    cancelled = await local_pool.client.cancel(removed.id)
    (event,) = [each async for each in local_pool.client.events(removed.id)]
    page = await local_pool.client.progress(removed.id)

    assert (found.status, found.result, found.usage) == (
        ExecutionStatus.SUCCEEDED,
        removed.result,
        removed.usage,
    )
    assert cancelled == found
    assert event.progress == Ended(execution=found)
    assert page.is_end
    assert time.monotonic() - began < 5


async def test_the_same_key_is_answered_with_it(
    local_pool: LocalPool, removed: Execution, runner: FakeRunner
) -> None:
    again = await local_pool.client.execute(REQUEST, idempotency_key="k")

    assert (again.id, again.result) == (removed.id, removed.result)
    assert len(runner.runs) == 1


async def test_many_who_read_at_once_take_turns(local_pool: LocalPool, removed: Execution) -> None:
    found = await asyncio.gather(*(local_pool.client.result(removed.id) for _ in range(10)))

    assert {each.id for each in found} == {removed.id}


async def test_one_that_is_put_back_has_its_executions_again(
    local_pool: LocalPool, removed: Execution
) -> None:
    reading = asyncio.create_task(local_pool.client.result(removed.id))
    await local_pool.client.add(spec("gone"))

    assert (await reading).id == (await local_pool.client.result(removed.id)).id
    assert "gone" in {each.id for each in await local_pool.client.subscriptions()}


async def test_what_nobody_knows_is_not_known(local_pool: LocalPool, removed: Execution) -> None:
    with pytest.raises(NotFound):
        await local_pool.client.result("exec_nobodys")


async def test_what_ran_when_its_subscription_was_taken_out_of_the_file_is_ended_and_settled(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    first = await open_pool(spec("sub1"), spec("sub2"))
    runner.hold = True
    running = await first.client.start(ask(subscription_id="sub2"))
    await runner.wait_for_runs(1)
    await first.close()
    second = await open_pool(spec("sub1"))

    async with asyncio.timeout(5):
        ended = await second.client.result(running.id, wait_seconds=30)

    assert [each.id for each in await second.client.subscriptions()] == ["sub1"]
    assert (ended.status, ended.usage.cost_usd) == (ExecutionStatus.INTERRUPTED, Decimal("0.0001"))
    assert ended.error is not None
    assert ended.error.message == "interrupted: its subscription was removed from the pool"
    await second.close()
    third = await open_pool(spec("sub1"), spec("sub2"))
    assert await third.client.result(running.id) == ended
    report = await third.client.subscription("sub2")
    assert (report.weekly.used_usd, report.running) == (Decimal("0.0001"), 0)
    assert report.state is SubscriptionState.AVAILABLE


async def test_what_waited_there_goes_on_elsewhere_unless_it_may_not(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    first = await open_pool(spec("sub2", max_concurrent=1))
    runner.hold = True
    waiting = [await first.client.start(ask(prompt=str(n))) for n in range(2)][1]
    bound = await first.client.start(ask(subscription_id="sub2"))
    await first.close()
    runner.hold = False
    second = await open_pool(spec("sub1"))

    async with asyncio.timeout(5):
        moved = await second.client.result(waiting.id, wait_seconds=30)
        ended = await second.client.result(bound.id, wait_seconds=30)

    assert (moved.subscription_id, moved.status) == ("sub1", ExecutionStatus.SUCCEEDED)
    assert (ended.status, ended.usage.cost_usd) == (ExecutionStatus.INTERRUPTED, 0)
    assert ended.error is not None
    assert "removed from the pool before it was started" in ended.error.message


async def test_one_that_is_put_back_while_it_retires_begins_anew(
    open_pool: OpenPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.router.retirements.AT_ONCE_SECONDS", 0.2)
    pool = await open_pool(spec("sub1"), spec("sub2"))
    runner.hold = True
    running = await pool.client.start(ask(subscription_id="sub2"))
    (run,) = await runner.wait_for_runs(1)
    monkeypatch.setattr(run, "stop", lambda: asyncio.sleep(0))

    await pool.router.declare([spec("sub1")])
    meanwhile = await pool.client.subscription("sub2")
    await pool.router.declare([spec("sub1"), spec("sub2")])
    run.end()

    assert meanwhile.state_reason == "it was removed from the pool"
    assert (await pool.client.result(running.id, wait_seconds=30)).result == "yes"
    assert (await pool.client.subscription("sub2")).state is SubscriptionState.AVAILABLE


async def test_one_that_cannot_come_up_is_forgotten_all_the_same(
    open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.router.retirements.LONGEST_SECONDS", 0.3)
    pool = await open_pool(spec("sub1"), spec("sub2"))

    async def dies(*_: object, **__: object) -> int:
        raise ActorLost("sub2", "it died")

    monkeypatch.setattr(pool.actors.subscriptions["sub2"], "retire", dies)

    await pool.router.declare([spec("sub1")])

    assert [each.id for each in await pool.client.subscriptions()] == ["sub1"]


async def test_one_that_was_removed_and_added_again_takes_work(local_pool: LocalPool) -> None:
    await local_pool.client.add(spec("gone"))
    await local_pool.client.remove("gone")

    report = await local_pool.client.add(spec("gone"))

    assert report.state is SubscriptionState.AVAILABLE
    assert (await local_pool.client.execute(REQUEST)).subscription_id == "gone"


async def test_lists_have_the_executions_of_removed_ones_in_their_place(
    local_pool: LocalPool, clock: ManualClock
) -> None:
    made: list[str] = []
    for turn, id_ in enumerate(["a", "sub1", "b", "a", "b", "sub2", "c"]):
        clock.advance(timedelta(seconds=1))
        if id_ not in {each.id for each in await local_pool.client.subscriptions()}:
            await local_pool.client.add(spec(id_))
        ended = await local_pool.client.execute(ask(prompt=str(turn), subscription_id=id_))
        made.insert(0, ended.id)
    for id_ in ("a", "b", "c"):
        await local_pool.client.remove(id_)

    for limit in (1, 2, 3, 7, 50):
        listed, cursor, pages = [], None, 0
        while True:
            page = await local_pool.client.executions(limit=limit, cursor=cursor)
            listed += [each.id for each in page.items]
            cursor, pages = page.next_cursor, pages + 1
            assert len(page.items) <= limit
            if cursor is None:
                break
        assert (limit, listed) == (limit, made)
    of_one = await local_pool.client.executions(subscription_id="a")
    assert [each.id for each in of_one.items] == [made[3], made[6]]
    failed = await local_pool.client.executions(status=ExecutionStatus.FAILED)
    assert failed.items == ()
    with pytest.raises(NotFound):
        await local_pool.client.executions(subscription_id="nobody")


async def test_a_page_opens_no_ledger_that_it_does_not_need(
    local_pool: LocalPool, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for id_ in ("old", "new"):
        clock.advance(timedelta(hours=1))
        await local_pool.client.add(spec(id_))
        for turn in range(3):
            await local_pool.client.execute(ask(prompt=str(turn), subscription_id=id_))
        await local_pool.client.remove(id_)
    await local_pool.router._archive.clean()
    opened: list[str] = []
    open_removed = local_pool.stores.open_removed

    async def noted(id_: str, **named: Any) -> Any:
        opened.append(id_)
        return await open_removed(id_, **named)

    monkeypatch.setattr(local_pool.stores, "open_removed", noted)

    page = await local_pool.client.executions(limit=2)

    assert [each.subscription_id for each in page.items] == ["new", "new"]
    assert opened == ["new"]


async def test_what_ran_since_it_was_put_back_is_listed_when_it_is_removed_again(
    local_pool: LocalPool, removed: Execution, clock: ManualClock
) -> None:
    made = [removed.id]
    for id_ in ("another", "gone"):
        await local_pool.client.executions()
        clock.advance(timedelta(seconds=1))
        await local_pool.client.add(spec(id_))
        ran = await local_pool.client.execute(ask(prompt=id_, subscription_id=id_))
        made.insert(0, ran.id)
        await local_pool.client.remove(id_)

    first = await local_pool.client.executions(limit=1)
    rest = await local_pool.client.executions(cursor=first.next_cursor)

    assert [each.id for each in (*first.items, *rest.items)] == made


async def test_a_session_of_it_is_told_as_gone_at_once(
    local_pool: LocalPool, removed: Execution
) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(SessionGone, match="'gone' that it lives on was removed"):
            await local_pool.client.execute(ask(session_id=removed.session_id))


async def test_one_that_never_began_there_goes_elsewhere_under_its_key(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place was noted, and nobody was asked before the subscription was removed."""
    await local_pool.client.add(spec("gone"))
    gone = local_pool.actors.subscriptions["gone"]

    async def dies(*_: object, **__: object) -> None:
        raise ActorLost("gone", "it died")

    monkeypatch.setattr(gone, "start", dies)
    monkeypatch.setattr(patience, "LOST_SECONDS", -1)
    for id_ in ("sub1", "sub2", "sub3"):
        await local_pool.client.pause(id_)
    with pytest.raises(ActorLost):
        await local_pool.client.execute(ask(), idempotency_key="k")
    await local_pool.client.remove("gone")
    await local_pool.client.resume("sub2")

    execution = await local_pool.client.execute(ask(), idempotency_key="k")

    assert (execution.subscription_id, execution.status) == ("sub2", ExecutionStatus.SUCCEEDED)


# -- what is kept of it, and how long ------------------------------------------------------------


def holders(folder: Path, text: str) -> set[str]:
    """The names of the files below a folder that hold a text."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name for path in files if text.encode() in path.read_bytes()}


SECRET = "XYLOPHONE"


async def removed_with_a_secret(pool: LocalPool, runner: FakeRunner) -> Execution:
    await pool.client.add(spec("gone"))
    runner.script = [completed(f"{SECRET} answered")]
    execution = await pool.client.execute(ask(prompt=SECRET, subscription_id="gone"))
    await pool.client.remove("gone")
    return execution


async def test_what_was_asked_and_answered_there_is_kept_no_longer_than_elsewhere(
    local_pool: LocalPool, runner: FakeRunner, clock: ManualClock, tmp_path: Path
) -> None:
    asked = await removed_with_a_secret(local_pool, runner)
    clock.advance(timedelta(days=1))
    await local_pool.router._archive.clean()
    before = await local_pool.client.result(asked.id)
    clock.advance(timedelta(seconds=1))

    pauses = [await local_pool.router._archive.clean() for _ in range(2)]

    found = await local_pool.client.result(asked.id)
    assert before.result == f"{SECRET} answered"
    assert (found.result, found.content_removed_at) == (None, clock.now)
    assert (found.status, found.usage) == (asked.status, asked.usage)
    assert holders(tmp_path, SECRET) == set()
    assert pauses == [None, None]


async def test_its_rows_are_kept_no_longer_than_elsewhere(
    local_pool: LocalPool, removed: Execution, clock: ManualClock
) -> None:
    clock.advance(timedelta(days=35, seconds=1))

    await local_pool.router._archive.clean()

    ledger = await local_pool.stores.open_removed("gone")
    assert (await ledger.executions(limit=9)).items == ()
    assert (await ledger.usage(limit=9)).items == ()
    assert len((await ledger.blocks(limit=9)).items) == 1
    await ledger.close()


async def test_those_that_live_are_left_to_themselves(
    local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("somebody owns it")

    monkeypatch.setattr(type(local_pool.stores), "open_removed", refuse)

    assert await local_pool.router._archive.clean() is None
    assert len(await local_pool.stores.ledgers()) == 3


async def test_one_that_cannot_be_opened_holds_up_no_other(
    local_pool: LocalPool, runner: FakeRunner, clock: ManualClock, tmp_path: Path
) -> None:
    broken = tmp_path / "subscriptions" / "broken"
    broken.mkdir()
    (broken / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    await removed_with_a_secret(local_pool, runner)
    clock.advance(timedelta(days=2))

    await local_pool.router._archive.clean()

    assert holders(tmp_path, SECRET) == set()


async def test_one_that_takes_long_is_let_go_and_gone_on_with_soon(
    local_pool: LocalPool,
    runner: FakeRunner,
    clock: ManualClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await removed_with_a_secret(local_pool, runner)
    clock.advance(timedelta(days=2))
    monkeypatch.setattr("actors.router.ledgers.archive.HOLD_SECONDS", 0.0)

    pause = await local_pool.router._archive.clean()
    monkeypatch.undo()
    there = holders(tmp_path, SECRET)
    again = await local_pool.router._archive.clean()

    assert (pause, again) == (SOON_SECONDS, None)
    assert there
    assert holders(tmp_path, SECRET) == set()


async def test_what_its_runs_left_on_disk_goes_with_it(
    open_at: OpenPool, runner: FakeRunner, clock: ManualClock, tmp_path: Path
) -> None:
    """The directories as runs leave them: kept for who watched, not looked after, still open."""
    pool = await open_at(tmp_path, spec("sub1"))
    asked = await removed_with_a_secret(pool, runner)
    runs = tmp_path / "runs"
    for name in ("kept", asked.id, "exec_of_nobody"):
        (runs / name).mkdir(parents=True)
        (runs / name / "stdout").write_text(SECRET)
    (runs / "kept" / "kept").touch()
    made = ProcessRunner(_no_executable, runs)
    pool.router._archive._runner_of = lambda _: made
    clock.now = datetime.now(UTC)

    await pool.router._archive.clean()
    first = {each.name for each in runs.iterdir()}
    clock.advance(timedelta(days=1, seconds=1))
    await pool.router._archive.clean()

    assert first == {"kept"}  # its execution ended long ago by this clock
    assert list(runs.iterdir()) == []


async def _no_executable() -> Path:
    raise AssertionError("nothing is run")

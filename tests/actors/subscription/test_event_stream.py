from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from actors.client.blocking import BlockingPoolClient
from actors.subscription.event_stream import IDLE_SECONDS, LOOK_SECONDS, LOOKS_AT_ONCE, _Growth
from pool.claude.launch.launch_spec import Launch
from pool.claude.output.tail import Piece
from pool.errors import InvalidRequest, NotFound
from pool.executions.outcome import Failed, FailureKind
from pool.executions.progress import (
    AttemptBegan,
    AttemptFailed,
    Ended,
    Event,
    ProgressPage,
    RawMessage,
    Text,
)
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from tests.support.clis.fake_runner import FakeRun, FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import completed, spec

OpenPool = Callable[..., Awaitable[LocalPool]]


def ask(prompt: str = "q", **of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": prompt} | of)


@pytest.fixture
async def pool(open_pool: OpenPool) -> LocalPool:
    """One subscription with one slot, whose runs stay open until they are ended."""
    pool = await open_pool(spec("sub1", max_concurrent=1))
    pool.runner.hold = True
    return pool


async def begun(pool: LocalPool, **of: Any) -> FakeRun:
    before = len(pool.runner.runs)
    await pool.client.start(ask(**{"stream": True, **of}))
    return (await pool.runner.wait_for_runs(before + 1))[-1]


async def page_of(
    pool: LocalPool, run: FakeRun, after: str | None = None, wait: float = 5, *, raw: bool = False
) -> ProgressPage:
    return await pool.actors.subscription("sub1").progress(run.run_id, after, wait, raw=raw)


async def all_of(events: AsyncIterator[Event]) -> list[Event]:
    async with asyncio.timeout(10):
        return [each async for each in events]


def text_of(events: list[Event]) -> str:
    return "".join(each.progress.text for each in events if isinstance(each.progress, Text))


def kinds(events: Any) -> list[str]:
    return [each.progress.type for each in events]


async def test_pieces_are_shown_as_they_are_printed_and_the_end_comes_last(
    pool: LocalPool,
) -> None:
    events = pool.client.stream(ask())
    first = await anext(events)
    (run,) = pool.runner.runs

    seen = [first]
    for word in ("one ", "two ", "three"):
        run.says(word)
        seen.append(await anext(events))
    run.end(completed("one two three"))
    seen += await all_of(events)

    assert kinds(seen) == ["attempt", "text", "text", "text", "result"]
    assert isinstance(first.progress, AttemptBegan)
    assert (first.progress.number, first.progress.subscription_id) == (0, "sub1")
    last = seen[-1].progress
    assert isinstance(last, Ended)
    assert last.execution == await pool.client.result(run.run_id)
    assert text_of(seen) == last.execution.result


async def test_a_page_waits_for_the_next_piece_and_no_longer(pool: LocalPool) -> None:
    run = await begun(pool)
    first = await page_of(pool, run)

    waiting = asyncio.create_task(page_of(pool, run, first.cursor, 20))
    await asyncio.sleep(3 * LOOK_SECONDS)
    assert not waiting.done()
    run.says("now")
    began = time.monotonic()
    page = await waiting

    assert text_of(list(page.events)) == "now"
    assert time.monotonic() - began < 0.5


async def test_a_page_without_news_is_empty_after_the_wait(pool: LocalPool) -> None:
    run = await begun(pool)
    first = await page_of(pool, run)

    page = await page_of(pool, run, first.cursor, 0.05)

    assert page == ProgressPage(events=(), cursor=first.cursor)


async def test_the_first_words_are_there_at_once_though_something_was_printed_just_before(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.event_stream.LOOK_SECONDS", 60.0)
    run = await begun(pool)
    cursor, seen = (await page_of(pool, run)).cursor, list[Event]()

    async def reading() -> None:
        nonlocal cursor
        while not text_of(seen):
            page = await page_of(pool, run, cursor, 20)
            cursor, seen[:] = page.cursor, (*seen, *page.events)

    task = asyncio.create_task(reading())
    for number in range(4):
        run.prints({"type": "system", "subtype": "status", "uuid": str(number)})
        await asyncio.sleep(0.01)
    run.says("first")

    await asyncio.wait_for(task, 5)


async def test_pieces_that_come_faster_than_they_are_looked_at_come_together(
    pool: LocalPool,
) -> None:
    run = await begun(pool)
    cursor = (await page_of(pool, run)).cursor
    pages = 0

    async def printing() -> None:
        for _ in range(200):
            run.says("x")
            await asyncio.sleep(0.002)
        run.end(completed("x" * 200))

    began = time.monotonic()
    task = asyncio.create_task(printing())
    text = ""
    while True:
        page = await page_of(pool, run, cursor)
        pages, cursor, text = pages + 1, page.cursor, text + text_of(list(page.events))
        if page.is_end:
            break
    await task

    assert text == "x" * 200
    assert pages < 100
    assert pages <= LOOKS_AT_ONCE + (time.monotonic() - began) / LOOK_SECONDS + 2


def counted(pool: LocalPool, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every look at how much a run has printed."""
    looks = list[int]()
    printed = pool.runner.printed

    def noted(run_id: str, offset: int, limit: int) -> Piece | None:
        if limit == 0:
            looks.append(offset)
        return printed(run_id, offset, limit)

    monkeypatch.setattr(pool.runner, "printed", noted)
    return looks


async def test_many_readers_of_a_run_that_prints_nothing_hardly_look_at_it(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await begun(pool)
    looks = counted(pool, monkeypatch)
    readers = [asyncio.create_task(all_of(pool.client.events(run.run_id))) for _ in range(50)]
    await asyncio.sleep(0.3)
    before, began = len(looks), time.monotonic()
    await asyncio.sleep(0.5)
    waiting, seconds = len(looks) - before, time.monotonic() - began
    run.says("for all")
    run.end(completed("for all"))
    seen = await asyncio.gather(*readers)

    assert {text_of(each) for each in seen} == {"for all"}
    assert all(each == seen[0] for each in seen)
    assert waiting <= seconds / IDLE_SECONDS + 1


async def test_nobody_looks_when_nobody_reads(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.event_stream.IDLE_SECONDS", 0.05)
    run = await begun(pool)
    looks = counted(pool, monkeypatch)
    await page_of(pool, run)
    await asyncio.sleep(0.2)

    before = len(looks)
    await asyncio.sleep(4 * LOOK_SECONDS)

    assert len(looks) == before > 0


@pytest.mark.parametrize("raw", [False, True])
async def test_every_cursor_leads_to_exactly_the_rest_while_it_runs_and_afterwards(
    pool: LocalPool, raw: bool
) -> None:
    run = await begun(pool)
    run.says("one ", "two ", "three")
    running = [*(await page_of(pool, run, raw=raw)).events]
    for number, each in enumerate(running, 1):
        page = await page_of(pool, run, each.cursor, 0, raw=raw)
        assert [*page.events] == running[number:]

    run.end(completed("one two three"))
    ended = await all_of(pool.client.events(run.run_id, raw=raw))

    assert ended[: len(running)] == running
    for number, each in enumerate(ended, 1):
        rest = await all_of(pool.client.events(run.run_id, after=each.cursor, raw=raw))
        assert rest == ended[number:]
    assert any(isinstance(each.progress, RawMessage) for each in ended) == raw


async def test_a_run_that_has_ended_before_the_first_look_is_looked_at_all_the_same(
    pool: LocalPool,
) -> None:
    run = await begun(pool)
    run.says("all of it")
    ended = asyncio.Event()
    ended.set()
    growth = _Growth(pool.runner, run.run_id, ended)

    await asyncio.gather(growth.follow(), growth.looked())

    assert growth.size > 0
    run.end(completed("all of it"))


async def test_the_next_activation_goes_on_at_the_cursor(pool: LocalPool) -> None:
    run = await begun(pool)
    run.says("before ")
    before = await page_of(pool, run)

    await pool.restart("sub1")
    run.says("after")
    run.end(completed("before after"))
    rest = await all_of(pool.client.events(run.run_id, after=before.events[-1].cursor))

    assert kinds(rest) == ["text", "result"]
    assert text_of([*before.events, *rest]) == "before after"


async def test_a_stream_goes_on_while_its_owner_is_away(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.subscription.event_stream.LONGEST_POLL_SECONDS", 0.05)
    events = pool.client.stream(ask())
    seen = [await anext(events)]
    (run,) = pool.runner.runs
    rest = asyncio.create_task(all_of(events))
    registered = await pool.router.registrations()

    await pool.actors.deactivate("sub1")
    await asyncio.sleep(0.1)  # for the call that was on its way
    run.says("while ", "away")
    run.end(completed("while away"))
    await asyncio.sleep(0.2)
    assert not rest.done()
    await pool.actors.activate(registered[0].spec)
    seen += await rest

    assert kinds(seen) == ["attempt", "text", "text", "result"]


async def test_the_end_is_told_after_it_is_durable_and_not_before(
    pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await begun(pool)
    run.says("done")
    cursor = (await page_of(pool, run)).cursor
    ledger = pool.actors.subscription("sub1")._context.ledger
    settle, may_settle = ledger.settle, asyncio.Event()

    async def slowly(end: Any) -> bool:
        await may_settle.wait()
        return await settle(end)

    monkeypatch.setattr(ledger, "settle", slowly)
    run.end(completed("done"))
    page = await page_of(pool, run, cursor, 0.3)
    assert not page.is_end
    may_settle.set()
    page = await page_of(pool, run, page.cursor)

    assert kinds(page.events) == ["result"]
    assert page.is_end


async def test_one_that_waits_for_a_slot_is_shown_once_it_runs(pool: LocalPool) -> None:
    first = await begun(pool)
    waiting = asyncio.create_task(all_of(pool.client.stream(ask("second"))))
    await asyncio.sleep(0.1)
    assert not waiting.done()

    first.end()
    second = (await pool.runner.wait_for_runs(2))[1]
    second.says("here")
    second.end(completed("here"))

    assert kinds(await waiting) == ["attempt", "text", "result"]


async def test_one_that_was_cancelled_in_the_queue_ends_without_an_attempt(
    pool: LocalPool,
) -> None:
    await begun(pool)
    queued = await pool.client.start(ask("second", stream=True))
    reading = asyncio.create_task(all_of(pool.client.events(queued.id)))
    await asyncio.sleep(0.05)

    await pool.client.cancel(queued.id)
    (event,) = await reading

    assert isinstance(event.progress, Ended)
    assert event.progress.execution.status is ExecutionStatus.CANCELLED


async def test_a_run_that_failed_says_so_at_its_end(pool: LocalPool) -> None:
    run = await begun(pool)
    run.says("half")
    run.end(Failed(kind=FailureKind.TIMEOUT, message="too slow"))

    *_, text, last = await all_of(pool.client.events(run.run_id))

    assert text.progress == Text(text="half")
    assert isinstance(last.progress, Ended)
    assert last.progress.execution.error is not None
    assert last.progress.execution.error.type == "timeout"


# -- going on elsewhere ------------------------------------------------------------------------


class OwnRuns:
    """The shared runner as one subscription sees it: an id may have run at another subscription
    before."""

    def __init__(self, runner: FakeRunner) -> None:
        self._runner = runner
        self._runs: list[FakeRun] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    async def start(self, launch: Launch, environment: Mapping[str, str]) -> FakeRun:
        run = await self._runner.start(launch, environment)
        self._runs.append(run)
        return run

    def printed(self, run_id: str, offset: int, limit: int) -> Piece | None:
        return FakeRunner(runs=self._runs).printed(run_id, offset, limit)


async def test_a_reader_follows_an_execution_to_its_next_subscription(
    open_pool: OpenPool,
) -> None:
    pool = await open_pool(spec("sub1"), spec("sub2"))
    pool.runner.hold = True
    for id_ in ("sub1", "sub2"):
        life = pool.actors.subscription(id_)._context
        life.deps = replace(life.deps, runner=OwnRuns(pool.runner))
    reading = asyncio.create_task(all_of(pool.client.stream(ask())))
    (first,) = await pool.runner.wait_for_runs(1)
    first.end(Failed(kind=FailureKind.USAGE_LIMIT, message="the limit was hit"))
    _, second = await pool.runner.wait_for_runs(2)
    second.says("here ", "now")
    second.end(completed("here now"))

    events = await reading

    assert kinds(events) == ["attempt", "attempt_failed", "attempt", "text", "text", "result"]
    began, failed, again, *_ = [each.progress for each in events]
    assert isinstance(began, AttemptBegan)
    assert isinstance(failed, AttemptFailed)
    assert isinstance(again, AttemptBegan)
    assert (began.number, again.number) == (0, 1)
    assert began.subscription_id == failed.attempt.subscription_id != again.subscription_id
    for number, each in enumerate(events, 1):
        rest = await all_of(pool.client.events(second.run_id, after=each.cursor))
        assert rest == events[number:]
    assert await all_of(pool.client.events(second.run_id)) == events[1:]


# -- what is kept --------------------------------------------------------------------------------


async def test_what_nobody_watched_is_told_from_the_ledger_after_the_end(pool: LocalPool) -> None:
    run = await begun(pool, stream=False)
    run.says("one ", "two")
    run.end(completed("one two"))
    await pool.client.result(run.run_id, wait_seconds=5)

    events = await all_of(pool.client.events(run.run_id))

    assert run.discarded
    assert kinds(events) == ["attempt", "text", "result"]
    assert text_of(events) == "one two"
    for number, each in enumerate(events, 1):
        assert await all_of(pool.client.events(run.run_id, after=each.cursor)) == events[number:]
    assert kinds(await all_of(pool.client.events(run.run_id, after="0-200"))) == ["result"]


async def test_what_somebody_watches_is_kept_beyond_the_end(pool: LocalPool) -> None:
    run = await begun(pool, stream=False)
    await page_of(pool, run)

    run.end()
    await pool.client.result(run.run_id, wait_seconds=5)
    await asyncio.sleep(0)

    assert run.kept
    assert not run.discarded


# -- what is refused -----------------------------------------------------------------------------


async def test_an_unknown_execution_is_not_found(pool: LocalPool) -> None:
    with pytest.raises(NotFound):
        await pool.actors.subscription("sub1").progress("exec_unknown", None, 0)
    with pytest.raises(NotFound):
        await all_of(pool.client.events("exec_unknown"))


@pytest.mark.parametrize("after", ["what", "0-5", "0-99999", "1-0", "0-end"])
async def test_a_cursor_that_was_never_given_is_refused_by_its_name(
    pool: LocalPool, after: str
) -> None:
    run = await begun(pool)
    await page_of(pool, run)

    with pytest.raises(InvalidRequest) as caught:
        await page_of(pool, run, after, 0)

    assert caught.value.field == "after"


async def test_the_blocking_client_reads_events_as_they_come(pool: LocalPool) -> None:
    run = await begun(pool)
    run.says("one ", "two")
    run.end(completed("one two"))
    expected = await all_of(pool.client.events(run.run_id))

    class Relay:
        """The pool lives in this loop, and the blocking client in one of its own."""

        async def events(self, execution_id: str, **_: Any) -> AsyncIterator[Event]:
            for event in expected:
                yield event

    with BlockingPoolClient(Relay()) as client:  # type: ignore[arg-type]
        seen = await asyncio.to_thread(lambda: list(client.events(run.run_id)))
        (first,) = await asyncio.to_thread(lambda: [next(client.events(run.run_id))])

    assert seen == expected
    assert first == expected[0]

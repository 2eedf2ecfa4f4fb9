"""What one execution costs its subscription: commits and reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import apsw
import pytest
from localpool import FakeRunner, LocalPool, completed, spec

from actors.subscription.subscription import Subscription
from pool.executions.execution import Execution, ExecutionStatus
from pool.executions.progress import Ended
from pool.executions.request import ExecutionRequest

OpenPool = Callable[..., Awaitable[LocalPool]]
SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"


def ask(**of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "q"} | of)


# Commits and reads


class Counted:
    """What a ledger's connection is asked from here on."""

    def __init__(self) -> None:
        self.commits = 0
        self.statements: list[str] = []

    @classmethod
    async def of(cls, subscription: Subscription) -> Counted:
        """Once what an activation does at its beginning is over."""
        self, ledger = cls(), subscription._context.ledger
        await asyncio.sleep(0)
        commits: Any = ledger
        await commits._commits.read(self._watch)
        return self

    @property
    def reads(self) -> list[str]:
        """The statements that read, but for the fence's; since the last count."""
        reads = [each for each in self.statements if each.startswith("SELECT")]
        self.statements.clear()
        return [each for each in reads if "FROM owner" not in each]

    def _watch(self, db: apsw.Connection) -> None:
        def commit() -> bool:
            self.commits += 1
            return False

        def trace(_: Any, sql: str, __: Any) -> bool:
            lines = [line for line in sql.splitlines() if not line.startswith("--")]
            self.statements.append(" ".join(lines).strip())
            return True

        db.set_commit_hook(commit)
        db.set_exec_trace(trace)


@pytest.fixture
async def pool(open_pool: OpenPool, runner: FakeRunner) -> LocalPool:
    """One subscription with one slot, whose runs end when the test says so."""
    runner.hold = True
    return await open_pool(spec("sub1", max_concurrent=1))


async def waiting(pool: LocalPool, execution_id: str) -> asyncio.Task[Execution]:
    """A caller who waits for the end."""
    result = pool.actors.subscription("sub1").result(execution_id, 30)
    caller = asyncio.create_task(result)
    await asyncio.sleep(0)
    return caller


async def test_an_execution_that_is_waited_for_costs_two_commits_and_its_row_is_not_read_again(
    pool: LocalPool, runner: FakeRunner
) -> None:
    counted = await Counted.of(pool.actors.subscription("sub1"))

    started = await pool.client.start(ask())
    before_it_began = counted.reads
    caller = await waiting(pool, started.id)
    (await runner.wait_for_runs(1))[0].end()
    ended = await caller

    assert (ended.status, ended.result) == (ExecutionStatus.SUCCEEDED, "yes")
    assert counted.commits == 2
    assert ["FROM executions" in each for each in before_it_began] == [True]  # is the id known?
    assert counted.reads == []


async def test_an_execution_that_waits_in_the_queue_costs_one_commit_more(
    pool: LocalPool, runner: FakeRunner
) -> None:
    first = await pool.client.start(ask())
    run = (await runner.wait_for_runs(1))[0]
    counted = await Counted.of(pool.actors.subscription("sub1"))

    second = await pool.client.start(ask())
    callers = [await waiting(pool, each.id) for each in (first, second)]
    assert len(counted.reads) == 1
    run.end()
    (await runner.wait_for_runs(2))[1].end()
    await asyncio.gather(*callers)

    assert counted.commits == 1 + 3
    assert counted.reads == []


async def test_a_turn_of_a_known_session_reads_its_running_total(
    pool: LocalPool, runner: FakeRunner
) -> None:
    first = await pool.client.start(ask())
    (await runner.wait_for_runs(1))[0].end()
    await pool.client.result(first.id, wait_seconds=10)
    counted = await Counted.of(pool.actors.subscription("sub1"))

    again = await pool.client.start(ask(session_id=first.session_id))
    caller = await waiting(pool, again.id)
    (await runner.wait_for_runs(2))[1].end()
    await caller

    read = [each.partition("FROM ")[2].split()[0] for each in counted.reads]
    assert (counted.commits, read) == (2, ["executions", "sessions"])


async def test_who_cancels_is_answered_without_reading_the_row_again(
    pool: LocalPool, runner: FakeRunner
) -> None:
    started = await pool.client.start(ask())
    await runner.wait_for_runs(1)
    counted = await Counted.of(pool.actors.subscription("sub1"))

    ended = await pool.actors.subscription("sub1").cancel(started.id)

    assert ended.status == ExecutionStatus.CANCELLED
    assert (counted.commits, counted.reads) == (2, [])


async def test_who_reads_along_sees_the_end_without_reading_the_row_again(
    pool: LocalPool, runner: FakeRunner
) -> None:
    subscription = pool.actors.subscription("sub1")
    started = await pool.client.start(ask())
    run = (await runner.wait_for_runs(1))[0]
    seen = await subscription.progress(started.id, None, 30)
    counted = await Counted.of(subscription)
    reader = asyncio.create_task(subscription.progress(started.id, seen.cursor, 30))
    await asyncio.sleep(0)

    run.ending.set_result(completed("the end"))
    page = await reader

    assert isinstance(page.events[-1].progress, Ended)
    assert page.events[-1].progress.execution.result == "the end"
    assert counted.reads == []

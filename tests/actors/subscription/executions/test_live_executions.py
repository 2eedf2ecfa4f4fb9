"""What one execution costs its subscription: commits, reads, and no wait of the event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from actors.interfaces.messages import Started
from actors.runtime.factory.subscription import _dependencies
from actors.subscription.subscription import Subscription
from pool.claude.process.files.run_directory import RunDirectory
from pool.claude.process.process_runner import ProcessRunner
from pool.config import Config
from pool.executions.execution import Execution
from pool.executions.intent import Intent
from pool.executions.progress import Ended, Event
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.status import ExecutionStatus
from pool.storage.sqlite import SqliteStores
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.local_peers import LonelyPeers
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import NOON, completed, spec

OpenPool = Callable[..., Awaitable[LocalPool]]
SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
CLI = f"""#!/bin/sh
case "$1" in --version) echo "2.1.330 (Claude Code)"; exit 0;; esac
echo '{{"type":"system","subtype":"init","session_id":"{SESSION}"}}'
echo '{{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"fine",\
"total_cost_usd":0.0006,"modelUsage":{{"m":{{"inputTokens":100,"costUSD":0.0006}}}}}}'
"""


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
        await commits._database._commits.read(self._watch)
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


# The event loop


class Witness:
    """Sees calls of this thread that touch disk or processes, and so may block it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._thread: int | None = None
        sys.addaudithook(self._heard)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = None

    def saw(self, call: str, path: object) -> None:
        # What /proc shows comes from memory.
        if threading.get_ident() == self._thread and not str(path).startswith("/proc/"):
            self.calls.append(f"{call} {path}")

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" or event.startswith(("os.", "shutil.", "fcntl.", "subprocess.")):
            self.saw(event, arguments[0] if arguments else "")


@pytest.fixture(scope="module")
def only_witness() -> Witness:
    """An audit hook stays for good: there is one."""
    return Witness()


@pytest.fixture
def witness(only_witness: Witness, monkeypatch: pytest.MonkeyPatch) -> Witness:
    for name in ("stat", "lstat", "access"):
        original = getattr(os, name)

        def spied(
            path: Any, *args: Any, _name: str = name, _call: Any = original, **of: Any
        ) -> Any:
            only_witness.saw(f"os.{_name}", path)
            return _call(path, *args, **of)

        monkeypatch.setattr(os, name, spied)
    only_witness.calls.clear()
    return only_witness


async def no_models(*_: object) -> dict[str, str]:
    return {}


async def no_login(*_: object) -> None:
    return None


@pytest.fixture
async def subscription(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Subscription]:
    """As it is made for the pool, with a CLI that answers at once and is asked nothing beside."""
    monkeypatch.setattr(ProcessRunner, "models", no_models)
    monkeypatch.setattr(ProcessRunner, "login_expires_at", no_login)
    cli = tmp_path / "claude"
    cli.write_text(CLI, encoding="utf-8")
    cli.chmod(0o700)
    data, roots = tmp_path / "data", [str(tmp_path)]
    config = Config.model_validate(
        {
            "pool": {"data_dir": str(data)},
            "claude": {"path": str(cli)},
            "agents": {"roots": roots},
        }
    )
    home = data / "subscriptions" / "sub1"
    ledger = await SqliteStores(data).open_ledger("sub1")
    of_the_pool = _dependencies("sub1", config, home, LonelyPeers())
    made = await Subscription.activate(spec("sub1", credential=None), ledger, of_the_pool)
    yield made
    await made.close()


async def started(subscription: Subscription, number: int, request: ExecutionRequest) -> str:
    intent = Intent(
        execution_id=f"exec_{number:028}",
        request=request,
        session_id=f"634fbb1e-4256-459f-9794-{number:012}",
        resumes=False,
        model="m",
        timeout_seconds=60,
        reserved_nano_usd=0,
        routing=Routing(score=1, reason="the only one"),
        created_at=NOON,
        grant={"working_directories": ["/"]},
    )
    assert isinstance(await subscription.start(intent), Started)
    return intent.execution_id


async def executed(subscription: Subscription, number: int, request: ExecutionRequest) -> Execution:
    return await subscription.result(await started(subscription, number, request), 30)


async def followed(subscription: Subscription, number: int) -> list[Event]:
    id_, events, cursor = await started(subscription, number, ask(stream=True)), list[Event](), None
    while not events or not isinstance(events[-1].progress, Ended):
        page = await subscription.progress(id_, cursor, 30)
        events += page.events
        cursor = page.cursor
    return events


async def test_nothing_on_the_way_of_an_execution_waits_for_a_disk_on_the_event_loop(
    subscription: Subscription, witness: Witness, tmp_path: Path
) -> None:
    request = ask(agent={"working_directory": str(tmp_path)})
    await executed(subscription, 1, request)  # modules are loaded by the first one

    with witness.watching():
        ended = await executed(subscription, 2, request)

    assert ended.result == "fine"
    assert witness.calls == []


async def test_nor_does_reading_along(subscription: Subscription, witness: Witness) -> None:
    await followed(subscription, 1)

    with witness.watching():
        events = await followed(subscription, 2)

    assert isinstance(events[-1].progress, Ended)
    assert witness.calls == []


async def test_an_activation_that_ends_waits_until_what_a_run_left_is_removed(
    subscription: Subscription, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, may_go_on = RunDirectory.remove, threading.Event()

    def slowly(directory: RunDirectory) -> None:
        may_go_on.wait(10)
        remove(directory)

    monkeypatch.setattr(RunDirectory, "remove", slowly)
    await executed(subscription, 1, ask())

    closing = asyncio.create_task(subscription.close())
    closed_early, _ = await asyncio.wait([closing], timeout=0.2)
    may_go_on.set()
    await closing

    assert not closed_early
    assert list((tmp_path / "data" / "subscriptions" / "sub1" / "runs").iterdir()) == []


async def test_what_taking_a_slot_needs_of_the_disk_was_read_before_the_first_one_asks(
    subscription: Subscription, witness: Witness
) -> None:
    with witness.watching():
        await executed(subscription, 1, ask())

    assert [call for call in witness.calls if call.endswith("/place")] == []

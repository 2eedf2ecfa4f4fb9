# ruff: noqa: T201 - it answers on its standard output
"""A process that makes processes to be killed: it imports everything once, and forks a child a
job.

A child of an interpreter takes half a second to come up, a fork ten milliseconds; that is the
difference between three crash points and fifty. Run as a script it takes jobs, one JSON line
each, forks, names the child's pid, and tells how it ended. What a child tells its callers goes
to ``said`` in its folder, by one ``write`` a line, so that what was told is known after kill -9.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import apsw

from actors.interfaces.messages import CameLate
from actors.subscription.subscription import Subscription
from pool.claude.process import start
from pool.claude.process.files import run_directory
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.run_directory import RunDirectory
from pool.claude.process.idle import spares
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.process_runner import ProcessRunner
from pool.errors import StoreError
from pool.executions.execution import Execution
from pool.executions.process_way import ProcessWay
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.usage.records import ModelUsage, Usage, UsageRecord
from tests.support.chaos.one_subscription import (
    Home,
    activated,
    ask,
    ask_and_answer,
    eventually,
    full,
)
from tests.support.chaos.tally import injected
from tests.support.pools.localpool import NOON, SONNET
from tests.support.suite.paths import ROOT

MOST_COMMITS = 100
"""More than any run has."""


class Forge:
    """The forge, from the side of the tests."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._child: int | None = None

    @classmethod
    @contextmanager
    def lit(cls) -> Iterator[Forge]:
        with subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            forge = cls(process)
            forge._read()
            try:
                yield forge
            finally:
                assert process.stdin is not None
                forge._end_child()
                process.stdin.close()
                process.wait(30)

    def begin(self, home: Home, task: str, **how: Any) -> int:
        """Start a child, after the end of one that was left; its pid."""
        assert self._process.stdin is not None
        if self._child is not None:
            self._end_child()
            self.end()
        job = {"folder": str(home.folder), "way": home.way, "task": task, **how}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        self._child = self._read()
        return self._child

    def end(self) -> int:
        """Wait for the child's end; its exit code, or minus the signal that killed it."""
        status = self._read()
        self._child = None
        return os.waitstatus_to_exitcode(status)

    def _end_child(self) -> None:
        """End a child that a test has left, so that its failure is told and not waited for."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)

    def run(self, home: Home, task: str, **how: Any) -> int:
        self.begin(home, task, **how)
        return self.end()

    async def die_in_each_commit(
        self,
        homes: Path,
        when: str,
        check: Callable[[Home], Awaitable[None]],
        *,
        least: int,
        way: ProcessWay = ProcessWay.COLD,
        **how: Any,
    ) -> None:
        """Kill a subscription in its first commit, another in its second, and so on, and check what
        each has left, until one comes to its end with fewer commits. How many there are is known by
        none before: calls that happen to wait together share one. ``least`` there are for certain,
        and the short form tries these alone.
        """
        deaths = 0
        for number in range(1, 1 + full(least, MOST_COMMITS)):
            with injected(0) as figures, Home.prepared(homes / str(number), way) as home:
                code = self.run(home, "run", commit=number, when=when, **how)
                assert code in {-signal.SIGKILL, 0}, f"commit {number}: {code}"
                figures["faults"] += code != 0
                await check(home)
            if code == 0:
                break
            deaths = number
        assert deaths >= least, f"there were {deaths} commits, and {least} have to be"

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


# What follows runs in the forge and its children.


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("survived SIGKILL")


class Point:
    """Where a child is to die."""

    def __init__(self, name: str | None, when: str | None) -> None:
        self._at = (name, when)
        self.is_armed = True

    def is_at(self, name: str, when: str) -> bool:
        return self._at == (name, when) and (self.is_armed or name == "epoch")

    def reached(self, name: str, when: str) -> None:
        if self.is_at(name, when):
            die()


class CrashingLedger:
    """A ledger whose owner may die before or after any of its calls."""

    def __init__(self, ledger: Any, point: Point) -> None:
        self._ledger = ledger
        self._point = point

    def __getattr__(self, name: str) -> Any:
        known = getattr(self._ledger, name)
        if not asyncio.iscoroutinefunction(known):
            return known

        async def call(*args: Any, **named: Any) -> Any:
            names = (name, _step_of(args[0])) if name == "update" else (name,)
            for each in names:
                self._point.reached(each, "before")
            answer = await known(*args, **named)
            for each in names:
                self._point.reached(each, "after")
            return answer

        return call


def _step_of(row: ExecutionRow) -> str:
    """The step of a round that an update of an execution is, with the round's number."""
    if row.status is ExecutionStatus.WAITING_FOR_CALLER:
        step = "results" if row.results_came else "calls"
    else:
        step = "goes_on" if row.results_came else "other"
    return f"{step}-{len(row.rounds) - 1}"


class CrashingRun:
    def __init__(self, run: ProcessRun, point: Point) -> None:
        self._run = run
        self._point = point

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    async def outcome(self) -> Any:
        files = self._run._files
        if self._point.is_at("started", "after"):
            await eventually((self._run.directory.path / "started").exists)
            die()
        for when, word in (("before", b'"init"'), ("after", b'"result"')):
            if self._point.is_at("result", when):
                await eventually(lambda word=word: word in _printed(files))
                die()
        return await self._run.outcome()

    async def discard(self) -> None:
        self._point.reached("discard", "before")
        self._run._files.remove()  # in this step: the process ends once its caller is answered
        self._point.reached("discard", "after")


def _printed(files: RunDirectory) -> bytes:
    piece = files.printed(0, 1_000_000)
    return b"" if piece is None else piece.data


def crashing_runner(point: Point) -> type[ProcessRunner]:
    class CrashingRunner(ProcessRunner):
        def __init__(self, *args: Any, **how: Any) -> None:
            super().__init__(*args, **how)
            self._spawn = self._starter.supervise
            self._starter.supervise = self._supervise  # type: ignore[method-assign]
            self._ways._give = self._crossing(self._ways._give)  # type: ignore[method-assign]
            self._ways._give_spare = self._crossing(  # type: ignore[method-assign]
                self._ways._give_spare
            )

        async def start(self, launch: Any, environment: Any) -> Any:
            point.reached("spawn", "before")
            run = await super().start(launch, environment)
            point.reached("spawn", "after")
            return CrashingRun(run, point)

        def find(self, launch: Any) -> Any:
            run = super().find(launch)
            return None if run is None else CrashingRun(run, point)

        def _supervise(self, *args: Any) -> None:
            point.reached("supervisor", "before")  # its directory and lock are there
            self._spawn(*args)
            point.reached("started", "before")  # it was spawned, and writes ``started`` later

        def _crossing(self, give: Callable[..., bool]) -> Callable[..., bool]:
            def crossing(*args: Any) -> bool:
                point.reached("supervisor", "before")
                is_given = give(*args)
                point.reached("started", "before")  # it was handed over, and is begun later
                return is_given

            return crossing

    class CrashingDirectory(ProcessDirectory):
        def say(self, entry: bytes) -> None:
            # A note says who is to have a turn; nothing says who is to have what comes before.
            name = _said_in(entry)
            point.reached(name, "before")
            super().say(entry)
            point.reached(name, "after")

    for module in (start, run_directory):
        module.ProcessDirectory = CrashingDirectory  # type: ignore[attr-defined]
    return CrashingRunner


def _said_in(entry: bytes) -> str:
    """What an entry of an inbox is: of a round, by the id of what is answered."""
    if (asked := re.search(rb'"request_id":"((?:call|list)-[0-9-]+)"', entry)) is not None:
        return asked[1].decode()
    for word, name in ((b"apply_flag_settings", "settings"), (b"get_usage", "spent")):
        if word in entry:
            return name
    return "due" if entry.startswith(b"#due ") else "say"


def die_at_commit(number: int, when: str) -> None:
    """Die inside SQLite: before the commit of this number, or after the one of this number that has
    reached the log. One that changes no page does not reach it: it is counted before, not after.
    """
    seen = 0

    def counted() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            die()

    def before() -> bool:
        counted()
        return False

    def after(*_: Any) -> int:
        counted()
        return apsw.SQLITE_OK

    def watched(db: apsw.Connection) -> None:
        if when == "before":
            db.set_commit_hook(before)
        else:
            db.set_wal_hook(after)

    apsw.connection_hooks.append(watched)


async def park(runner: ProcessRunner, home: Home) -> None:
    """Have a process started ahead, and wait until it is up."""
    spares.READY_SECONDS, spares.has_room = 0.0, lambda: True
    await runner.tend_spares(1, home.environment(), SONNET)
    (spare,) = runner._spares._parked
    await eventually(spare.process.started)


async def _run(home: Home, job: dict[str, Any]) -> None:
    """Be a subscription with its callers, until all have their answer or the point is reached."""
    point = Point(job.get("point"), job.get("when"))
    told = [words[:2] for words in home.told()]
    is_parked = home.way is not ProcessWay.AHEAD or ["admitted", "1"] in told
    point.is_armed = is_parked and all(["ended", str(each)] in told for each in home.before)
    if "commit" in job:
        die_at_commit(job["commit"], job["when"])
    async with _opened(home, job, point) as ledger:
        runner = home.runner(crashing_runner(point))
        subscription = await activated(home, ledger, runner, max_concurrent=2)
        for number in home.before:
            execution = await ask(subscription, number, _say(home), is_turn=True)
            _say(home)("ended", number, execution.status.value)
        if not is_parked:
            await park(runner, home)
        point.is_armed = True
        numbers = job.get("numbers", [1])
        calls_tools = job.get("calls_tools", False)
        executions = [
            asyncio.create_task(
                _answered(subscription, each, home)
                if calls_tools
                else ask(subscription, each, _say(home), is_turn=home.keeps)
            )
            for each in numbers
        ]
        for number, task in zip(numbers, executions, strict=True):
            execution = await task
            point.reached("reply", "before")
            _say(home)("ended", number, execution.status.value)
            point.reached("reply", "after")
        await runner.let_go()
        # Its CLI is still exiting, and what it left is removed after that.
        await eventually(lambda: not (home.run_directories() or point.is_at("discard", "after")))
        await subscription.close()


async def _answered(subscription: Subscription, number: int, home: Home) -> Execution:
    execution = await ask_and_answer(subscription, number, _say(home))
    if isinstance(execution, CameLate):
        raise TypeError("its results came late, though nobody died")
    return execution


async def _write(home: Home, job: dict[str, Any]) -> None:
    """Record usage from eight writers at once, telling each record that is kept, until killed."""
    async with _opened(home, job, Point(None, None)) as ledger:
        say, prefix = _say(home), job["prefix"]

        async def writer(which: int) -> None:
            for number in range(1_000_000):
                name = f"{prefix}-{which}-{number}"
                await ledger.record(a_record(name))
                say("kept", name)

        say("open", os.getpid())
        await asyncio.gather(*(writer(each) for each in range(8)))


async def _hold(home: Home, job: dict[str, Any]) -> None:
    """Hold the ledger; when told to go on, write once and tell what came of it."""
    async with _opened(home, job, Point(None, None)) as ledger:
        say, go_on = _say(home), home.folder / "go-on"
        await ledger.record(a_record("early"))
        say("kept", "early")
        await eventually(go_on.exists, seconds=60)
        try:
            await ledger.record(a_record("late"))
            say("kept", "late")
        except StoreError as error:
            say("refused", type(error).__name__)


def a_record(name: str) -> UsageRecord:
    usage = Usage(models={"m": ModelUsage(cost_nano_usd=30)})
    return UsageRecord(id=name, subscription_id="sub1", timestamp=NOON, usage=usage)


@contextlib.asynccontextmanager
async def _opened(home: Home, job: dict[str, Any], point: Point) -> AsyncIterator[Any]:
    point.reached("epoch", "before")
    ledger = await home.stores.open_ledger("sub1", wait_seconds=job.get("wait_seconds", 20))
    point.reached("epoch", "after")
    try:
        yield CrashingLedger(ledger, point)
    finally:
        await ledger.close()


def _say(home: Home) -> Any:
    def say(*words: object) -> None:
        fd = os.open(home.said, os.O_WRONLY | os.O_APPEND)
        os.write(fd, (" ".join(map(str, words)) + "\n").encode())
        os.close(fd)

    return say


def _child(job: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        os.dup2(2, 1)  # the forge alone speaks to the tests
        asyncio.run(
            {"run": _run, "write": _write, "hold": _hold}[job["task"]](
                Home(Path(job["folder"]), job["way"]), job
            )
        )
        code = 0
    except BaseException:  # noqa: BLE001 - told on stderr, whatever it was
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line))
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()

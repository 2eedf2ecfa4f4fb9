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
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from actors.interfaces.messages import CameLate
from actors.subscription.subscription import Subscription
from pool.claude.process.idle import spares
from pool.claude.process.process_runner import ProcessRunner
from pool.errors import StoreError
from pool.executions.execution import Execution
from pool.executions.process_way import ProcessWay
from pool.usage.records import ModelUsage, Usage, UsageRecord
from tests.support.chaos.crashing import CrashingLedger, Point, crashing_runner, die_at_commit
from tests.support.chaos.one_subscription import (
    Home,
    activated,
    ask,
    ask_and_answer,
    eventually,
    full,
)
from tests.support.chaos.tally import injected
from tests.support.suite.paths import ROOT
from tests.support.values.examples import NOON, SONNET

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

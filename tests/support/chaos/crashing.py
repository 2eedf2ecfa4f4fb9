"""A subscription's parts that die at one point: its ledger, its runs, and the runner of those."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from typing import Any, NoReturn

import apsw

from pool.claude.process import start
from pool.claude.process.files import run_directory
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.run_directory import RunDirectory
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.process_runner import ProcessRunner
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from tests.support.chaos.one_subscription import (
    eventually,
)


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

"""Supervisors that are forked by a zygote, and what becomes of runs whose zygote is not there."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pool.claude.process import supervisors
from pool.claude.process.idle.kept import Keeping
from pool.claude.process.process_run import ProcessRun
from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from tests.support.clis.idle_processes import IdleProcesses
from tests.support.clis.talking_cli import SESSION, a_launch
from tests.support.suite.waiting import until


class OneSubscription(IdleProcesses):
    """One subscription each of whose runs has a process of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Keeping(places=folder / "places"))
        self._runs = 0

    async def start(self, prompt: str = "hello") -> ProcessRun:
        self._runs += 1
        session = f"{self._runs:08d}{SESSION[8:]}"
        launch = a_launch(f"exec_{self._runs}", prompt, session_id=session)
        return await self.runner.start(launch, self.environment)

    async def run(self) -> Outcome:
        run = await self.start()
        return await asyncio.wait_for(run.outcome(), 20)

    def zygotes(self) -> list[int]:
        """By what they were asked for: its name stands in its command line, and in that of all
        that it forks, which have gone to a session of their own.
        """
        name = os.fsencode(self.folder / "runs")
        pids = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
        return [pid for pid in pids if _is_zygote(pid, name)]

    async def zygote(self) -> int:
        (pid,) = await until(self.zygotes)
        assert isinstance(pid, int)
        return pid


@pytest.fixture(scope="module", autouse=True)
def one_zygote() -> None:
    """Each subscription has its own here."""


def _of(pid: int, file: str) -> bytes:
    return Path(f"/proc/{pid}/{file}").read_bytes()


def _is_zygote(pid: int, name: bytes) -> bool:
    try:
        command = _of(pid, "cmdline").split(b"\0")
        parent = _of(pid, "stat").rpartition(b")")[2].split()[1]
    except OSError:
        return False
    return name in command and int(parent) == os.getpid()


@pytest.fixture
async def subscription(tmp_path: Path) -> AsyncIterator[OneSubscription]:
    subscription = OneSubscription(tmp_path)
    yield subscription
    await subscription.runner.let_go()
    await until(lambda: not subscription.zygotes())


async def test_from_the_second_on_supervisors_are_forked_and_live_on_their_own(
    subscription: OneSubscription,
) -> None:
    assert isinstance(await subscription.run(), Completed)
    zygote = await subscription.zygote()

    run = await subscription.start("stalls")
    started = await until(run.directory.started)
    assert b"zygote" in _of(started.supervisor.pid, "cmdline")
    assert os.getsid(started.supervisor.pid) != os.getsid(zygote)
    os.kill(zygote, signal.SIGKILL)
    await run.stop()

    ended = await asyncio.wait_for(run.outcome(), 20)
    assert isinstance(ended, Failed)
    assert ended.kind is FailureKind.INTERRUPTED


async def test_no_credential_stands_in_the_environment_of_either(
    subscription: OneSubscription,
) -> None:
    subscription.environment["CLAUDE_CODE_OAUTH_TOKEN"] = "a-secret"
    await subscription.run()
    run = await subscription.start("stalls")
    started = await until(run.directory.started)
    await until(lambda: b"a-secret" in _of(started.cli.pid, "environ"))  # since its exec

    pids = (await subscription.zygote(), started.supervisor.pid)
    assert [b"a-secret" in _of(pid, "environ") for pid in pids] == [False, False]
    await run.stop()
    await run.gone()


async def test_a_zygote_that_died_is_done_without_and_replaced(
    subscription: OneSubscription,
) -> None:
    await subscription.run()
    first = await subscription.zygote()
    died = os.pidfd_open(first)
    os.kill(first, signal.SIGKILL)
    select.select([died], [], [])  # until then it may seem to have been told
    os.close(died)

    assert isinstance(await subscription.run(), Completed)
    assert isinstance(await subscription.run(), Completed)
    assert await subscription.zygote() != first


async def test_what_a_zygote_may_have_started_is_not_started_again(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs, so that nobody can know; it is killed, and then the run was never started."""
    monkeypatch.setattr(supervisors, "_ANSWER_SECONDS", 0.2)
    await subscription.run()
    os.kill(await subscription.zygote(), signal.SIGSTOP)

    ended = await subscription.run()

    assert isinstance(ended, Failed)
    assert (ended.kind, ended.evidence) == (FailureKind.NOT_STARTED, True)
    assert subscription.alive() == 0
    assert isinstance(await subscription.run(), Completed)


async def test_it_ends_with_whoever_has_it(tmp_path: Path) -> None:
    subscription = OneSubscription(tmp_path)
    await subscription.run()
    await subscription.zygote()

    del subscription.runner
    gc.collect()

    await until(lambda: not subscription.zygotes())

"""Runs whose starter or supervisor died: found again, ended, and nothing of them left."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pool.claude.process.files.directory import ProcessDirectory
from pool.executions.outcome import Completed, FailureKind
from tests.support.clis.little_cli import (
    ANSWERS,
    ENVIRONMENT,
    INIT,
    RESULT,
    STALLS,
    a_launch,
    begun,
    bounded,
    failure,
    lives,
)
from tests.support.suite.paths import ROOT
from tests.support.suite.waiting import until


def children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(pid) for pid in text.split()]


@pytest.mark.parametrize("how", ["sleep 600 &", "setsid sleep 600 &", "setsid setsid sleep 600 &"])
async def test_nothing_that_a_run_started_outlives_it(
    cli: Any, runner: Any, tmp_path: Path, how: str
) -> None:
    source = f"{how}\necho $! > {tmp_path}/child; {ANSWERS}"
    run = await runner(cli(source)).start(a_launch(), ENVIRONMENT)

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert not lives(int((tmp_path / "child").read_text()))
    await until(lambda: not run.directory.is_locked())


async def test_a_run_that_was_started_before_is_found_alive_and_ended(
    cli: Any, runner: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    path = cli(f"echo '{INIT}'; read x < {gate}; echo '{RESULT}'")
    run = await runner(path).start(a_launch(), ENVIRONMENT)
    await begun(run)

    found = runner(path).find(a_launch())
    waiting = asyncio.create_task(found.outcome())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    gate.write_text("go\n")

    assert await bounded(waiting) == await bounded(run.outcome())
    again = runner(path).find(a_launch())
    assert await bounded(again.outcome()) == await run.outcome()


async def test_a_run_that_was_found_can_be_stopped(cli: Any, runner: Any) -> None:
    path = cli(STALLS)
    run = await runner(path).start(a_launch(), ENVIRONMENT)
    await begun(run)

    found = runner(path).find(a_launch())
    await found.stop()

    assert (await failure(found)).kind is FailureKind.INTERRUPTED


async def test_what_was_never_started_is_not_found(cli: Any, runner: Any) -> None:
    assert runner(cli(ANSWERS)).find(a_launch()) is None


async def test_a_discarded_run_is_not_found_any_more(cli: Any, runner: Any) -> None:
    runs = runner(cli(ANSWERS))
    run = await runs.start(a_launch(), ENVIRONMENT)
    await bounded(run.outcome())
    await bounded(run.gone())

    await run.discard()

    assert runs.find(a_launch()) is None


async def test_a_starter_that_died_before_its_supervisor_left_nothing_to_find(
    cli: Any, runner: Any
) -> None:
    runs = runner(cli(ANSWERS))
    run = await runs.start(a_launch(), ENVIRONMENT)
    await bounded(run.outcome())
    await bounded(run.gone())
    await until(lambda: not run.directory.is_locked())
    for name in ("started", "turns", "ended", "stdout"):
        (run.directory.path / name).unlink()

    assert runs.find(a_launch()) is None
    assert not run.directory.exists()


async def test_a_stop_before_the_start_starts_nothing(cli: Any, runner: Any) -> None:
    runs = runner(cli(STALLS))
    runs._starter.work_dir.mkdir(parents=True)
    lock = ProcessDirectory(runs._runs_dir / "exec_1").create()
    run = runs.find(a_launch())
    await run.stop()
    try:
        place = os.open(runs._starter.work_dir, os.O_PATH)
        runs._starter.supervise(run.directory, ("claude",), ENVIRONMENT, lock, place)
        os.close(place)
    finally:
        os.close(lock)

    assert (await failure(run)).kind is FailureKind.INTERRUPTED
    assert not run.directory.stdout.exists()


async def test_when_the_supervisor_is_killed_the_cli_goes_too_and_what_it_said_is_kept(
    cli: Any, runner: Any, tmp_path: Path
) -> None:
    source = f"setsid sleep 600 &\necho $! > {tmp_path}/child; {STALLS}"
    run = await runner(cli(source)).start(a_launch(), ENVIRONMENT)
    pid = await begun(run, b"msg_1")
    waiting = asyncio.create_task(failure(run))

    os.kill(run.directory.started().supervisor.pid, signal.SIGKILL)

    outcome = await bounded(waiting)
    assert (outcome.kind, outcome.evidence) == (FailureKind.KILLED, False)
    assert outcome.usage.total.input_tokens == 100
    assert not lives(pid)
    assert not lives(int((tmp_path / "child").read_text()))


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"


async def test_when_the_supervisor_is_killed_the_cli_does_nothing_more_until_it_is_found(
    cli: Any, runner: Any, tmp_path: Path
) -> None:
    """Its input ends, at which it asks the API once more, 0.1 s later."""
    late = f"sleep 0.3; touch {tmp_path}/went_on; exec sleep 600"
    source = f"echo '{INIT}'; cat > /dev/null; {late}"
    run = await runner(cli(source)).start(a_launch(), ENVIRONMENT)
    pid = await begun(run)

    os.kill(run.directory.started().supervisor.pid, signal.SIGKILL)

    await until(lambda: is_stopped(pid))
    await asyncio.sleep(0.5)
    await bounded(runner(cli(STALLS)).find(a_launch()).outcome())
    assert not lives(pid)
    assert not (tmp_path / "went_on").exists()


@pytest.mark.parametrize(
    "tool",
    [
        "setsid sleep 600 3>&- &",
        "setsid env -i /bin/sleep 600 3>&- &",
        "setsid /bin/sh -c 'sleep 600 3>&- & echo $! >> {pids}; exec 3>&-; wait' & exec 3>&-",
    ],
    ids=["without the lock", "without the environment", "with a child of its own"],
)
async def test_when_the_supervisor_is_killed_no_tool_is_left(
    cli: Any, runner: Any, tmp_path: Path, tool: str
) -> None:
    pids = tmp_path / "pids"
    started = tool.format(pids=pids)
    run = await runner(cli(f"{started}\necho $! >> {pids}\n{STALLS}")).start(
        a_launch(), ENVIRONMENT
    )
    await begun(run, b"message_start")
    tools = await until(lambda: [int(each) for each in pids.read_text().split()])
    assert all(map(lives, tools))

    os.kill(run.directory.started().supervisor.pid, signal.SIGKILL)
    await bounded(run.outcome())

    await until(lambda: not any(map(lives, tools)), 1)


async def test_a_tool_whose_supervisor_and_cli_are_both_killed_is_ended_by_whoever_finds_the_run(
    cli: Any, runner: Any, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    tool = f"setsid sleep 600 3>&- &\necho $! > {pid_file}"
    run = await runner(cli(f"{tool}\n{STALLS}")).start(a_launch(), ENVIRONMENT)
    pid = await begun(run, b"message_start")
    os.kill(run.directory.started().supervisor.pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not run.directory.is_locked())

    await bounded(runner(cli(STALLS)).find(a_launch()).outcome())

    await until(lambda: not lives(int(pid_file.read_text())), 1)


async def test_a_supervisor_killed_after_the_result_loses_nothing(cli: Any, runner: Any) -> None:
    run = await runner(cli(f"echo '{RESULT}'; exec sleep 600")).start(a_launch(), ENVIRONMENT)
    await begun(run, b"result")

    started = run.directory.started()
    os.kill(started.supervisor.pid, signal.SIGKILL)

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert not lives(started.cli.pid)


async def test_what_was_stopped_as_its_supervisor_died_is_swept_away(cli: Any, runner: Any) -> None:
    """Though its subscription is never activated again: nobody else would end it."""
    run = await runner(cli(STALLS)).start(a_launch(), ENVIRONMENT)
    pid = await begun(run, b"message_start")
    os.kill(run.directory.started().supervisor.pid, signal.SIGKILL)
    await until(run.directory.is_orphaned)

    sweeping = runner(cli(STALLS))
    sweeping.sweep(set())
    await until(lambda: not lives(pid))  # it was killed, and ends a moment later
    sweeping.sweep(set())

    assert not run.directory.path.exists()


async def test_a_process_that_has_the_pid_of_a_dead_run_is_left_alone(
    cli: Any, runner: Any
) -> None:
    runs = runner(cli(ANSWERS))
    run = await runs.start(a_launch(), ENVIRONMENT)
    await bounded(run.outcome())
    await bounded(run.gone())
    bystander = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    try:
        started = run.directory.path / "started"
        fields = json.loads(started.read_bytes())
        pids = {"cli_pid": bystander.pid, "supervisor_pid": bystander.pid}
        started.write_text(json.dumps({**fields, **pids}))
        for name in ("turns", "ended"):
            (run.directory.path / name).unlink()
        held = os.open(run.directory.lock, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)  # as if something of the run still lived
            waiting = asyncio.create_task(runs.find(a_launch()).outcome())
            await asyncio.sleep(0.3)
        finally:
            os.close(held)
        await bounded(waiting)

        assert lives(bystander.pid)
    finally:
        bystander.kill()
        await bystander.wait()


async def test_a_supervisor_that_hangs_is_ended_with_its_run(
    cli: Any, runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pool.claude.process.process_run._OVERDUE_SECONDS", 0.2)
    runs = runner(cli(STALLS), stop_grace=timedelta(seconds=0.1))
    run = await runs.start(a_launch(timeout_seconds=0.3), ENVIRONMENT)
    pid = await begun(run)
    os.kill(run.directory.started().supervisor.pid, signal.SIGSTOP)

    assert (await failure(run)).kind is FailureKind.TIMEOUT
    assert not lives(pid)


async def test_no_zombie_and_no_child_is_left(cli: Any, runner: Any) -> None:
    run = await runner(cli(ANSWERS)).start(a_launch(), ENVIRONMENT)
    supervisor = (await until(run.directory.started)).supervisor.pid
    await bounded(run.outcome())

    assert supervisor not in children()


STARTER = """
import asyncio, json, os, sys
from pathlib import Path
from pool.claude.runner import Launch
from pool.claude.process.process_runner import ProcessRunner

async def main():
    executable, runs, launch = sys.argv[1:]

    async def find():
        return Path(executable)

    runner = ProcessRunner(find, Path(runs))
    run = await runner.start(Launch.model_validate_json(launch), dict(PATH=os.environ["PATH"]))
    print("started", flush=True)
    await run.outcome()

asyncio.run(main())
"""


async def test_a_run_survives_the_kill_of_its_starter_and_is_adopted_by_another_process(
    cli: Any, runner: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    path = cli(f"echo '{INIT}'; read x < {gate}; echo '{RESULT}'")
    runs = runner(path)
    starter = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", STARTER, path, runs._runs_dir, a_launch().model_dump_json()),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert starter.stdout is not None
    assert await starter.stdout.readline() == b"started\n"
    run = runs.find(a_launch())
    await begun(run)

    starter.kill()
    await starter.wait()
    gate.write_text("go\n")

    assert isinstance(await bounded(run.outcome()), Completed)


async def test_a_run_without_any_directory_has_nothing_to_say(cli: Any, runner: Any) -> None:
    runs = runner(cli(ANSWERS))
    run = await runs.start(a_launch(), ENVIRONMENT)
    await bounded(run.outcome())
    found = runs.find(a_launch())
    shutil.rmtree(run.directory.path)

    assert (await failure(found)).kind is FailureKind.NOT_STARTED


@pytest.mark.parametrize("run_id", ["", "..", "a/b", "/etc", "a\nb"])
def test_an_id_that_is_no_name_is_refused(cli: Any, runner: Any, run_id: str) -> None:
    with pytest.raises(ValueError, match="names its directory"):
        runner(cli(ANSWERS)).find(a_launch(run_id))

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

from pool.claude.binary.installation import Installation
from pool.claude.launch.launch_spec import Launch
from pool.claude.process.directory import ProcessDirectory
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.spawner import ProcessRunner
from pool.executions.outcome import Completed, Failed, FailureKind

SESSION = "634fbb1e-4256-459f-9794-14ea9ca8dac8"
MODEL = "claude-sonnet-4-5"
ENVIRONMENT = {"PATH": os.environ["PATH"], "CLAUDE_CODE_OAUTH_TOKEN": "test-token-a"}
GRACE = timedelta(seconds=0.3)

INIT = f'{{"type":"system","subtype":"init","session_id":"{SESSION}","model":"{MODEL}"}}'
USED = f'{{"{MODEL}":{{"inputTokens":100,"outputTokens":20,"costUSD":0.0006}}}}'
RESULT = (
    '{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"answer",'
    f'"uuid":"u1","total_cost_usd":0.0006,"model_usage_since_last_result":{USED}}}'
)
BEGUN = (
    '{"type":"stream_event","event":{"type":"message_start","message":{"id":"msg_1",'
    f'"model":"{MODEL}","usage":{{"input_tokens":100,"output_tokens":1}}}}}}}}'
)
ANSWERS = f"read line; read line; echo '{INIT}'; echo '{RESULT}'; cat >/dev/null"
STALLS = f"echo '{INIT}'; echo '{BEGUN}'; exec sleep 600"
IGNORES_ALL = f"""
import signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print({INIT!r}, flush=True)
time.sleep(600)
"""
HEEDS_TERM = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print({INIT!r}, flush=True)
time.sleep(600)
"""


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., Path]:
    """Write a stand-in for the CLI's binary."""

    def write(source: str, interpreter: str = "/bin/sh") -> Path:
        path = tmp_path / "claude"
        path.write_text(f"#!{interpreter}\n{source}\n")
        path.chmod(0o700)
        return path

    return write


@pytest.fixture
def runner(tmp_path: Path) -> Callable[..., ProcessRunner]:
    def make(executable: Path, **options: Any) -> ProcessRunner:
        options = {"stop_grace": GRACE, **options}
        return ProcessRunner(found(executable), tmp_path / "subscription" / "runs", **options)

    return make


def found(executable: Path) -> Callable[[], Awaitable[Path]]:
    async def find() -> Path:
        return executable

    return find


def a_launch(run_id: str = "exec_1", **fields: Any) -> Launch:
    return Launch(
        **{
            "run_id": run_id,
            "prompt": "the private prompt",
            "session_id": SESSION,
            "resumes": False,
            "model": MODEL,
            "timeout_seconds": 30,
            **fields,
        }
    )


async def eventually(condition: Callable[[], Any], seconds: float = 10) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "what was awaited did not come"
        await asyncio.sleep(0.01)
    return found


async def bounded(waiting: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(waiting, 20)


async def failure(run: ProcessRun) -> Failed:
    outcome = await bounded(run.outcome())
    assert isinstance(outcome, Failed)
    return outcome


async def begun(run: ProcessRun, word: bytes = b"init") -> int:
    """Wait until the CLI has printed something; its pid."""
    stdout = run.directory.stdout
    await eventually(lambda: stdout.exists() and word in stdout.read_bytes())
    started = run.directory.started()
    assert started is not None
    return started.cli.pid


def lives(pid: int) -> bool:
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(pid) for pid in text.split()]


def ended(run: ProcessRun) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((run.directory.path / "ended").read_bytes())
    return fields


async def test_a_run_answers_and_tells_what_it_cost(cli: Any, runner: Any) -> None:
    run = await runner(cli(ANSWERS)).start(a_launch(), ENVIRONMENT)

    outcome = await bounded(run.outcome())

    assert isinstance(outcome, Completed)
    assert (outcome.result, outcome.usage.cost_nano_usd) == ("answer", 600_000)
    await bounded(run.gone())
    assert ended(run)["max_rss_bytes"] > 0


async def test_the_outcome_may_be_awaited_again_and_by_several(cli: Any, runner: Any) -> None:
    run = await runner(cli(ANSWERS)).start(a_launch(), ENVIRONMENT)

    outcomes = await bounded(asyncio.gather(run.outcome(), run.outcome()))

    assert [*outcomes, await run.outcome()] == [outcomes[0]] * 3


async def test_cancelling_a_wait_does_not_end_the_run(cli: Any, runner: Any) -> None:
    run = await runner(cli(ANSWERS)).start(a_launch(), ENVIRONMENT)
    waiting = asyncio.create_task(run.outcome())
    await asyncio.sleep(0)
    waiting.cancel()

    assert isinstance(await bounded(run.outcome()), Completed)


async def test_the_cli_gets_prompt_and_environment_and_nothing_else(
    cli: Any, runner: Any, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    spy = (
        f"read a; read b; {{ echo \"$b\"; env; pwd; ls /proc/self/fd; }} > {seen}; echo '{RESULT}'"
    )
    leaked = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        run = await runner(cli(spy)).start(a_launch(), ENVIRONMENT)
        await bounded(run.outcome())
    finally:
        os.close(leaked)

    prompt, *rest = seen.read_text().splitlines()
    assert json.loads(prompt)["message"]["content"][0]["text"] == "the private prompt"
    names = {line.partition("=")[0] for line in rest if "=" in line}
    given = {*ENVIRONMENT, "CLAUDE_CODE_TMPDIR", "CLAUDE_POOL_RUN"}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"} == given
    assert str(tmp_path / "subscription" / "work") in rest
    # stdin, stdout, stderr, the lock, and the one that `ls` opens to look
    assert [line for line in rest if line.isdigit()] == ["0", "1", "2", "3", "4"]


async def test_only_the_owner_may_enter_a_runs_directory_and_its_inbox_alone_holds_the_prompt(
    cli: Any, runner: Any
) -> None:
    run = await runner(cli(ANSWERS)).start(a_launch(), ENVIRONMENT)
    await bounded(run.outcome())
    await bounded(run.gone())

    files = list(run.directory.path.iterdir())
    assert run.directory.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    assert [path.name for path in files if b"private" in path.read_bytes()] == ["inbox"]
    assert [path for path in files if b"test-token" in path.read_bytes()] == []


async def test_what_is_kept_of_a_run_holds_no_prompt(cli: Any, runner: Any) -> None:
    run = await runner(cli(ANSWERS)).start(a_launch(), ENVIRONMENT)
    await bounded(run.outcome())
    await bounded(run.gone())

    await run.keep()

    files = list(run.directory.path.iterdir())
    assert "stdout" in {path.name for path in files}
    assert [path.name for path in files if b"private" in path.read_bytes()] == []


async def test_a_prompt_larger_than_any_pipe_arrives_whole(
    cli: Any, runner: Any, tmp_path: Path
) -> None:
    slow = f"sleep 0.1; read a; head -c 3000000 | wc -c > {tmp_path}/size; echo '{RESULT}'"
    run = await runner(cli(slow)).start(a_launch(prompt="x" * 3_000_000), ENVIRONMENT)

    assert isinstance(await bounded(run.outcome()), Completed)
    assert int((tmp_path / "size").read_text()) == 3_000_000


async def test_a_cli_that_never_reads_its_prompt_still_ends(cli: Any, runner: Any) -> None:
    run = await runner(cli("exit 3")).start(a_launch(prompt="x" * 3_000_000), ENVIRONMENT)

    assert (await failure(run)).kind is FailureKind.NO_RESULT


@pytest.mark.parametrize("why", ["missing", "not executable", "no format"])
async def test_a_cli_that_cannot_start_was_never_started(
    cli: Any, runner: Any, tmp_path: Path, why: str
) -> None:
    path = cli(ANSWERS)
    match why:
        case "missing":
            path.unlink()
        case "not executable":
            path.chmod(0o600)
        case "no format":
            path.write_text("neither script nor binary")
        case _:
            pass

    outcome = await failure(await runner(path).start(a_launch(), ENVIRONMENT))

    assert (outcome.kind, outcome.evidence) == (FailureKind.NOT_STARTED, True)
    assert len(outcome.message) > len("the Claude CLI could not be started")


async def test_an_installation_that_cannot_be_used_is_a_run_that_never_started(
    tmp_path: Path,
) -> None:
    runner = ProcessRunner(Installation("/no/such/claude", None).executable, tmp_path / "runs")

    outcome = await failure(await runner.start(a_launch(), ENVIRONMENT))

    assert (outcome.kind, outcome.evidence) == (FailureKind.NOT_STARTED, True)
    assert "correct it, or leave it out" in outcome.message


@pytest.mark.parametrize("place", ["/proc", "file", "file/in/it"])
async def test_without_a_directory_that_can_be_written_nothing_is_started(
    cli: Any, runner: Any, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    environment = {**ENVIRONMENT, "CLAUDE_CONFIG_DIR": str(tmp_path / place)}

    run = await runner(cli(f"touch {tmp_path}/started")).start(a_launch(), environment)

    failed = await failure(run)
    assert failed.kind is FailureKind.STARTUP_FAILED
    assert "its config_dir cannot be written" in failed.message
    assert failed.usage.cost_nano_usd == 0
    assert not (tmp_path / "started").exists()


async def test_a_directory_whose_transcripts_cannot_be_written_is_no_better(
    cli: Any, runner: Any, tmp_path: Path
) -> None:
    (tmp_path / "projects").touch()
    environment = {**ENVIRONMENT, "CLAUDE_CONFIG_DIR": str(tmp_path)}

    run = await runner(cli(ANSWERS)).start(a_launch(), environment)

    assert (await failure(run)).kind is FailureKind.STARTUP_FAILED


async def test_a_disk_that_takes_no_run_is_a_run_that_never_started(
    cli: Any, tmp_path: Path
) -> None:
    (tmp_path / "subscription").write_text("a file where a directory should be")
    runner = ProcessRunner(found(cli(ANSWERS)), tmp_path / "subscription" / "runs")

    outcome = await failure(await runner.start(a_launch(), ENVIRONMENT))

    assert outcome.kind is FailureKind.NOT_STARTED


async def test_an_environment_that_no_process_can_have_is_a_run_that_never_started(
    cli: Any, runner: Any
) -> None:
    run = await runner(cli(ANSWERS)).start(a_launch(), {"A": "nul\x00"})

    assert (await failure(run)).kind is FailureKind.NOT_STARTED


async def test_one_id_never_runs_twice(cli: Any, runner: Any, tmp_path: Path) -> None:
    runs = runner(cli(f"echo x >> {tmp_path}/count; {ANSWERS}"))

    first = await runs.start(a_launch(), ENVIRONMENT)
    second = await runs.start(a_launch(), ENVIRONMENT)

    assert await bounded(first.outcome()) == await bounded(second.outcome())
    await eventually(lambda: not first.directory.is_locked())  # also of one that waits for it
    assert (tmp_path / "count").read_text() == "x\n"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("exit 0", FailureKind.NO_RESULT),
        ("echo '<html>'; exit 0", FailureKind.NO_RESULT),
        ("echo 'error: unknown option' >&2; exit 1", FailureKind.CLI_USAGE),
    ],
)
async def test_a_cli_that_gives_no_result_has_failed(
    cli: Any, runner: Any, source: str, kind: FailureKind
) -> None:
    run = await runner(cli(source)).start(a_launch(), ENVIRONMENT)

    assert (await failure(run)).kind is kind


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM", "SIGKILL", "SIGSEGV"])
async def test_a_cli_that_dies_by_a_signal_was_killed_and_its_cost_is_unknown(
    cli: Any, runner: Any, name: str
) -> None:
    source = f"echo '{INIT}'; echo '{BEGUN}'; kill -{name.removeprefix('SIG')} $$; sleep 9"

    outcome = await failure(await runner(cli(source)).start(a_launch(), ENVIRONMENT))

    assert (outcome.kind, outcome.evidence) == (FailureKind.KILLED, False)
    assert outcome.usage.total.input_tokens == 100
    assert name in outcome.message


@pytest.mark.parametrize(
    ("source", "number", "rungs"),
    [(HEEDS_TERM, signal.SIGTERM, 1), (IGNORES_ALL, signal.SIGKILL, 2)],
)
async def test_at_its_deadline_a_run_is_ended_however_stubborn(
    cli: Any, runner: Any, source: str, number: int, rungs: int
) -> None:
    launch = a_launch(timeout_seconds=0.5)
    run = await runner(cli(source, sys.executable)).start(launch, ENVIRONMENT)

    outcome = await failure(run)

    assert (outcome.kind, outcome.evidence) == (FailureKind.TIMEOUT, False)
    fields = ended(run)
    assert (fields["signal"], fields["ended_by"]) == (number, "deadline")
    least = 0.5 + rungs * GRACE.total_seconds()
    assert least <= fields["wall_seconds"] < least + 2


async def test_a_stop_is_first_asked_for_on_stdin(cli: Any, runner: Any) -> None:
    polite = f"read a; read b; echo '{INIT}'; read c; echo \"$c\" >&2; echo '{RESULT}'"
    run = await runner(cli(polite)).start(a_launch(), ENVIRONMENT)
    await begun(run)

    await run.stop()

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert '"interrupt"' in (run.directory.path / "stderr").read_text()
    assert (ended(run)["ended_by"], ended(run)["signal"]) == ("request", None)


async def test_a_stopped_run_was_interrupted(cli: Any, runner: Any) -> None:
    run = await runner(cli(STALLS)).start(a_launch(), ENVIRONMENT)
    pid = await begun(run)

    assert os.getsid(pid) != os.getsid(0)  # what ends the starter's session leaves the run alone
    await run.stop()
    await run.stop()

    assert (await failure(run)).kind is FailureKind.INTERRUPTED
    assert not lives(pid)


async def test_a_supervisor_that_is_told_to_end_ends_its_run_in_good_order(
    cli: Any, runner: Any
) -> None:
    run = await runner(cli(STALLS)).start(a_launch(), ENVIRONMENT)
    await begun(run)

    os.kill(run.directory.started().supervisor.pid, signal.SIGTERM)

    assert (await failure(run)).kind is FailureKind.INTERRUPTED


async def test_a_run_that_prints_too_much_is_ended(cli: Any, runner: Any) -> None:
    source = f"echo '{INIT}'; exec yes 'some garbage'"
    run = await runner(cli(source), max_output_bytes=200_000).start(a_launch(), ENVIRONMENT)

    assert (await failure(run)).kind is FailureKind.OUTPUT_LIMIT
    assert ended(run)["wall_seconds"] < 10


async def test_a_cli_that_lingers_after_its_result_is_ended_and_has_answered(
    cli: Any, runner: Any
) -> None:
    run = await runner(cli(f"echo '{RESULT}'; exec sleep 600")).start(a_launch(), ENVIRONMENT)

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert ended(run)["ended_by"] == "lingered"


NOTICE = RESULT.replace('"num_turns":1', '"num_turns":0').replace("u1", "u0")
TASK_TURN = RESULT.replace('"uuid":"u1"', '"uuid":"u0","origin":{"kind":"task-notification"}')


@pytest.mark.parametrize("before", [NOTICE, TASK_TURN], ids=["no turn", "a task's turn"])
@pytest.mark.parametrize("pause", [1, 2], ids=["in silence", "beyond silence"])
async def test_a_turn_that_comes_after_a_background_tasks_result_is_waited_for(
    cli: Any, runner: Any, before: str, pause: float
) -> None:
    late = RESULT.replace('"answer"', '"late answer"')
    source = f"read a; read b; echo '{before}'; sleep {pause}; echo '{late}'; cat > /dev/null"
    run = await runner(cli(source), stop_grace=timedelta(seconds=0.05)).start(
        a_launch(), ENVIRONMENT
    )

    outcome = await bounded(run.outcome())

    assert isinstance(outcome, Completed)
    assert outcome.result == "late answer"
    await bounded(run.gone())
    assert ended(run)["ended_by"] is None


async def test_a_cli_that_falls_silent_after_a_result_without_a_turn_is_left_without_input(
    cli: Any, runner: Any
) -> None:
    source = f"read a; read b; echo '{NOTICE}'; cat > /dev/null"
    run = await runner(cli(source), stop_grace=timedelta(seconds=0.02)).start(
        a_launch(), ENVIRONMENT
    )

    assert (await failure(run)).kind is FailureKind.EXECUTION_ERROR
    assert ended(run)["ended_by"] is None


async def test_a_cli_that_answers_after_its_silence_and_lingers_is_ended_too(
    cli: Any, runner: Any
) -> None:
    source = f"read a; read b; echo '{NOTICE}'; cat > /dev/null; echo '{RESULT}'; exec sleep 600"
    run = await runner(cli(source), stop_grace=timedelta(seconds=0.02)).start(
        a_launch(), ENVIRONMENT
    )

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert ended(run)["ended_by"] == "lingered"


async def test_a_cli_that_reads_no_more_and_lingers_after_its_answer_is_ended_too(
    cli: Any, runner: Any
) -> None:
    source = f"exec 0<&-; sleep 0.2; echo '{RESULT}'; exec sleep 600"
    run = await runner(cli(source), stop_grace=timedelta(seconds=0.02)).start(
        a_launch(prompt="x" * 3_000_000), ENVIRONMENT
    )

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert ended(run)["ended_by"] == "lingered"


@pytest.mark.parametrize("how", ["sleep 600 &", "setsid sleep 600 &", "setsid setsid sleep 600 &"])
async def test_nothing_that_a_run_started_outlives_it(
    cli: Any, runner: Any, tmp_path: Path, how: str
) -> None:
    source = f"{how}\necho $! > {tmp_path}/child; {ANSWERS}"
    run = await runner(cli(source)).start(a_launch(), ENVIRONMENT)

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert not lives(int((tmp_path / "child").read_text()))
    await eventually(lambda: not run.directory.is_locked())


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
    await eventually(lambda: not run.directory.is_locked())
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
    tools = await eventually(lambda: [int(each) for each in pids.read_text().split()])
    assert all(map(lives, tools))

    os.kill(run.directory.started().supervisor.pid, signal.SIGKILL)
    await bounded(run.outcome())

    await eventually(lambda: not any(map(lives, tools)), 1)


async def test_a_tool_whose_supervisor_and_cli_are_both_killed_is_ended_by_whoever_finds_the_run(
    cli: Any, runner: Any, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    tool = f"setsid sleep 600 3>&- &\necho $! > {pid_file}"
    run = await runner(cli(f"{tool}\n{STALLS}")).start(a_launch(), ENVIRONMENT)
    pid = await begun(run, b"message_start")
    os.kill(run.directory.started().supervisor.pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not run.directory.is_locked())

    await bounded(runner(cli(STALLS)).find(a_launch()).outcome())

    await eventually(lambda: not lives(int(pid_file.read_text())), 1)


async def test_a_supervisor_killed_after_the_result_loses_nothing(cli: Any, runner: Any) -> None:
    run = await runner(cli(f"echo '{RESULT}'; exec sleep 600")).start(a_launch(), ENVIRONMENT)
    await begun(run, b"result")

    started = run.directory.started()
    os.kill(started.supervisor.pid, signal.SIGKILL)

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert not lives(started.cli.pid)


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
    supervisor = (await eventually(run.directory.started)).supervisor.pid
    await bounded(run.outcome())

    assert supervisor not in children()


STARTER = """
import asyncio, json, os, sys
from pathlib import Path
from pool.claude.runner import Launch
from pool.claude.process.spawner import ProcessRunner

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

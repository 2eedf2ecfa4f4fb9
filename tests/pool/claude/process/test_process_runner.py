"""The start of runs: what the CLI gets, and what keeps a run from ever starting."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pool.claude.binary.installation import Installation
from pool.claude.process.process_runner import ProcessRunner
from pool.executions.outcome import Completed, FailureKind
from tests.support.clis.little_cli import (
    ANSWERS,
    ENVIRONMENT,
    RESULT,
    a_launch,
    bounded,
    ended,
    failure,
    found,
)
from tests.support.suite.waiting import until


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
    await until(lambda: not first.directory.is_locked())  # also of one that waits for it
    assert (tmp_path / "count").read_text() == "x\n"

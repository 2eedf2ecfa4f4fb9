from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import Result

from pool.executions.outcome import Completed, Failed, FailureKind
from pool.usage.records import UsageSource
from tests.support.callers.terminal import on_a_terminal
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import completed, usage_of

Cli = Callable[..., Awaitable[Result]]


async def test_the_answer_is_all_there_is_on_standard_output(cli: Cli) -> None:
    result = await cli("run", "say yes")

    assert result.exit_code == 0
    assert result.stdout == "yes\n"


async def test_standard_error_tells_cost_subscription_and_session(
    cli: Cli, local_pool: LocalPool
) -> None:
    result = await cli("run", "say yes")

    assert "$0.0006 on sub" in result.stderr
    assert local_pool.runner.runs[0].launch.session_id in result.stderr


async def test_a_dash_reads_the_prompt_from_standard_input(cli: Cli, local_pool: LocalPool) -> None:
    await cli("run", "-", stdin="from a file\n")

    assert local_pool.runner.runs[0].launch.prompt == "from a file\n"


async def test_every_option_reaches_the_pool(cli: Cli, local_pool: LocalPool) -> None:
    await cli(
        *("run", "say yes", "--model", "claude-opus-4-5", "--subscription", "sub2"),
        *("--system-prompt", "be brief", "--max-turns", "3", "--max-budget", "0.1"),
        *("--timeout", "7"),
    )

    launch = local_pool.runner.runs[0].launch
    assert (launch.model, launch.system_prompt) == ("claude-opus-4-5", "be brief")
    assert (launch.max_turns, launch.max_budget_usd, launch.timeout_seconds) == (3, "0.1", 7)
    assert "sub2" in local_pool.actors.subscriptions


async def test_a_session_can_be_gone_on_with(cli: Cli, local_pool: LocalPool) -> None:
    await cli("run", "say yes")
    session = local_pool.runner.runs[0].launch.session_id

    await cli("run", "and now?", "--session", session)

    assert local_pool.runner.runs[1].launch.resumes


async def test_json_prints_the_execution(cli: Cli) -> None:
    result = await cli("run", "say yes", "--json")

    assert json.loads(result.stdout)["status"] == "succeeded"


async def test_structured_output_is_printed_instead_of_text(
    cli: Cli, local_pool: LocalPool
) -> None:
    local_pool.runner.script = [Completed(result="", structured_output={"answer": 42})]

    result = await cli("run", "say yes")

    assert json.loads(result.stdout) == {"answer": 42}


async def test_a_failed_run_says_why_and_ends_with_1(cli: Cli, local_pool: LocalPool) -> None:
    local_pool.runner.script = [Failed(kind=FailureKind.TIMEOUT, message="took too long")]

    result = await cli("run", "say yes")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "timeout: took too long" in result.stderr


async def test_in_the_background_the_id_is_printed_at_once(cli: Cli, local_pool: LocalPool) -> None:
    local_pool.runner.hold = True

    result = await cli("run", "say yes", "--background")
    (run,) = await local_pool.runner.wait_for_runs(1)
    run.end(completed())

    assert result.exit_code == 0
    assert result.stdout == f"{run.run_id}\n"


async def test_a_refusal_is_told_by_title_and_detail(cli: Cli) -> None:
    result = await cli("run", "say yes", "--max-turns", "0")

    assert result.exit_code == 1
    assert "The request cannot be accepted: max_turns:" in result.stderr


async def test_an_empty_prompt_is_told_by_field(cli: Cli, local_pool: LocalPool) -> None:
    result = await cli("run", " ")

    assert result.exit_code == 1
    assert "prompt: is empty" in result.stderr
    assert local_pool.runner.runs == []


async def test_markup_in_a_message_is_printed_as_it_is(cli: Cli, local_pool: LocalPool) -> None:
    local_pool.runner.script = [Failed(kind=FailureKind.REFUSAL, message="[bold]no[/nonsense]")]

    result = await cli("run", "say yes")

    assert "[bold]no[/nonsense]" in result.stderr


async def test_a_missing_service_is_told_with_how_to_start_one(cli: Cli) -> None:
    result = await cli("run", "say yes", "--url", "http://127.0.0.1:9")

    assert result.exit_code == 1
    assert "claude-pool serve" in result.stderr


async def test_something_else_that_listens_there_is_told(cli: Cli, url: str) -> None:
    result = await cli("run", "say yes", "--url", f"{url}/docs")

    assert result.exit_code == 1
    assert "There is nothing at this address" in result.stderr


async def test_the_answer_is_printed_as_it_comes_and_once(url: str, local_pool: LocalPool) -> None:
    local_pool.runner.hold = True
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from api.main import app; app()", "run", "say much"),
        env={**os.environ, "CLAUDE_POOL_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert command.stdout is not None
    (run,) = await local_pool.runner.wait_for_runs(1)

    run.says("one ", "two ")
    async with asyncio.timeout(20):
        assert await command.stdout.readexactly(8) == b"one two "
    run.says("three")
    run.end(completed("one two three"))
    rest, told = await command.communicate()

    assert (command.returncode, rest) == (0, b"three\n")
    assert f"{run.run_id} runs on {run.subscription}" in told.decode()


async def test_thinking_and_tools_are_not_printed(cli: Cli, local_pool: LocalPool) -> None:
    local_pool.runner.hold = True
    running = asyncio.create_task(cli("run", "say much"))
    (run,) = await local_pool.runner.wait_for_runs(1)
    thought = {"type": "thinking_delta", "thinking": "hm"}
    event = {"type": "content_block_delta", "index": 0, "delta": thought}
    use = {"type": "tool_use", "id": "t", "name": "Read", "input": {}}
    run.prints(
        {"type": "stream_event", "event": event, "parent_tool_use_id": None},
        {"type": "assistant", "message": {"id": "m", "content": [use]}, "parent_tool_use_id": None},
    )
    run.says("yes")
    run.end()

    assert (await running).stdout == "yes\n"


async def test_what_the_api_broke_off_comes_anew_and_is_told(
    cli: Cli, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    running = asyncio.create_task(cli("run", "say much"))
    (run,) = await local_pool.runner.wait_for_runs(1)
    run.says("one two")
    stop = {"type": "message_stop"}
    broken = {"type": "stream_event", "event": stop, "abandoned_blocks": {"from_block_index": 0}}
    run.prints({**broken, "parent_tool_use_id": None})
    run.says("one three")
    run.end(completed("one three"))

    result = await running

    assert result.stdout == "one two\none three\n"
    assert "the last 7 characters come anew" in result.stderr


async def test_a_failure_in_the_middle_is_told_after_what_came(
    cli: Cli, local_pool: LocalPool
) -> None:
    local_pool.runner.hold = True
    running = asyncio.create_task(cli("run", "say much"))
    (run,) = await local_pool.runner.wait_for_runs(1)
    run.says("one ")
    run.end(Failed(kind=FailureKind.TIMEOUT, message="too slow"))

    result = await running

    assert (result.exit_code, result.stdout) == (1, "one \n")
    assert "failed, timeout: too slow" in result.stderr


async def test_an_attempt_that_went_on_elsewhere_is_told(cli: Cli, local_pool: LocalPool) -> None:
    local_pool.runner.script = [Failed(kind=FailureKind.OVERLOADED, message="too many")]

    result = await cli("run", "say yes")

    assert (result.exit_code, result.stdout) == (0, "yes\n")
    assert "overloaded on sub" in result.stderr
    assert "too many" in result.stderr


async def test_what_was_cut_off_is_said_to_have_cost_at_least_what_was_seen(
    cli: Cli, local_pool: LocalPool
) -> None:
    cut_off = Failed(
        kind=FailureKind.TIMEOUT,
        message="took too long",
        usage=usage_of("0.0005"),
        usage_source=UsageSource.PARTIAL,
    )
    local_pool.runner.script = [cut_off, cut_off]

    result = await cli("run", "say yes")
    shown = json.loads((await cli("run", "say yes", "--json")).stdout)
    explained = await cli("explain", shown["id"])

    assert "failed in 0.0 s, at least $0.0005 on sub1" in " ".join(result.stderr.split())
    assert (shown["usage"]["cost_usd"], shown["usage"]["partial"]) == (0.0005, True)
    assert shown["attempts"][0]["partial"] is True
    assert "at least $0.0005" in explained.stdout


@pytest.mark.slow
async def test_a_terminal_shows_what_is_waited_for_and_a_pipe_gets_the_answer_alone(
    url: str, operator_key: str, tmp_path: Path
) -> None:
    how = {"CLAUDE_POOL_URL": url, "CLAUDE_POOL_KEY": operator_key}
    with (tmp_path / "answer").open("wb") as answer:
        async with on_a_terminal("run", "say yes", stdout=answer, **how) as terminal:
            await terminal.shows("⠋")  # a spinner, whatever it says by then
            await terminal.shows("succeeded in")
            assert await terminal.ended() == 0

    assert (tmp_path / "answer").read_text() == "yes\n"

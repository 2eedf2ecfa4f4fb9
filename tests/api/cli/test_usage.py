from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import Result
from httpx import AsyncClient

from pool.executions.request import ExecutionRequest
from pool.keys.api_keys import KeySpec
from pool.usage.records import UsageRecord
from tests.support.pools.localpool import LocalPool
from tests.support.values.examples import SONNET, usage_of

Cli = Callable[..., Awaitable[Result]]
WEEK = ("--since", "2026-01-22", "--until", "2026-01-29")
ROWS, DEADLINE_SECONDS = 40, 60


@pytest.fixture
async def spent(http: AsyncClient) -> None:
    """A run, and four dollars beside the pool on another subscription the day before."""
    await http.post("/v1/executions", json={"prompt": "say yes", "subscription_id": "sub1"})
    body = {
        "id": "u-1",
        "timestamp": "2026-01-27T12:00:00Z",
        "models": {"claude-opus-4-1": {"cost_usd": 4, "input_tokens": 2_500_000}},
    }
    assert (await http.post("/v1/subscriptions/sub2/usage", json=body)).status_code == 201


@pytest.fixture
def on_a_terminal(url: str) -> Callable[..., Awaitable[list[str]]]:
    """Run the command on a terminal of a width; the lines that it shows."""

    async def run(*arguments: str, width: int, ascii_only: bool = False) -> list[str]:
        return await asyncio.to_thread(_shown, url, arguments, width, ascii_only)

    return run


Terminal = Callable[..., Awaitable[list[str]]]


def _shown(url: str, arguments: tuple[str, ...], width: int, ascii_only: bool) -> list[str]:
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, width, 0, 0))
    unwanted = {"COLUMNS", "LINES", "FORCE_COLOR", "PYTHONIOENCODING"}
    environ = {name: value for name, value in os.environ.items() if name not in unwanted}
    environ |= {
        "CLAUDE_POOL_URL": url,
        "TERM": "xterm",
        "NO_COLOR": "1",
        "PYTHONIOENCODING": "ascii" if ascii_only else "utf-8",
    }
    command = [str(Path(sys.executable).with_name("claude-pool")), "usage", *arguments]
    with subprocess.Popen(
        command, env=environ, stdin=writer, stdout=writer, stderr=writer
    ) as child:
        os.close(writer)
        shown = b""
        while True:
            try:
                piece = os.read(reader, 65536)
            except OSError:  # the terminal has no other side any more
                break
            if not piece:
                break
            shown += piece
        os.close(reader)
        assert child.wait(DEADLINE_SECONDS) == 0, shown.decode()
    return shown.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()


# -- in a pipe -----------------------------------------------------------------------------------


async def test_usage_is_shown_by_a_tag_and_a_grouping_that_there_is_not_is_named(
    cli: Cli, http: AsyncClient
) -> None:
    body = {"prompt": "say yes", "metadata": {"project": "billing"}}
    await http.post("/v1/executions", json=body)

    found = await cli("usage", "--by", "tag:project", *WEEK)
    unknown = await cli("usage", "--by", "week", *WEEK)

    heading, line = found.stdout.splitlines()
    assert heading.startswith("tag:project,records,")
    assert line.startswith("billing,1,")
    assert unknown.exit_code == 2
    assert "tag:KEY" in unknown.stderr


async def test_a_pipe_gets_the_data_alone(cli: Cli, http: AsyncClient, spent: None) -> None:
    result = await cli("usage", *WEEK)

    params = {"since": "2026-01-22T00:00Z", "until": "2026-01-29T00:00Z", "format": "csv"}
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert result.stdout_bytes.decode() == (await http.get("/v1/usage", params=params)).text


async def test_json_lines_are_those_of_the_service(
    cli: Cli, http: AsyncClient, spent: None
) -> None:
    result = await cli("usage", *WEEK, "--by", "day", "--by", "key", "--format", "jsonl")

    assert [json.loads(line)["day"] for line in result.stdout.splitlines()] == [
        "2026-01-27",
        "2026-01-28",
    ]
    assert json.loads(result.stdout.splitlines()[0])["key"] is None


async def test_one_subscription_can_be_asked_for(cli: Cli, spent: None) -> None:
    result = await cli(
        "usage", *WEEK, "--by", "subscription", "--subscription", "sub2", "--format", "csv"
    )

    assert [line.partition(",")[0] for line in result.stdout.splitlines()[1:]] == ["sub2"]


async def test_a_table_in_a_pipe_has_no_chart(cli: Cli, spent: None) -> None:
    result = await cli("usage", *WEEK, "--format", "table")

    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [
        [
            "day",
            "records",
            "cost",
            "input",
            "output",
            "cache",
            "writes",
            "cache",
            "reads",
            "of",
            "which",
        ],
        ["2026-01-27", "1", "$4.00", "2.5M", "0", "0", "0", "external", "$4.00"],
        ["2026-01-28", "1", "$0.0006", "100", "20", "0", "0"],
        ["total", "2", "$4.00", "2.5M", "20", "0", "0", "external", "$4.00"],
    ]


async def test_what_the_service_refuses_is_told(cli: Cli) -> None:
    result = await cli("usage", "--since", "2020-01-01", "--until", "2026-01-01")

    assert result.exit_code == 1
    assert "366 days" in result.stderr
    assert result.stdout == ""


async def test_a_part_that_is_not_covered_is_told_beside_the_data(
    cli: Cli, local_pool: LocalPool, spent: None
) -> None:
    ledger = local_pool.actors.subscription("sub1")._context.ledger
    await ledger.expire(local_pool.clock() + timedelta(seconds=1))

    result = await cli("usage", *WEEK, "--by", "session", "--format", "jsonl")

    assert result.exit_code == 0
    assert "not of the whole range" in result.stderr
    assert len(result.stdout.splitlines()) == 1


async def test_the_default_is_the_last_seven_days_of_the_calendar(cli: Cli) -> None:
    result = await cli("usage", "--until", "2026-01-28T09:00", "--format", "csv")

    assert result.exit_code == 0, result.output


async def test_blocks_are_told_by_their_beginning_and_only_the_pool_s_own_runs_need_no_source(
    cli: Cli, spent: None
) -> None:
    result = await cli(
        "usage", *WEEK, "--by", "block", "--subscription", "sub1", "--format", "table"
    )

    heading, row, total = (line.split() for line in result.stdout.splitlines())
    assert heading[-1] == "reads"
    assert row == ["2026-01-28", "10:00", "1", "$0.0006", "100", "20", "0", "0"]
    assert total == ["total", *row[2:]]


# -- on a terminal -------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120])
async def test_a_terminal_shows_a_table_and_a_bar_a_day(
    on_a_terminal: Terminal, width: int, spent: None
) -> None:
    lines = await on_a_terminal(*WEEK, width=width)

    assert max(map(len, lines)) <= width
    chart = lines[lines.index("") + 1 :]
    assert [line[:10] for line in chart[:7]] == [f"2026-01-{day}" for day in range(22, 29)]
    assert chart[5].count("▒") + chart[5].count("█") == width - len("2026-01-27 ") - len("$0.0006 ")
    assert chart[5].endswith("  $4.00")


async def test_parts_of_a_bar_differ_without_colour(
    on_a_terminal: Terminal, http: AsyncClient, spent: None
) -> None:
    body = {
        "timestamp": "2026-01-27T13:00:00Z",
        "models": {"claude-sonnet-4-5": {"cost_usd": 4, "input_tokens": 1}},
    }
    await http.post("/v1/subscriptions/sub3/usage", json=body)

    lines = await on_a_terminal(*WEEK, width=80)

    bar, legend = next(each for each in lines if "$8.00" in each and "▓" in each), lines[-1]
    assert bar.count("▒") == pytest.approx(bar.count("▓"), abs=1)
    assert legend.split() == ["██", "sub1", "▒▒", "sub2", "▓▓", "sub3"]


async def test_a_terminal_without_blocks_gets_plain_characters(
    on_a_terminal: Terminal, spent: None
) -> None:
    lines = await on_a_terminal(*WEEK, width=80, ascii_only=True)

    assert "".join(lines).isascii()
    assert lines[-1].split() == ["##", "sub1", "==", "sub2"]


async def test_one_subscription_is_split_by_model(
    on_a_terminal: Terminal, local_pool: LocalPool, spent: None
) -> None:
    record = {
        "id": "more",
        "subscription_id": "sub2",
        "timestamp": "2026-01-26T12:00:00Z",
        "usage": usage_of("2", model="claude-haiku\x1b[2J"),
    }
    await local_pool.actors.subscription("sub2").record(UsageRecord.model_validate(record))

    lines = await on_a_terminal(*WEEK, "--subscription", "sub2", width=80)

    assert lines[-1].split() == ["██", "claude-haiku?[2J", "▒▒", "claude-opus-4-1"]


async def test_nothing_used_is_a_table_without_a_chart(on_a_terminal: Terminal) -> None:
    lines = await on_a_terminal(*WEEK, width=100)

    assert len(lines) == 1


async def test_what_is_ones_own_is_shown_with_what_is_left(
    cli: Cli, local_pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await local_pool.client.create_key(KeySpec(name="ops", scopes=("admin",)))
    budget = KeySpec(name="ci", scopes=("execute",), daily_budget_usd=Decimal(2))
    issued = await local_pool.client.create_key(budget)
    monkeypatch.setenv("CLAUDE_POOL_KEY", issued.secret.get_secret_value())
    await local_pool.client.execute(ExecutionRequest(prompt="say yes"), caller="ci")
    await local_pool.client.execute(ExecutionRequest(prompt="say yes"))

    shown = (await cli("usage", "--own")).stdout.splitlines()

    costs = [line for line in shown if "$0.0006" in line]
    assert [line.split()[0] for line in costs] == ["today", SONNET, "this", SONNET, "seven", SONNET]
    assert shown[-1].endswith("of the daily budget of $2.00 are left")

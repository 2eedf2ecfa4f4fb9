"""Runs with tools on the real CLI: what is granted works, and nothing else does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from api.demo.standin.behaviour import Behaviour, Call
from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin
from pool.claude.binary.installation import Installation
from pool.claude.binary.locate import find_executable
from pool.claude.launch.environment import environment
from pool.claude.launch.launch_spec import Launch
from pool.claude.process.identity import start_time
from pool.claude.process.process_runner import ProcessRunner
from pool.executions.outcome import Completed, Outcome
from pool.executions.tools.permissions import AgentSettings
from pool.subscriptions.spec import Credential, SubscriptionSpec
from tests.support.clis.brief_cli import brief

TOKEN = f"test-token-{uuid.uuid4().hex}"
MODEL = "claude-sonnet-4-5-20250929"

MCP_SERVER = """\
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    tool = {"name": "shout", "description": "shouts", "inputSchema": {"type": "object"}}
    answers = {
        "initialize": {
            "protocolVersion": "2024-11-05",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "loud", "version": "1"},
        },
        "tools/list": {"tools": [tool]},
        "tools/call": {"content": [{"type": "text", "text": "HELLO FROM THE SERVER"}]},
    }
    answer = {"jsonrpc": "2.0", "id": message["id"], "result": answers.get(message["method"], {})}
    print(json.dumps(answer), flush=True)
"""


class Bench:
    """A subscription on the stand-in, and a directory to work in."""

    def __init__(self, api: Server, folder: Path) -> None:
        executable = find_executable(None, search_path="/nonexistent")
        self.runner = ProcessRunner(Installation(str(executable), None).executable, folder / "runs")
        self.folder = folder
        self.work = folder / "granted"
        self.work.mkdir()
        self.variables = environment(
            SubscriptionSpec(id="sub1", credential=Credential(oauth_token_env="T")),
            parent={"PATH": os.environ["PATH"], "T": TOKEN},
            config_dir=folder / "config",
            home=folder / "home",
            extra=brief(api.url),
            is_root=os.geteuid() == 0,
        )

    def launch(self, prompt: str, *tools: str, **agent: Any) -> Launch:
        return Launch(
            run_id=f"exec_{uuid.uuid4().hex}",
            prompt=prompt,
            session_id=str(uuid.uuid4()),
            resumes=False,
            model=MODEL,
            timeout_seconds=60,
            tools=tools,
            agent=AgentSettings(**agent),
        )

    async def run(self, prompt: str, *tools: str, **agent: Any) -> Outcome:
        launch = self.launch(prompt, *tools, **agent)
        started = await self.runner.start(launch, self.variables)
        outcome = await asyncio.wait_for(started.outcome(), 60)
        await started.discard()
        return outcome


@pytest.fixture(scope="module")
def standin() -> Standin:
    return Standin()


@pytest.fixture(scope="module")
def api(standin: Standin) -> Iterator[Server]:
    with serving(create_app(standin)) as server:
        yield server


@pytest.fixture
async def bench(api: Server, tmp_path: Path) -> Bench:
    return Bench(api, tmp_path)


@pytest.fixture
def sent(standin: Standin) -> Callable[[], dict[str, Any]]:
    """The last request that reached the API."""

    def last() -> dict[str, Any]:
        found: dict[str, Any] = standin.requests.all(TOKEN, path="/v1/messages")[-1].body or {}
        return found

    return last


def calls(tool: str, **given: Any) -> str:
    """A prompt upon which the stand-in has a tool called."""
    return f"do it [[standin tool name={tool} input={json.dumps(given)}]]"


async def test_a_command_does_not_outlive_a_supervisor_and_cli_that_are_killed(
    bench: Bench,
) -> None:
    alone = f"setsid sleep 60 3>&- & echo $! > {bench.work}/pid; wait"
    sleeping = calls("Bash", command=alone, timeout=50_000)
    launch = bench.launch(sleeping, "Bash", working_directory=bench.work)
    run = await bench.runner.start(launch, bench.variables)
    async with asyncio.timeout(30):
        while not (said := _read(bench.work / "pid")):
            await asyncio.sleep(0.05)
    assert start_time(int(said)) is not None

    started = run.directory.started()
    assert started is not None
    for each in (started.supervisor, started.cli):
        os.kill(each.pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        while started.cli.is_alive():
            await asyncio.sleep(0.01)
        await run.outcome()
        while start_time(int(said)) is not None:  # it was killed, and is on its way out
            await asyncio.sleep(0.01)


def _read(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


async def _result(
    bench: Bench, sent: Callable[[], dict[str, Any]], *asked: Any, **agent: Any
) -> str:
    outcome = await bench.run(*asked, **agent)
    assert isinstance(outcome, Completed), outcome
    return json.dumps(sent()["messages"][-1])


Sent = Callable[[], dict[str, Any]]


class Answers(NamedTuple):
    """What a run with some grants was answered by its tools, all called at once."""

    by_call: dict[str, str]
    made: list[str]
    """Names of what is in the directory that it worked in."""


@pytest.fixture(scope="module")
def answers(api: Server, standin: Standin, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """``Read`` and an MCP server are granted, in a directory and an added one; ``Bash`` is not."""
    bench = Bench(api, tmp_path_factory.mktemp("granted"))
    added = bench.folder / "added"
    added.mkdir()
    calls = {"shouts": Call(name="mcp__loud__shout", input={}, id="shouts")}
    for name, folder in {"within": bench.work, "added": added, "outside": bench.folder}.items():
        notes = folder / "notes.txt"
        notes.write_text("the word is marzipan")
        calls[name] = Call(name="Read", input={"file_path": str(notes)}, id=name)
    command = {"command": "echo done > made.txt", "description": "d"}
    calls["ungranted"] = Call(name="Bash", input=command, id="ungranted")
    server = bench.folder / "server.py"
    server.write_text(MCP_SERVER)
    standin.next(Behaviour(kind="tool", calls=tuple(calls.values())))
    run = bench.run(
        "do it",
        *("Read", "mcp__loud__shout"),
        working_directory=bench.work,
        add_directories=(added,),
        mcp_servers={"loud": {"command": sys.executable, "args": [str(server)]}},
    )
    outcome = asyncio.run(run)
    assert isinstance(outcome, Completed), outcome
    told = (standin.requests.all(TOKEN, path="/v1/messages")[-1].body or {})["messages"][-1]
    results = [each for each in told["content"] if each["type"] == "tool_result"]
    by_call = {each["tool_use_id"]: json.dumps(each["content"]) for each in results}
    return Answers(by_call, [path.name for path in bench.work.iterdir()])


def test_a_granted_tool_works_in_the_working_directory(answers: Answers) -> None:
    assert "marzipan" in answers.by_call["within"]


def test_a_file_outside_of_the_working_directory_is_out_of_reach(answers: Answers) -> None:
    assert "marzipan" not in answers.by_call["outside"]


def test_an_added_directory_is_within_reach(answers: Answers) -> None:
    assert "marzipan" in answers.by_call["added"]


def test_a_tool_that_was_not_granted_does_nothing(answers: Answers) -> None:
    assert "ungranted" in answers.by_call
    assert answers.made == ["notes.txt"]


def test_an_mcp_server_that_was_granted_is_asked(answers: Answers) -> None:
    assert "HELLO FROM THE SERVER" in answers.by_call["shouts"]


async def test_a_rule_grants_the_commands_it_names_alone(bench: Bench, standin: Standin) -> None:
    both = tuple(
        Call(name="Bash", input={"command": command, "description": "d"}, id=f"toolu_{at}")
        for at, command in enumerate(("mkdir other", "touch allowed.txt"))
    )
    standin.next(Behaviour(kind="tool", calls=both))

    await bench.run("do it", "Bash(touch allowed.txt)", working_directory=bench.work)

    assert [path.name for path in bench.work.iterdir()] == ["allowed.txt"]


async def test_a_run_without_a_directory_has_one_of_its_own_that_goes_with_it(
    bench: Bench, sent: Sent
) -> None:
    prompt = calls("Bash", command="pwd; touch mine.txt", description="d")

    answer = await _result(bench, sent, prompt, "Bash")

    assert str(bench.folder / "runs") in answer
    assert list((bench.folder / "runs").iterdir()) == []


async def test_edits_are_accepted_where_that_mode_is_asked_for(bench: Bench, sent: Sent) -> None:
    prompt = calls("Write", file_path=str(bench.work / "new.txt"), content="written")

    await bench.run(prompt, "Write", working_directory=bench.work, permission_mode="acceptEdits")

    assert (bench.work / "new.txt").read_text() == "written"


async def test_the_appended_system_prompt_and_the_sub_agents_reach_the_model(
    bench: Bench, sent: Sent
) -> None:
    agents = {"baker": {"description": "bakes marzipan", "prompt": "You bake."}}

    outcome = await bench.run(
        "hello", "Task", append_system_prompt="Say it in Latin.", sub_agents=agents
    )

    assert isinstance(outcome, Completed)
    body = json.dumps(sent())
    assert "Say it in Latin." in body
    assert "bakes marzipan" in body


def command_lines() -> list[str]:
    """Of every process there is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().decode(errors="replace"))
    return found


async def test_what_configures_a_run_is_on_no_command_line(bench: Bench) -> None:
    words: list[str] = []
    prompt = "hello [[standin slow seconds=1]]"
    launch = bench.launch(prompt, "Read", append_system_prompt="a private word", sub_agents={})
    schema = {"type": "object", "description": "a private word"}
    started = await bench.runner.start(
        launch.model_copy(update={"json_schema": schema}), bench.variables
    )
    running = asyncio.create_task(started.outcome())
    while not running.done():
        words += await asyncio.to_thread(command_lines)
        await asyncio.sleep(0.05)
    outcome = await running

    assert isinstance(outcome, Completed)
    assert outcome.structured_output == {}
    assert any(launch.session_id in word for word in words)  # it was seen
    assert not any("a private word" in word or TOKEN in word for word in words)

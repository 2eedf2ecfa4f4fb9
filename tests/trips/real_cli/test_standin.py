"""The stand-in against the real Claude CLI: what its answers turn into, once they went through the
real program. Schemas, further errors and what it tells an API key are in ``test_executions.py``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.demo.standin.behaviour import Behaviour
from api.demo.standin.messages_api import create_app
from api.demo.standin.quota import Allowance, Quota, five_hour_quota
from api.demo.standin.server import Server, serving
from api.demo.standin.standin import Standin
from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.ending import Ending
from pool.claude.output.stream import reading_of
from pool.executions.outcome import Failed, FailureKind
from tests.support.clis.brief_cli import brief

SONNET = "claude-sonnet-4-5-20250929"
ONE_ANSWER = 600_000  # nano-dollars
DENIED = ["Read", "Bash", "Edit", "Write", "WebFetch", "WebSearch", "Agent", "Task", "Skill"]


def claude() -> str | None:
    if found := shutil.which("claude"):
        return found
    sdk = importlib.util.find_spec("claude_agent_sdk")
    bundled = Path(sdk.origin or "").parent / "_bundled" / "claude" if sdk else Path()
    return str(bundled) if bundled.is_file() else None


pytestmark = pytest.mark.skipif(claude() is None, reason="no Claude CLI on this machine")


class Clock:
    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


CLOCK = Clock()
LAUNCH = Launch(
    run_id="exec_1",
    prompt="hello",
    session_id="77ae021c-28d4-400d-9fda-9c9f53307d0d",
    resumes=False,
    model=SONNET,
    timeout_seconds=60,
)


@dataclass(frozen=True)
class Run:
    exit_code: int | None = None
    """Of a process that has ended."""
    lines: tuple[dict[str, Any], ...] = ()
    stderr: str = ""

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["type"] == kind]

    @property
    def result(self) -> dict[str, Any]:
        return self.of_type("result")[-1]

    @property
    def limits(self) -> dict[str, Any]:
        info: dict[str, Any] = self.of_type("rate_limit_event")[-1]["rate_limit_info"]
        return info


Ask = Callable[..., Run]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(create_app(Standin(clock=CLOCK))) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(server: Server) -> None:
    CLOCK.ahead = timedelta()
    server.standin.reset()


@pytest.fixture
def ask(server: Server, tmp_path: Path) -> Ask:
    """Have a CLI of its own asked, which ends then."""

    def run(prompt: str, *options: str, model: str = SONNET, **credential: str) -> Run:
        stdin = user_message(prompt)
        done = subprocess.run(
            argv(*options, model=model),
            input=stdin,
            env=environment(server, tmp_path, **credential),
            cwd=private_directory(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = tuple(json.loads(line) for line in done.stdout.splitlines())
        return Run(done.returncode, lines, done.stderr)

    return run


@pytest.fixture(scope="module")
def go_on(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Run]]:
    """Have the CLI asked that was asked before: a process takes 0.7 s of a core."""
    folder = tmp_path_factory.mktemp("cli")
    with subprocess.Popen(
        argv(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(server, folder),
        cwd=private_directory(folder),
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said, told = process.stdin, process.stdout

        def turn(prompt: str) -> Run:
            said.write(user_message(prompt))
            said.flush()
            lines: list[dict[str, Any]] = []
            while not lines or lines[-1]["type"] != "result":
                lines.append(json.loads(told.readline()))
            return Run(lines=tuple(lines))

        yield turn
        said.close()


def argv(*options: str, model: str = SONNET) -> list[str]:
    settings = {"permissions": {"deny": DENIED}, "disableAllHooks": True}
    return [
        claude() or "",
        *("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
        *("--model", model, "--tools", "", "--strict-mcp-config", "--setting-sources="),
        *("--restricted", "--settings", json.dumps(settings), "--permission-mode", "dontAsk"),
        *("--permission-prompts", "none", "--disable-slash-commands"),
        *("--system-prompt", "be brief", *options),
    ]


def user_message(prompt: str) -> str:
    content = [{"type": "text", "text": prompt}]
    message = {"type": "user", "message": {"role": "user", "content": content}}
    return json.dumps({**message, "client_composed": True}) + "\n"


def environment(server: Server, home: Path, **credential: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "CLAUDE_CONFIG_DIR": str(home / "config"),
        **brief(server.url),
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "IS_SANDBOX": "1",
        **(credential or {"CLAUDE_CODE_OAUTH_TOKEN": "test-token-a"}),
    }


def private_directory(home: Path) -> Path:
    (home / "work").mkdir(exist_ok=True)
    return home / "work"


def test_a_plain_answer_costs_what_the_bill_says_and_shows_both_windows(
    server: Server, go_on: Ask
) -> None:
    server.standin.set_quota(
        Quota(
            five_hour=Allowance(quota_nano_usd=10 * ONE_ANSWER, length_seconds=3600),
            seven_day=Allowance(quota_nano_usd=20 * ONE_ANSWER, length_seconds=7200),
        )
    )
    prompt = "  /clear @/etc/hostname\n\n--help “é”  "

    run = go_on(prompt)

    assert run.result["is_error"] is False
    assert run.result["result"].startswith("REPLY sha=")
    assert round(run.result["total_cost_usd"] * 1e9) == ONE_ANSWER
    assert server.standin.bill.total("test-token-a").cost_nano_usd == ONE_ANSWER
    assert server.standin.last_user_text("test-token-a") == prompt
    assert "be brief" in server.standin.requests.all()[0].system_text()
    assert [each.path for each in server.standin.requests.all()] == ["/v1/messages"]
    assert run.limits["status"] == "allowed"
    windows = run.limits["unifiedWindows"]
    assert windows["five_hour"]["utilization"] == 0.1
    assert windows["seven_day"]["utilization"] == 0.05
    assert {window["status"] for window in windows.values()} == {"allowed"}


def test_the_cli_and_the_bill_agree_on_the_price_of_every_kind_of_token(
    server: Server, ask: Ask
) -> None:
    tokens = "in=7 out=11 cache_5m=1000 cache_1h=100 cache_read=13"

    run = ask(f"[[standin {tokens}]]", model="claude-opus-5-5")

    assert round(run.result["total_cost_usd"] * 1e9) == server.standin.bill.total().cost_nano_usd
    assert server.standin.bill.lines()[0].model == "claude-opus-5-5"


def test_a_spent_window_is_a_reached_limit_until_it_reopens(server: Server, go_on: Ask) -> None:
    spent = five_hour_quota(2 * ONE_ANSWER, length_seconds=60, used_nano_usd=2 * ONE_ANSWER)
    set_at = CLOCK()
    server.standin.set_quota(spent)

    refused = go_on("hello")
    CLOCK.ahead = timedelta(seconds=60)
    recovered = go_on("hello")

    assert refused.result["is_error"] is True
    assert 0 < refused.limits["resetsAt"] - set_at.timestamp() <= 61
    assert refused.result["api_error"] == "usage_limit_reached"
    assert refused.result["api_error_status"] == 429
    assert refused.limits["status"] == "rejected"
    assert refused.limits["rateLimitType"] == "five_hour"
    assert refused.limits["isUsingOverage"] is False
    assert refused.limits["unifiedWindows"]["five_hour"]["status"] == "rejected"
    assert recovered.result["is_error"] is False
    assert recovered.limits["unifiedWindows"]["five_hour"]["utilization"] == 0.5
    assert server.standin.requests.count() == 2


def test_an_almost_full_window_is_a_warning(server: Server, go_on: Ask) -> None:
    server.standin.set_quota(five_hour_quota(100 * ONE_ANSWER, used_nano_usd=90 * ONE_ANSWER))

    run = go_on("hello")

    assert run.result["is_error"] is False
    assert run.limits["status"] == "allowed_warning"
    assert run.limits["utilization"] == 0.91
    assert run.limits["surpassedThreshold"] == 0.9


def test_overage_answers_and_says_that_it_costs_money(server: Server, go_on: Ask) -> None:
    spent = five_hour_quota(ONE_ANSWER, used_nano_usd=ONE_ANSWER)
    server.standin.set_quota(spent.model_copy(update={"overage": "allowed"}))

    run = go_on("hello")

    assert run.result["is_error"] is False
    assert run.limits["status"] == "rejected"
    assert run.limits["overageStatus"] == "allowed"
    assert run.limits["isUsingOverage"] is True


def test_a_burst_is_no_spent_window(ask: Ask) -> None:
    run = ask("[[standin burst]]")

    assert run.exit_code == 1
    assert "rateLimitType" not in run.limits
    assert run.result.get("api_error") != "usage_limit_reached"
    assert failure(run) == (FailureKind.RATE_LIMITED, 0, True)


def failure(run: Run) -> tuple[FailureKind, int, bool]:
    """What a pool makes of a run that fails: its name, its cost, and whether that is certain."""
    reading = reading_of((json.dumps(line).encode() for line in run.lines), CLOCK())
    outcome = conclude(reading, Ending(exit_code=1), LAUNCH)
    assert isinstance(outcome, Failed), outcome
    return outcome.kind, outcome.usage.cost_nano_usd, outcome.evidence


def test_a_cut_stream_is_sent_again_and_billed_twice(server: Server, go_on: Ask) -> None:
    server.standin.next(Behaviour(kind="cut"))

    run = go_on("hello")

    assert run.result["is_error"] is False
    assert [line.outcome for line in server.standin.bill.lines()] == ["cut", "completed"]


def test_tools_are_called_as_often_as_asked(server: Server, go_on: Ask) -> None:
    run = go_on('[[standin tool name=Nothing steps=2 input={"a": 1}]]')

    assert run.result["is_error"] is False
    assert run.result["num_turns"] == 3
    assert server.standin.bill.total().requests == 3


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        ("unauthorized", 401, FailureKind.AUTHENTICATION),
        ("credit_too_low", 400, FailureKind.CREDIT_EXHAUSTED),
        ("overloaded", 529, FailureKind.OVERLOADED),
    ],
)
def test_an_error_of_the_api_is_one_of_the_cli_with_its_name_and_no_cost(
    server: Server, go_on: Ask, asked: str, status: int, kind: FailureKind
) -> None:
    """At the end: a process that has been refused once tries nothing again."""
    run = go_on(f"[[standin {asked}]]")

    assert (run.result["is_error"], run.result["api_error_status"]) == (True, status)
    assert server.standin.bill.total().requests == 0
    assert failure(run) == (kind, 0, True)


def test_a_killed_cli_leaves_a_cut_line_on_the_bill(server: Server, tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text(user_message("[[standin stall]]"))
    with (tmp_path / "prompt").open() as stdin:  # a regular file serves as well as a pipe
        process = subprocess.Popen(
            argv(),
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            env=environment(server, tmp_path),
            cwd=private_directory(tmp_path),
        )

    server.standin.wait_until(lambda: server.standin.stalled == 1)
    process.kill()
    process.wait(10)
    server.standin.wait_until(lambda: server.standin.bill.lines()[0].outcome == "cut")

    (line,) = server.standin.bill.lines()
    assert (line.usage.input_tokens, line.usage.output_tokens) == (100, 10)

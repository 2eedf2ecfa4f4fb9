"""Runs of the real CLI that were killed: what is found of them against what the stand-in billed.

Where every answer was seen to its end the two are equal. Where one was cut off, its input is equal,
and its output is what ``message_start`` announced: the difference is asserted to the token. A
request of which nothing was seen is missing altogether, and counted as unanswered.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.demo.standin.behaviour import Behaviour
from api.demo.standin.bill import Usage as Billed
from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from pool.claude.binary.installation import Installation
from pool.claude.binary.locate import find_executable
from pool.claude.launch import command
from pool.claude.launch.environment import environment
from pool.claude.launch.launch_spec import Launch
from pool.claude.process import start as starts
from pool.claude.process.idle.kept import Keeping
from pool.claude.process.leftovers import clean
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.process_runner import ProcessRunner
from pool.claude.process.rescan import rescan
from pool.executions.outcome import Completed, Failed, FailureKind
from pool.executions.process_way import ProcessWay
from pool.executions.status import ExecutionStatus, final_status
from pool.subscriptions.spec import Credential, SubscriptionSpec
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage, Usage
from tests.support.clis.brief_cli import brief

MODEL = "claude-sonnet-4-5-20250929"
ENDLESS = {"command": "tail -f /dev/null", "description": "d"}
SUBAGENT = {"description": "d", "prompt": "p", "subagent_type": "general-purpose"}


def charged(input_tokens: int, output_tokens: int, written: int = 0, read: int = 0) -> Usage:
    """Tokens at the price of the model: what the stand-in bills, and the CLI reports."""
    cost = input_tokens * 3_000 + output_tokens * 15_000 + written * 3_750 + read * 300
    counts = ModelUsage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
        cost_nano_usd=cost,
    )
    return Usage(models={MODEL: counts})


RATES = LearnedPrices()
for each in (charged(100, 20), charged(100, 1), charged(1, 1, 1), charged(1, 1, 0, 1)):
    RATES = RATES.having_seen(each)


@pytest.fixture(scope="module")
def executable() -> Path:
    return find_executable(None, search_path="/nonexistent")


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app()) as server:
        yield server


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    return tmp_path / "config"


either_way = pytest.mark.parametrize(
    "subscription", [ProcessWay.COLD, ProcessWay.KEPT], indirect=True
)
"""A turn of a session that is gone on with has a process of its own, or a kept one. The first turn
of a session is the same either way.
"""


@pytest.fixture
async def subscription(
    api: Server, executable: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[OneSubscription]:
    api.standin.reset()
    way = getattr(request, "param", ProcessWay.COLD)
    subscription = OneSubscription(api, executable, tmp_path, way)
    yield subscription
    for run in subscription.runs:
        await run.stop()
    await asyncio.gather(*(run.outcome() for run in subscription.runs))
    await subscription.runner.let_go()
    await asyncio.gather(*(run.gone() for run in subscription.runs))


class OneSubscription:
    """One subscription with a runner, of which everything is thrown away after the test."""

    def __init__(self, api: Server, executable: Path, path: Path, way: ProcessWay) -> None:
        self.way = way
        self.api = api
        self.runs: list[ProcessRun] = []
        self.config_dir = path / "config"
        self.token = f"test-token-{uuid.uuid4().hex}"
        find = Installation(str(executable), None).executable
        seconds = 60 if way is ProcessWay.KEPT else 0
        keeping = Keeping(seconds=seconds, places=path / "places", most=4)
        self.runner = ProcessRunner(find, path / "runs", keeping=keeping)
        self.environment = environment(
            SubscriptionSpec(id="sub1", credential=Credential(oauth_token_env="T")),
            parent={"PATH": os.environ["PATH"], "T": self.token, "TMPDIR": str(path)},
            config_dir=self.config_dir,
            home=path,
            extra=brief(api.url),
            is_root=os.geteuid() == 0,
        )

    def launch(self, prompt: str = "hello", **fields: Any) -> Launch:
        return Launch(
            **{
                "run_id": f"exec_{uuid.uuid4().hex}",
                "prompt": prompt,
                "session_id": str(uuid.uuid4()),
                "resumes": False,
                "model": MODEL,
                "timeout_seconds": 30,
                "rates": RATES,
                **fields,
            }
        )

    def next(self, kind: str, *counts: int, **fields: Any) -> None:
        """Let the next answer be of this kind, with these tokens."""
        names = (
            *("input_tokens", "output_tokens"),
            *("cache_creation_5m_input_tokens", "cache_read_input_tokens"),
        )
        usage = Billed(**dict(zip(names, counts, strict=False)))
        behaviour = Behaviour.model_validate({"kind": kind, "usage": usage, **fields})
        self.api.standin.next(behaviour, token=self.token)

    async def start(self, launch: Launch) -> ProcessRun:
        run = await self.runner.start(launch, self.environment)
        assert run.way is (self.way if launch.resumes else ProcessWay.COLD)
        self.runs.append(run)
        return run

    async def answered(self, launch: Launch) -> None:
        outcome = await asyncio.wait_for((await self.start(launch)).outcome(), 30)
        assert isinstance(outcome, Completed)

    async def stalls(self, answers: int = 1) -> None:
        """Wait until that many answers have fallen silent half way."""
        standin = self.api.standin
        await asyncio.to_thread(standin.wait_until, lambda: standin.stalled >= answers, 20)

    async def killed(self, run: ProcessRun) -> Failed:
        """SIGKILL the CLI, and see what is left of it."""
        started = run.directory.started()
        assert started is not None
        os.kill(started.cli.pid, 9)
        outcome = await asyncio.wait_for(run.outcome(), 20)
        assert isinstance(outcome, Failed)
        standin = self.api.standin
        await asyncio.to_thread(
            standin.wait_until,
            lambda: all(line.outcome != "open" for line in standin.bill.lines(self.token)),
            20,
        )
        return outcome

    @property
    def bill(self) -> Usage:
        """What the stand-in charged, in the pool's form."""
        total = self.api.standin.bill.total(self.token)
        usage = total.usage
        written = usage.cache_creation_5m_input_tokens
        billed = charged(
            usage.input_tokens, usage.output_tokens, written, usage.cache_read_input_tokens
        )
        assert billed.cost_nano_usd == total.cost_nano_usd
        return billed


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def until_printed(run: ProcessRun, *words: bytes) -> None:
    def printed() -> bytes:
        piece = run._files.printed(0, 1_000_000)
        return b"" if piece is None else piece.data

    await until(lambda: all(word in printed() for word in words))


async def until_written(config_dir: Path, pattern: str, word: bytes) -> None:
    """Wait until the CLI has written so to a transcript."""
    await until(
        lambda: any(word in path.read_bytes() for path in config_dir.glob(f"projects/*/{pattern}"))
    )


async def test_an_answer_killed_in_mid_stream_is_charged_but_for_its_unseen_output(
    subscription: OneSubscription,
) -> None:
    subscription.next("stall", 1000, 50, 7, 9)
    run = await subscription.start(subscription.launch())
    await subscription.stalls()
    await until_printed(run, b"message_start")

    outcome = await subscription.killed(run)

    assert final_status(outcome) is ExecutionStatus.INTERRUPTED
    assert (outcome.unfinished_answers, outcome.unanswered_requests) == (1, 0)
    assert outcome.usage == charged(1000, 1, 7, 9)
    assert subscription.bill == charged(1000, 25, 7, 9)


async def test_the_same_kill_without_a_known_price_is_uncertain_until_there_is_one(
    subscription: OneSubscription,
) -> None:
    subscription.next("stall", 1000, 50)
    launch = subscription.launch(rates=LearnedPrices())
    run = await subscription.start(launch)
    await subscription.stalls()
    await until_printed(run, b"message_start")

    outcome = await subscription.killed(run)
    await run.discard()

    assert final_status(outcome) is ExecutionStatus.UNCERTAIN
    assert (outcome.kind, outcome.evidence) == (FailureKind.KILLED, False)
    assert outcome.usage.models == {MODEL: ModelUsage(input_tokens=1000, output_tokens=1)}
    assert await rescan(launch, subscription.config_dir, outcome.usage) is None
    priced = launch.model_copy(update={"rates": RATES})
    found = await rescan(priced, subscription.config_dir, outcome.usage)
    assert found is not None
    assert outcome.usage + found.usage == charged(1000, 1)


@either_way
async def test_in_a_resumed_session_the_killed_turn_alone_is_charged(
    subscription: OneSubscription,
) -> None:
    first = subscription.launch()
    await subscription.answered(first)
    before = subscription.bill
    subscription.next("stall", 1000, 50)
    run = await subscription.start(subscription.launch(session_id=first.session_id, resumes=True))
    await subscription.stalls()
    await until_printed(run, b"message_start")

    outcome = await subscription.killed(run)

    assert outcome.usage == charged(1000, 1)
    assert subscription.bill == before + charged(1000, 25)


@either_way
async def test_a_turn_is_found_in_its_session_after_others_have_followed(
    subscription: OneSubscription,
) -> None:
    launches = [subscription.launch()]
    launches += [
        subscription.launch(session_id=launches[0].session_id, resumes=True) for _ in range(2)
    ]
    for turn, launch in enumerate(launches):
        subscription.next("answer", 100 + turn, 20 + turn)
        await subscription.answered(launch)

    found = [await rescan(launch, subscription.config_dir, Usage()) for launch in launches]

    usages = [one.usage for one in found if one is not None]
    assert usages == [charged(100 + turn, 20 + turn) for turn in range(3)]


# -- with tools, which a caller's key may grant ---------------------------------------------------


@pytest.fixture
def with_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs have every tool, as no key can grant it."""

    def argv(launch: Launch, executable: Path, folder: Path) -> tuple[str, ...]:
        closed = command.argv(launch, executable, folder)
        opened = [
            word
            for word in closed
            if not word.startswith(("--tools=", "--settings=", "--restricted", "--permission-mode"))
        ]
        return (*opened, "--tools=Task,Bash", "--permission-mode=bypassPermissions")

    monkeypatch.setattr(starts, "argv", argv)


@pytest.mark.usefixtures("with_tools")
async def test_after_a_finished_tool_turn_the_finished_part_is_charged_in_full(
    subscription: OneSubscription,
) -> None:
    subscription.next(
        "tool", 111, 11, name="Bash", input={"command": "echo hi", "description": "d"}
    )
    subscription.next("stall", 222, 22)
    run = await subscription.start(subscription.launch())
    await subscription.stalls()
    ids = [
        line.message_id.encode() for line in subscription.api.standin.bill.lines(subscription.token)
    ]
    await until_printed(run, *ids)

    outcome = await subscription.killed(run)

    assert (outcome.unfinished_answers, outcome.unanswered_requests) == (1, 0)
    assert outcome.usage == charged(111, 11) + charged(222, 1)
    assert subscription.bill == charged(111, 11) + charged(222, 11)


@pytest.mark.usefixtures("with_tools")
async def test_killed_in_a_tool_nothing_of_the_bill_is_missing(
    subscription: OneSubscription,
) -> None:
    subscription.next("tool", 111, 11, name="Bash", input=ENDLESS)
    run = await subscription.start(subscription.launch())
    await until_printed(run, b"message_stop")
    await until_written(subscription.config_dir, "*.jsonl", b'"tool_use"')

    outcome = await subscription.killed(run)

    assert (outcome.unfinished_answers, outcome.unanswered_requests) == (0, 0)
    assert outcome.usage == subscription.bill == charged(111, 11)


@pytest.mark.usefixtures("with_tools")
async def test_a_subagents_finished_answers_are_charged_from_its_own_transcript(
    subscription: OneSubscription,
) -> None:
    subscription.next("tool", 111, 11, name="Task", input={**SUBAGENT, "run_in_background": False})
    subscription.next("tool", 222, 22, 7, name="Bash", input=ENDLESS)
    run = await subscription.start(subscription.launch())
    await until_written(subscription.config_dir, "*/subagents/agent-*.jsonl", b'"tool_use"')

    outcome = await subscription.killed(run)

    assert (outcome.unfinished_answers, outcome.unanswered_requests) == (0, 0)
    assert outcome.usage == subscription.bill == charged(111, 11) + charged(222, 22, 7)


@pytest.mark.usefixtures("with_tools")
async def test_a_subagent_cut_off_in_its_first_answer_leaves_a_request_without_an_answer(
    subscription: OneSubscription,
) -> None:
    subscription.next("tool", 111, 11, name="Task", input={**SUBAGENT, "run_in_background": False})
    subscription.next("stall", 222, 22)
    run = await subscription.start(subscription.launch())
    await subscription.stalls()
    await until_written(subscription.config_dir, "*/subagents/agent-*.jsonl", b'"api-request"')

    outcome = await subscription.killed(run)

    assert (outcome.unfinished_answers, outcome.unanswered_requests) == (0, 1)
    assert outcome.usage == charged(111, 11)
    assert subscription.bill == charged(111, 11) + charged(222, 11)


# -- what a killed CLI leaves behind --------------------------------------------------------------


@pytest.mark.usefixtures("with_tools")
async def test_what_killed_clis_leave_is_cleaned_and_their_sessions_stay(
    subscription: OneSubscription,
) -> None:
    launch, config = subscription.launch(), subscription.config_dir
    subscription.next("tool", 111, 11, name="Bash", input=ENDLESS)
    run = await subscription.start(launch)
    await until_printed(run, b"message_stop")
    left = ("sessions/*.json", "sessions/*.key", "shell-snapshots/*.sh", "session-env/*")
    await until(lambda: all(any(config.glob(pattern)) for pattern in left))
    await until_written(config, "*.jsonl", b'"tool_use"')
    now = datetime.now(UTC)
    for path in config.glob("sessions/*"):
        os.utime(path, (0, 0))
    assert clean(config, now - timedelta(days=1)) == ()
    await subscription.killed(run)

    removed = clean(config, now + timedelta(days=1))

    assert {".json", ".key", ".sock", ".sh"} <= {path.suffix for path in removed}
    assert not any(any(config.glob(pattern)) for pattern in left)
    assert clean(config, now + timedelta(days=1)) == ()
    subscription.next("answer", 100, 20)
    await subscription.answered(subscription.launch(session_id=launch.session_id, resumes=True))

"""The whole of ``pool.claude`` with the real CLI, against the stand-in for the Messages API."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.demo.standin.behaviour import Behaviour
from api.demo.standin.messages_api import create_app
from api.demo.standin.server import Server, serving
from pool.claude.binary.auth import auth_status
from pool.claude.binary.installation import Installation
from pool.claude.binary.locate import find_executable, read_version
from pool.claude.binary.login import login_end, stored_login
from pool.claude.binary.version import MINIMUM
from pool.claude.launch.environment import environment
from pool.claude.launch.launch_spec import Launch
from pool.claude.process.idle.kept import Keeping
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.process_runner import ProcessRunner
from pool.executions.content.image import Image
from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.executions.process_way import ProcessWay
from pool.executions.request import MAX_PROMPT_BYTES
from pool.subscriptions.spec import Credential, SubscriptionSpec
from pool.usage.records import ModelUsage
from tests.support.clis.brief_cli import brief
from tests.support.suite import fuzz
from tests.support.suite.paths import FIXTURES
from tests.support.values.pictures import GIF, PNG

MODEL = "claude-sonnet-4-5-20250929"
TURN = 600_000
TOKEN = f"test-token-{uuid.uuid4().hex}"  # as no other process has on its command line
DAY_MS = 86_400_000
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["name"],
}


@pytest.fixture(scope="module")
def executable() -> Path:
    # Only the binary inside the SDK is known to be the release that the facts were measured with.
    return find_executable(None, search_path="/nonexistent")


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with serving(create_app()) as server:
        yield server


@pytest.fixture(scope="module")
def subscription(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("subscription")


@pytest.fixture
async def runner(executable: Path, subscription: Path) -> ProcessRunner:
    return ProcessRunner(Installation(str(executable), None).executable, subscription / "runs")


@pytest.fixture
async def keeping_runner(executable: Path, subscription: Path) -> AsyncIterator[ProcessRunner]:
    """One in whose processes sessions go on."""
    keeping = Keeping(seconds=60, places=subscription / "places", most=1)
    find = Installation(str(executable), None).executable
    runner = ProcessRunner(find, subscription / "kept" / "runs", keeping=keeping)
    yield runner
    await runner.let_go()


@pytest.fixture
def of_the_subscription(api: Server, subscription: Path) -> Callable[..., dict[str, str]]:
    def make(credential: Credential | None = None, **parent: str) -> dict[str, str]:
        return environment(
            SubscriptionSpec(id="sub1", credential=credential or Credential(oauth_token_env="T")),
            parent={"PATH": os.environ["PATH"], "T": TOKEN, **parent},
            config_dir=subscription / "config",
            home=subscription / "home",
            extra=brief(api.url),
            is_root=os.geteuid() == 0,
        )

    return make


@pytest.fixture
def run(runner: ProcessRunner, of_the_subscription: Any) -> Callable[..., Any]:
    async def go(prompt: str, **fields: Any) -> Outcome:
        started = await runner.start(a_launch(prompt, **fields), of_the_subscription())
        return await asyncio.wait_for(started.outcome(), 30)

    return go


def a_launch(prompt: str, **fields: Any) -> Launch:
    return Launch(
        **{
            "run_id": f"exec_{uuid.uuid4().hex}",
            "prompt": prompt,
            "session_id": str(uuid.uuid4()),
            "resumes": False,
            "model": MODEL,
            "timeout_seconds": 20,
            "system_prompt": "You are terse.",
            **fields,
        }
    )


async def until_it_stalls(api: Server, token: str = TOKEN) -> None:
    def is_open() -> bool:
        return any(line.outcome == "open" for line in api.standin.bill.lines(token))

    await asyncio.to_thread(api.standin.wait_until, is_open, 20)


async def until_printed(run: ProcessRun, word: bytes) -> None:
    until = time.monotonic() + 20
    while word not in run.directory.stdout.read_bytes():
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


async def exit_code(run: ProcessRun) -> int | None:
    """How the process ends, which is some time after its answer."""
    until = time.monotonic() + 20
    while not run.directory.has_ended():
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    return run.directory.ending(run.run_id).exit_code


async def test_a_run_costs_what_the_api_billed_to_the_nano_dollar(run: Any, api: Server) -> None:
    api.standin.bill.clear()

    outcome = await run("hello")

    assert isinstance(outcome, Completed)
    expected = ModelUsage(input_tokens=100, output_tokens=20, cost_nano_usd=TURN)
    assert outcome.usage.models == {MODEL: expected}
    assert api.standin.bill.total(TOKEN).cost_nano_usd == TURN
    assert [event.status for event in outcome.limits] == ["allowed"]
    assert set(outcome.limits[0].windows) == {"five_hour", "seven_day", "overage"}


async def test_each_turn_of_a_resumed_session_costs_the_same(run: Any, api: Server) -> None:
    session = str(uuid.uuid4())
    totals: list[int | None] = []
    base = None
    for turn, system in enumerate(("Be first.", None, "Be third.")):
        outcome = await run(
            f"turn {turn}",
            session_id=session,
            resumes=turn > 0,
            session_total_nano_usd=base,
            system_prompt=system,
        )
        assert (outcome.session_id, outcome.usage.cost_nano_usd) == (session, TURN)
        base = outcome.session_total_nano_usd
        totals.append(base)

        system_texts = [block["text"] for block in last_body(api)["system"]]
        assert system_texts[-1] == (system or "Be first.")

    assert totals == [TURN, 2 * TURN, 3 * TURN]
    assert len(last_body(api)["messages"]) == 5


def last_body(api: Server) -> dict[str, Any]:
    body: dict[str, Any] = api.standin.requests.all(TOKEN, path="/v1/messages")[-1].body
    return body


PROMPTS = ["-v", "/clear", "text @/etc/hostname", "é\u2028" * 50_000]
MORE_PROMPTS = ["--help", "@/etc/hostname", "!ls"]


@pytest.mark.hypothesis  # all of them, each in a process of its own, in ``make fuzz``
@pytest.mark.parametrize(
    "prompts", [[each] for each in PROMPTS + MORE_PROMPTS] if fuzz.IS_FULL else [PROMPTS]
)
async def test_prompts_reach_the_model_as_they_are(
    keeping_runner: ProcessRunner, of_the_subscription: Any, api: Server, prompts: list[str]
) -> None:
    session = str(uuid.uuid4())
    for turn, prompt in enumerate(prompts):
        before = len(api.standin.requests.all(TOKEN))
        launch = a_launch(prompt, session_id=session, resumes=turn > 0)

        run = await keeping_runner.start(launch, of_the_subscription())
        outcome = await asyncio.wait_for(run.outcome(), 30)

        assert isinstance(outcome, Completed)
        assert run.way is (ProcessWay.KEPT if turn else ProcessWay.COLD)
        assert api.standin.last_user_text(TOKEN) == prompt
        assert len(api.standin.requests.all(TOKEN)) == before + 1


@pytest.mark.parametrize(
    ("prompt", "status", "kind", "cost"),
    [
        ("usage_limit window=seven_day", 429, FailureKind.USAGE_LIMIT, 0),
        ("refusal", None, FailureKind.REFUSAL, 2 * TURN),
    ],
    ids=lambda value: str(value) if isinstance(value, FailureKind) else "",
)
async def test_an_error_of_the_api_is_one_of_the_cli_with_its_name_and_cost(
    runner: ProcessRunner,
    api: Server,
    of_the_subscription: Any,
    prompt: str,
    status: int | None,
    kind: FailureKind,
    cost: int,
) -> None:
    """Others, of one process: ``test_standin_with_the_real_cli.py``."""
    api.standin.bill.clear()
    run = await runner.start(a_launch(f"[[standin {prompt}]]"), of_the_subscription())
    outcome = await asyncio.wait_for(run.outcome(), 30)

    said = [json.loads(line) for line in run.directory.stdout.read_bytes().splitlines()]
    (told,) = (each for each in said if each["type"] == "result")
    assert (told["is_error"], told["api_error_status"]) == (True, status)
    assert await exit_code(run) == 1
    assert api.standin.bill.total(TOKEN).requests == cost // TURN
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.usage.cost_nano_usd, outcome.evidence) == (kind, cost, True)


@pytest.mark.parametrize(
    ("prompt", "fields", "kind", "cost"),
    [
        ("q", {"model": "claude-none"}, FailureKind.MODEL_NOT_FOUND, 0),
        ("q", {"max_budget_usd": "0.0001"}, FailureKind.MAX_BUDGET, TURN),
        ("q", {"resumes": True}, FailureKind.SESSION_NOT_FOUND, 0),
        ("q", {"json_schema": {"type": "none"}}, FailureKind.SCHEMA_MISMATCH, TURN),
    ],
    ids=lambda value: str(value) if isinstance(value, FailureKind) else "",
)
async def test_a_failure_has_its_name_and_keeps_its_cost(
    run: Any, prompt: str, fields: dict[str, Any], kind: FailureKind, cost: int
) -> None:
    outcome = await run(prompt, **fields)

    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.usage.cost_nano_usd, outcome.evidence) == (kind, cost, True)


def too_long() -> Behaviour:
    text = "prompt is too long: 210000 tokens > 200000 maximum"
    return Behaviour(kind="error", status=400, text=text)


async def test_a_prompt_that_fits_no_context_is_told_as_such(run: Any, api: Server) -> None:
    api.standin.always(too_long())
    try:
        outcome = await run("hello")
    finally:
        api.standin.always(None)

    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.usage.cost_nano_usd) == (FailureKind.CONTEXT_FULL, 0)
    assert "210000 tokens" in outcome.message


async def test_a_session_that_fits_no_more_is_compacted_and_goes_on(run: Any, api: Server) -> None:
    session = str(uuid.uuid4())
    assert isinstance(await run("word " * 20_000, session_id=session), Completed)
    api.standin.next(too_long())

    outcome = await run("go on", session_id=session, resumes=True)

    assert isinstance(outcome, Completed)
    assert outcome.usage.cost_nano_usd > TURN  # the summary is billed to the run
    assert "word word" not in str(last_body(api)["messages"])


async def test_an_answer_that_goes_on_where_it_was_cut_off_is_told_whole(
    run: Any, api: Server
) -> None:
    pieces = (Behaviour(kind="max_tokens", text="The beginning, "), Behaviour(text="and the end."))
    api.standin.next(*pieces)

    outcome = await run("hello")

    assert isinstance(outcome, Completed)
    assert (outcome.result, outcome.usage.cost_nano_usd) == (
        "The beginning, and the end.",
        2 * TURN,
    )


async def test_an_answer_that_stays_too_long_is_told_as_such_and_billed(
    run: Any, api: Server
) -> None:
    api.standin.always(Behaviour(kind="max_tokens", text="more"))
    try:
        outcome = await run("hello")
    finally:
        api.standin.always(None)

    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.ANSWER_TOO_LONG
    assert outcome.usage.cost_nano_usd >= 2 * TURN


async def test_a_configuration_that_cannot_be_read_is_told_as_such(
    runner: ProcessRunner, of_the_subscription: Any, tmp_path: Path
) -> None:
    (tmp_path / ".claude.json").write_text("{no json")
    its = {**of_the_subscription(), "CLAUDE_CONFIG_DIR": str(tmp_path)}

    run = await runner.start(a_launch("hello"), its)
    outcome = await asyncio.wait_for(run.outcome(), 30)

    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.evidence) == (FailureKind.STARTUP_FAILED, True)
    assert "mend it" in outcome.message


async def test_an_answer_cut_off_is_billed_and_the_result_does_not_say_so(
    run: Any, api: Server
) -> None:
    api.standin.bill.clear()

    outcome = await run("[[standin error_event]]")

    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.evidence) == (FailureKind.OVERLOADED, False)
    assert outcome.usage.total.input_tokens == 100
    assert api.standin.bill.total(TOKEN).usage.input_tokens >= 100


async def test_a_session_that_goes_on_or_is_forked_answers_by_the_schema_of_its_turn(
    run: Any,
) -> None:
    first = await run("hello")
    forks = {"forks": first.session_id, "session_id": str(uuid.uuid4())}

    for goes_on in (forks, {"resumes": True, "session_id": first.session_id}):
        outcome = await run("give", json_schema=SCHEMA, **goes_on)

        assert isinstance(outcome, Completed), outcome
        assert outcome.structured_output == {"name": ""}


WRITTEN = json.loads((FIXTURES / "answer_schemas.json").read_text())
TAKEN = [name for name in WRITTEN if "mixed tuple" not in name]
OF_EACH_KIND = (
    "zod: recursive",
    "zod: pair of numbers",
    "pydantic: extra keywords",
)
"""Beside those below, which are objects, arrays, choices and unions."""


@pytest.mark.hypothesis  # all of them in ``make fuzz``
@pytest.mark.parametrize("name", TAKEN if fuzz.IS_FULL else OF_EACH_KIND)
async def test_the_cli_takes_every_schema_that_libraries_write(run: Any, name: str) -> None:
    outcome = await run("give", json_schema=WRITTEN[name])

    # The stand-in's smallest instance fits no pattern of a date or an address.
    fits_nothing = isinstance(outcome, Failed) and outcome.kind is FailureKind.SCHEMA_MISMATCH
    assert isinstance(outcome, Completed) or fits_nothing, outcome


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (SCHEMA, {"name": ""}),
        ({"type": "array", "items": SCHEMA}, []),
        ({"enum": ["red", "green"]}, "red"),
        ({"anyOf": [SCHEMA, {"type": "null"}]}, {"name": ""}),
        ({"type": "null"}, None),
    ],
)
async def test_an_answer_may_be_of_any_kind_and_comes_without_any_other_tool(
    run: Any, api: Server, schema: dict[str, Any], answer: Any
) -> None:
    outcome = await run("give", json_schema=schema, max_turns=1)

    assert isinstance(outcome, Completed), outcome
    assert outcome.structured_output == answer
    assert json.loads(outcome.result) == answer
    assert [tool["name"] for tool in last_body(api)["tools"]] == ["StructuredOutput"]


async def test_the_model_is_shown_images_and_never_told_where_they_lie(
    run: Any, api: Server, subscription: Path
) -> None:
    images = (Image(data=PNG, media_type="image/png"), Image(data=GIF, media_type="image/gif"))
    first = await run("what is it?", images=images)
    session = str(first.session_id)

    for go_on in (
        {"session_id": session, "resumes": True},
        {"session_id": str(uuid.uuid4()), "forks": session},
    ):
        assert isinstance(await run("and now?", images=images, **go_on), Completed)

    sent = api.standin.requests.all(path="/v1/messages")[-3:]
    for request in sent:
        told = json.dumps((request.body or {})["messages"])
        assert PNG in told
        assert GIF in told
        assert "[Image" not in told
        assert str(subscription / "runs") not in told


async def test_a_system_prompt_may_be_as_long_as_a_prompt(run: Any, api: Server) -> None:
    outcome = await run("q", system_prompt="\u00e4" * (MAX_PROMPT_BYTES // 2))

    assert isinstance(outcome, Completed), outcome
    assert api.standin.requests.all()[-1].system_text().count("\u00e4") == MAX_PROMPT_BYTES // 2


async def test_a_stalled_answer_ends_at_the_deadline_with_what_it_cost(
    run: Any, api: Server
) -> None:
    outcome = await run("[[standin stall]]", timeout_seconds=8)

    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.TIMEOUT
    assert outcome.usage.total.input_tokens == 100
    assert 300_000 < outcome.usage.cost_nano_usd < TURN


async def test_a_run_stopped_in_mid_stream_tells_what_it_cost_and_shows_nothing_private(
    runner: ProcessRunner, of_the_subscription: Any, api: Server
) -> None:
    api.standin.bill.clear()
    prompt = "[[standin stall]] crown jewels"
    run = await runner.start(a_launch(prompt, system_prompt="crown jewels"), of_the_subscription())
    await until_it_stalls(api)
    await until_printed(run, b"message_start")
    started = run.directory.started()
    assert started is not None
    lines = command_lines()

    await run.stop()
    outcome = await asyncio.wait_for(run.outcome(), 20)

    assert {started.supervisor.pid, started.cli.pid} <= set(lines)
    assert [
        line for line in lines.values() if b"crown jewels" in line or TOKEN.encode() in line
    ] == []
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.evidence) == (FailureKind.INTERRUPTED, True)
    assert outcome.usage.total.input_tokens == 100
    assert 300_000 < outcome.usage.cost_nano_usd < TURN
    assert not (runner._starter.work_dir.exists() and any(runner._starter.work_dir.iterdir()))


def command_lines() -> dict[int, bytes]:
    lines = {}
    for entry in Path("/proc").iterdir():
        # This process may have been started with anything; the runs' descend from it no more.
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                lines[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue
    return lines


async def test_an_api_key_wins_nothing_it_was_not_given(
    runner: ProcessRunner, of_the_subscription: Any, api: Server
) -> None:
    own = of_the_subscription(
        Credential(api_key_env="K"), K="test-token-k", ANTHROPIC_API_KEY="test-token-x"
    )
    run = await runner.start(a_launch("hi"), own)

    outcome = await asyncio.wait_for(run.outcome(), 20)

    assert isinstance(outcome, Completed)
    assert outcome.limits == ()
    assert len(api.standin.bill.lines("test-token-k")) == 1
    assert [each.auth for each in api.standin.requests.all("test-token-k")] == ["x-api-key"]


async def test_the_cli_says_whether_a_subscription_is_signed_in(
    executable: Path, of_the_subscription: Any
) -> None:
    with_token = of_the_subscription()
    without = {name: value for name, value in with_token.items() if value != TOKEN}

    signed_in, signed_out = await asyncio.gather(
        auth_status(executable, with_token), auth_status(executable, without)
    )

    assert (signed_in.logged_in, signed_in.method) == (True, "oauth_token")
    assert signed_out.logged_in is False


@pytest.mark.parametrize(
    "login",
    [
        {},
        {"expiresAt": -60_000},
        {"refreshTokenExpiresAt": -60_000},
        {"expiresAt": 15 * DAY_MS},
        {"refreshTokenExpiresAt": 4000 * DAY_MS},
    ],
)
async def test_the_end_of_a_login_is_what_the_cli_itself_says(
    executable: Path, of_the_subscription: Any, tmp_path: Path, login: dict[str, int]
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    ends = {"expiresAt": 3_600_000, "refreshTokenExpiresAt": 10 * DAY_MS} | login
    kept = {name: round(now.timestamp() * 1000) + ms for name, ms in ends.items()}
    kept |= {"accessToken": "a", "refreshToken": "r", "scopes": ["user:inference"]}  # type: ignore[dict-item]
    (tmp_path / ".credentials.json").write_text(json.dumps({"claudeAiOauth": kept}))
    own = {name: value for name, value in of_the_subscription().items() if value != TOKEN}

    status = await auth_status(executable, own | {"CLAUDE_CONFIG_DIR": str(tmp_path)})

    stored = stored_login(tmp_path)
    assert stored is not None
    assert status.method == "claude.ai"
    assert login_end(stored, now) == status.login_expires_at


async def test_the_binary_of_the_sdk_is_recent_enough(executable: Path) -> None:
    assert await read_version(executable) >= MINIMUM


async def test_the_cli_says_which_models_it_offers_without_asking_the_api(
    runner: ProcessRunner, of_the_subscription: Any, api: Server
) -> None:
    before = api.standin.requests.all()

    offered = await runner.models(of_the_subscription())
    by_key = await runner.models(of_the_subscription(Credential(api_key_env="T")))

    assert offered["sonnet"] == offered["default"] == "claude-sonnet-5-5"
    assert {"opus", "haiku", "fable"} <= offered.keys()
    assert by_key["default"] == "claude-opus-5-5"  # it depends on how one is signed in
    assert api.standin.requests.all() == before

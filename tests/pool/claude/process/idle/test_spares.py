"""Processes that are started ahead, claimed by a run, and everything that keeps one from it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pool.claude.launch.launch_spec import Launch
from pool.claude.process import process_run
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.run_directory import RunDirectory
from pool.claude.process.idle import spares
from pool.claude.process.idle.kept import Keeping
from pool.claude.process.idle.spares import wanted
from pool.claude.process.process_run import ProcessRun
from pool.executions.content.image import Image
from pool.executions.outcome import Completed
from pool.executions.process_way import ProcessWay
from pool.executions.tools.permissions import AgentSettings
from tests.support.clis.idle_processes import IdleProcesses
from tests.support.clis.talking_cli import MODEL, SESSION, TURN_NANO_USD, a_launch
from tests.support.suite.waiting import until
from tests.support.values.pictures import PNG

AHEAD, COLD, KEPT = ProcessWay.AHEAD, ProcessWay.COLD, ProcessWay.KEPT


class OneSubscription(IdleProcesses):
    """One subscription with spares, and the CLI that it talks with."""

    def __init__(self, folder: Path, **keeping: Any) -> None:
        known = {"seconds": 30, "places": folder / "places", "most": 4, "spares": 3}
        super().__init__(folder, Keeping.model_validate({**known, **keeping}))

    async def tend(self, begun: int = 1, model: str = MODEL) -> None:
        await self.runner.tend_spares(begun, self.environment, model)

    async def park(self, model: str = MODEL) -> ProcessDirectory:
        """A spare that is up."""
        before = {each.path for each in self.processes()}
        await self.tend(1, model)
        (spare,) = (each for each in self.processes() if each.path not in before)
        await until(spare.started)
        return spare

    async def promised(self) -> str | None:
        return await self.runner.promise(a_turn(0, SESSION), self.environment)

    async def start(self, number: int = 1, **fields: Any) -> ProcessRun:
        session = await self.promised()
        assert session is not None
        launch = a_turn(number, session, **fields)
        return await self.runner.start(launch, self.environment)

    async def runs(self, number: int = 1, **fields: Any) -> ProcessWay | None:
        """The way of a run that has answered, counted once."""
        run = await self.start(number, **fields)
        outcome = await asyncio.wait_for(run.outcome(), 20)
        assert isinstance(outcome, Completed), outcome
        assert outcome.usage.cost_nano_usd == TURN_NANO_USD
        assert outcome.result == "answer 1"
        return run.way


def a_turn(number: int, session: str, **fields: Any) -> Launch:
    known = {"session_id": session, "system_prompt": "You are terse."}
    return a_launch(f"exec_{number}", **{**known, **fields})


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "READY_SECONDS", 0.0)
    monkeypatch.setattr(spares, "has_room", lambda: True)


@pytest.fixture
async def subscription(tmp_path: Path) -> AsyncIterator[OneSubscription]:
    subscription = OneSubscription(tmp_path)
    yield subscription
    await subscription.end()


async def test_a_run_has_the_process_that_was_started_ahead(subscription: OneSubscription) -> None:
    spare = await subscription.park()

    run = await subscription.start()
    outcome = await asyncio.wait_for(run.outcome(), 20)

    assert isinstance(outcome, Completed)
    assert (run.way, run.directory.path) == (AHEAD, spare.path)
    assert outcome.session_id == run._launch.session_id
    assert outcome.usage.cost_nano_usd == TURN_NANO_USD


async def test_the_next_turn_of_its_session_goes_there_too(subscription: OneSubscription) -> None:
    await subscription.park()
    run = await subscription.start()
    await run.outcome()

    launch = a_turn(2, run._launch.session_id, resumes=True, system_prompt=None)
    following = await subscription.runner.start(launch, subscription.environment)

    assert following.way is KEPT


async def test_another_model_is_set_as_it_is_claimed(subscription: OneSubscription) -> None:
    await subscription.park("claude-haiku-5-5")

    assert await subscription.runs() is AHEAD


async def test_an_image_may_be_with_the_prompt(subscription: OneSubscription) -> None:
    await subscription.park()
    picture = Image(media_type="image/png", data=PNG)

    assert await subscription.runs(images=(picture,)) is AHEAD


@pytest.mark.parametrize(
    "fields",
    [
        {"system_prompt": None},
        {"max_turns": 3},
        {"max_budget_usd": "1"},
        {"tools": ("Read",), "agent": AgentSettings(working_directory=Path("/tmp"))},
        {"agent": AgentSettings(append_system_prompt="more")},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_what_a_claim_cannot_do_exactly_has_a_process_of_its_own(
    subscription: OneSubscription, fields: dict[str, Any]
) -> None:
    spare = await subscription.park()

    assert await subscription.runs(**fields) is COLD
    assert not spare.exists()


REFUSALS = (
    *("not_a_spare", "already_claimed", "busy", "turn_started", "unsafe_path", "invalid_request"),
    *("env_key_not_claimable: CLAUDE_CODE_MAX_OUTPUT_TOKENS", "cwd_not_found", "anything else"),
    *("cwd_not_a_directory", "project_settings_not_claimable", "permission_mode_not_claimable"),
)


@pytest.mark.parametrize("token", REFUSALS)
async def test_a_claim_that_is_refused_costs_nothing_and_the_run_is_answered(
    subscription: OneSubscription, token: str
) -> None:
    spare = await subscription.park()
    (subscription.folder / "refuses").write_text(f"{token}: no", encoding="utf-8")

    assert await subscription.runs() is COLD
    assert not spare.exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("claims", '"status":"ok","session_id":"another"'),
        ("claims", '"status":"pending"'),
        ("claims", ""),
        ("sets-another-model", ""),
        ("dies-as-it-is-claimed", ""),
        ("hangs-as-it-is-claimed", ""),
    ],
    ids=["another session", "not yet", "nothing", "another model", "dies", "hangs"],
)
async def test_an_odd_answer_to_a_claim_is_a_refusal(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch, file: str, content: str
) -> None:
    monkeypatch.setattr(spares, "CLAIM_SECONDS", 0.5)
    spare = await subscription.park("claude-haiku-5-5")
    (subscription.folder / file).write_text(content, encoding="utf-8")

    assert await subscription.runs() is COLD
    assert not spare.exists()


def _signal(name: str, number: signal.Signals) -> Callable[[ProcessDirectory], None]:
    def send(process: ProcessDirectory) -> None:
        started = process.started()
        assert started is not None
        os.kill(getattr(started, name).pid, number)

    return send


@pytest.mark.parametrize(
    "happens",
    [
        _signal("cli", signal.SIGKILL),
        _signal("supervisor", signal.SIGKILL),
        _signal("cli", signal.SIGSTOP),
        _signal("supervisor", signal.SIGSTOP),
        ProcessDirectory.let_go,
    ],
    ids=["cli killed", "supervisor killed", "cli hangs", "supervisor hangs", "let go"],
)
async def test_whatever_happens_to_a_parked_process_the_run_is_answered(
    subscription: OneSubscription,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[ProcessDirectory], None],
) -> None:
    monkeypatch.setattr(spares, "CLAIM_SECONDS", 0.3)
    monkeypatch.setattr(spares, "_END_SECONDS", 1.0)
    spare = await subscription.park()

    happens(spare)

    assert await subscription.runs() is COLD
    assert not spare.exists()


@pytest.mark.parametrize(
    "happens",
    [
        _signal("supervisor", signal.SIGSTOP),
        _signal("supervisor", signal.SIGKILL),
        _signal("cli", signal.SIGKILL),
    ],
    ids=["supervisor hangs", "supervisor killed", "cli killed"],
)
async def test_whatever_happens_to_it_after_its_claim_it_is_ended_and_the_run_is_answered(
    subscription: OneSubscription,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[ProcessDirectory], None],
) -> None:
    monkeypatch.setattr(process_run, "_HANG_SECONDS", 0.3)
    spare = await subscription.park()
    give = subscription.runner._ways._give_spare

    def given(*args: Any) -> bool:
        happens(spare)
        return give(*args)

    monkeypatch.setattr(subscription.runner._ways, "_give_spare", given)

    assert await subscription.runs() is COLD
    assert not spare.is_locked()


async def test_of_an_environment_a_cli_or_a_login_gone_by_none_is_used(
    subscription: OneSubscription,
) -> None:
    for number, change in enumerate(
        (
            lambda: subscription.environment.update(ANTHROPIC_BASE_URL="http://elsewhere"),
            subscription.update_cli,
            lambda: subscription.login.write_text("{}"),
        )
    ):
        spare = await subscription.park()
        change()
        assert await subscription.runs(number) is COLD
        assert not spare.exists()


async def test_they_are_replaced_too(subscription: OneSubscription) -> None:
    spare = await subscription.park()
    subscription.login.write_text("{}")

    await subscription.tend()

    await until(lambda: not spare.exists())
    assert subscription.alive() == 1


async def test_one_that_is_old_is_replaced(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = await subscription.park()
    monkeypatch.setattr(spares, "MOST_AGE_SECONDS", 0.0)

    await subscription.tend(0)

    await until(lambda: not spare.exists())


async def test_each_is_promised_once_and_what_is_not_used_is_let_go(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "PROMISED_SECONDS", 0.2)
    spare = await subscription.park()

    assert await subscription.promised()
    assert await subscription.promised() is None

    await until(lambda: not spare.exists())


async def test_there_are_none_where_nothing_begins(subscription: OneSubscription) -> None:
    await subscription.tend(0)
    assert subscription.alive() == 0

    await subscription.park()
    await subscription.tend(0)

    await until(lambda: not subscription.processes())


@pytest.mark.parametrize(
    ("begun", "most", "number"), [(0, 5, 0), (1, 5, 1), (40, 5, 3), (99, 2, 2)]
)
def test_how_many_are_wanted_follows_from_what_begins(begun: int, most: int, number: int) -> None:
    assert wanted(begun, most) == number


@pytest.mark.parametrize(
    ("model", "asked_for", "is_it"),
    [
        ("claude-sonnet-5-5", "claude-sonnet-5-5", True),
        ("claude-sonnet-5-5", "sonnet", True),
        ("claude-opus-5-5[1m]", "opus[1m]", False),
        ("claude-opus-5-5[1m]", "opus", False),
        ("claude-haiku-5-5", "sonnet", False),
        ("None", "sonnet", False),
    ],
)
def test_an_alias_is_answered_with_what_it_stands_for(
    model: str, asked_for: str, is_it: bool
) -> None:
    assert spares.is_of(model, asked_for) is is_it


async def test_a_machine_that_is_busy_or_full_has_none(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "has_room", lambda: False)

    await subscription.tend()

    assert subscription.processes() == []


async def test_they_take_places_of_the_machine(tmp_path: Path) -> None:
    subscription = OneSubscription(tmp_path, most=2)
    for _ in range(4):
        await subscription.tend(99)

    assert subscription.alive() == 2
    await subscription.runner.let_go()
    assert subscription.processes() == []


async def test_where_there_is_no_room_one_takes_that_of_a_process_that_waits_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = OneSubscription(tmp_path, most=1)
    launch = a_turn(1, SESSION)
    await (await subscription.runner.start(launch, subscription.environment)).outcome()
    await until(lambda: subscription.runner._kept._known[SESSION].is_idle)
    (kept,) = subscription.processes()

    await subscription.tend()
    assert [each.path for each in subscription.processes()] == [kept.path]
    monkeypatch.setattr(spares, "MISSED_SECONDS", 0.0)
    await subscription.park()

    await until(lambda: not kept.is_locked())
    assert await subscription.runs(2) is AHEAD
    await subscription.end()


async def test_a_cli_that_has_no_numberis_not_started_again_and_again(
    subscription: OneSubscription,
) -> None:
    (subscription.folder / "has-no-spares").touch()

    for _ in range(5):
        await subscription.tend()
        await until(lambda: not subscription.alive())

    assert len(subscription.runner._spares._parked) == 0
    assert subscription.runner._spares._deaths == 1


async def test_the_next_activation_lets_go_what_was_parked(subscription: OneSubscription) -> None:
    await subscription.park()
    successor = subscription.anew()

    await successor.let_go()
    await until(lambda: not subscription.alive())
    successor.sweep(set())

    assert subscription.processes() == []


async def test_what_was_to_have_a_run_that_was_never_said_is_gone_with_it(
    subscription: OneSubscription,
) -> None:
    """Its subscription died between the note of it and the turn, and it is slow to obey."""
    spare = await subscription.park()
    files = RunDirectory(subscription.runner._runs_dir, "exec_1")
    files.give_to(spare, b"", AHEAD)
    started = spare.started()
    assert started is not None
    os.kill(started.supervisor.pid, signal.SIGSTOP)

    activation = subscription.anew()
    await activation.let_go()
    found = await asyncio.to_thread(activation.find, a_turn(1, SESSION))

    assert (found, files.exists(), spare.exists()) == (None, False, False)


async def test_without_keeping_a_spare_serves_its_run_and_ends(tmp_path: Path) -> None:
    subscription = OneSubscription(tmp_path, seconds=0)
    await subscription.park()

    assert await subscription.runs() is AHEAD

    await until(lambda: not subscription.alive())

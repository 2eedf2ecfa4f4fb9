"""Processes that are cleared of their session for another one, and everything that keeps a run
from one.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pool.claude.launch.launch_spec import Launch
from pool.claude.process import process_run
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.idle import cleared
from pool.claude.process.idle.cleared import new_session
from pool.claude.process.idle.kept import Keeping
from pool.executions.outcome import Completed
from pool.executions.process_way import ProcessWay
from pool.executions.tools.permissions import AgentSettings
from tests.support.clis.idle_processes import IdleProcesses
from tests.support.clis.talking_cli import SESSION, TURN_NANO_USD, a_launch
from tests.support.suite.waiting import until

COLD, KEPT, REUSED = ProcessWay.COLD, ProcessWay.KEPT, ProcessWay.REUSED
OTHER = "00000000-4256-459f-9794-14ea9ca8dac8"
THIRD = "10000000-4256-459f-9794-14ea9ca8dac8"
ME, SOMEBODY = "the key of one", "the key of another"


class OneSubscription(IdleProcesses):
    """One subscription whose processes are cleared for further sessions."""

    def __init__(self, folder: Path, **keeping: Any) -> None:
        known = {"seconds": 30, "places": folder / "places", "most": 4, "reuses": True}
        super().__init__(folder, Keeping.model_validate({**known, **keeping}))

    async def session(self, number: int, **fields: Any) -> tuple[str, ProcessWay | None]:
        """A new session, as its subscription has it begin; its id, and the way to its process."""
        launch = a_session(number, **fields)
        promised = await self.runner.promise(launch, self.environment)
        launch = launch.model_copy(update={"session_id": promised or launch.session_id})
        return launch.session_id, await self.run(launch)

    async def run(self, launch: Launch) -> ProcessWay | None:
        """The way of a run that has answered, counted once."""
        run = await self.runner.start(launch, self.environment)
        outcome = await asyncio.wait_for(run.outcome(), 20)
        assert isinstance(outcome, Completed), outcome
        assert outcome.usage.cost_nano_usd == TURN_NANO_USD
        return run.way

    async def cleared(self) -> str:
        promised = await self.runner.promise(a_session(99), self.environment)
        assert promised is not None
        return promised


def a_session(number: int, **fields: Any) -> Launch:
    session = f"{number:08d}-4256-459f-9794-14ea9ca8dac8"
    known = {"session_id": session, "system_prompt": "You are terse.", "owner": ME}
    return a_launch(f"exec_{number}", **{**known, **fields})


@pytest.fixture
async def subscription(tmp_path: Path) -> AsyncIterator[OneSubscription]:
    subscription = OneSubscription(tmp_path)
    yield subscription
    await subscription.end()


async def test_a_session_begins_in_the_process_of_another_one_of_the_same_owner(
    subscription: OneSubscription,
) -> None:
    first, _ = await subscription.session(1)
    second, way = await subscription.session(2)
    third, again = await subscription.session(3)

    assert (way, again) == (REUSED, REUSED)
    assert len({first, second, third}) == 3
    assert len(subscription.processes()) == 1


async def test_the_next_turn_of_such_a_session_goes_there_too(
    subscription: OneSubscription,
) -> None:
    await subscription.session(1)
    session, _ = await subscription.session(2)

    turn = a_session(3, session_id=session, resumes=True, system_prompt=None)

    assert await subscription.run(turn) is KEPT
    assert (await subscription.session(4))[1] is REUSED


async def test_the_session_that_it_had_goes_on_in_a_process_of_its_own(
    subscription: OneSubscription,
) -> None:
    first, _ = await subscription.session(1)
    await subscription.session(2)

    assert await subscription.run(a_session(3, session_id=first, resumes=True)) is COLD


@pytest.mark.parametrize(
    "fields",
    [
        {"owner": SOMEBODY},
        {"owner": None},
        {"model": "claude-opus-5-5"},
        {"system_prompt": "Another."},
        {"system_prompt": None},
        {"max_turns": 3},
        {"max_budget_usd": "1"},
        {"tools": ("Read",), "agent": AgentSettings(working_directory=Path("/"))},
        {"agent": AgentSettings(append_system_prompt="more")},
        {"forks": SESSION},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_what_it_cannot_serve_exactly_has_a_process_of_its_own(
    subscription: OneSubscription, fields: dict[str, Any]
) -> None:
    await subscription.session(1)

    assert (await subscription.session(2, **fields))[1] is COLD
    assert (await subscription.session(3))[1] is REUSED


async def test_after_a_turn_of_another_owner_it_is_nobodys(subscription: OneSubscription) -> None:
    first, _ = await subscription.session(1)
    turn = a_session(2, session_id=first, resumes=True, owner=SOMEBODY)
    assert await subscription.run(turn) is KEPT

    assert (await subscription.session(3))[1] is COLD
    assert (await subscription.session(4, owner=SOMEBODY))[1] is COLD


async def test_one_that_was_started_to_go_on_with_a_session_serves_no_other(
    subscription: OneSubscription,
) -> None:
    """It may have the system prompt that its session began with."""
    await subscription.run(a_session(1, session_id=SESSION, resumes=True))

    assert (await subscription.session(2))[1] is COLD


@pytest.mark.parametrize("keeping", [{"reuses": False}, {"seconds": 0}], ids=["off", "not kept"])
async def test_unless_it_is_turned_on_none_is_cleared(
    tmp_path: Path, keeping: dict[str, Any]
) -> None:
    subscription = OneSubscription(tmp_path, **keeping)
    await subscription.session(1)

    assert await subscription.session(2) == (a_session(2).session_id, COLD)
    await subscription.end()


async def test_only_a_process_that_may_be_cleared_knows_commands(
    subscription: OneSubscription,
) -> None:
    ways: list[dict[str, Any]] = [{}, {"owner": None}, {"tools": ("Read",)}]
    for number, fields in enumerate(ways):
        launch = a_session(number, prompt="stalls", **fields)
        run = await subscription.runner.start(launch, subscription.environment)
        command = await until(partial(_command, run.directory))
        assert (b"--disable-slash-commands" in command) is bool(fields)


def _command(process: ProcessDirectory) -> bytes | None:
    """The command line of the CLI, once it is executed."""
    started = process.started()
    command = started and Path(f"/proc/{started.cli.pid}/cmdline").read_bytes()
    return command if command and command.startswith(b"/bin/sh") else None


async def test_it_is_retired_after_some_sessions(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleared, "MOST_TURNS", 2)

    ways = [(await subscription.session(number))[1] for number in (1, 2, 3)]

    assert ways == [COLD, REUSED, COLD]
    await until(lambda: subscription.alive() == 1)


RESET = '{"type":"conversation_reset","session_id":"%s"}'
INIT = '{"type":"system","subtype":"init","session_id":"%s"}'
RESULT = '{"type":"result","is_error":%s,"num_turns":%d,"total_cost_usd":%s,"session_id":"%s"}'
BESIDE = '{"type":"command_lifecycle","state":"completed","session_id":"%s"}'


def cleared_words(**other: Any) -> list[str]:
    """What is printed by a process that is cleared of ``OTHER``, but for what is named."""
    known = {
        "reset": RESET % OTHER,
        "init": INIT % SESSION,
        "result": RESULT % ("false", 0, "0", SESSION),
        **other,
    }
    return [each for each in known.values() if each]


ODDITIES = {
    "not reset": {"reset": ""},
    "of another session": {"reset": RESET % THIRD},
    "the same session": {"init": INIT % OTHER, "result": RESULT % ("false", 0, "0", OTHER)},
    "two sessions": {"result": RESULT % ("false", 0, "0", THIRD)},
    "no session": {"init": INIT % "../x", "result": RESULT % ("false", 0, "0", "../x")},
    "an error": {"result": RESULT % ("true", 0, "0", SESSION)},
    "a turn": {"result": RESULT % ("false", 1, "0", SESSION)},
    "a cost": {"result": RESULT % ("false", 0, "0.1", SESSION)},
    "an answer": {"reset": RESET % OTHER + '\n{"type":"assistant"}'},
    "a result too many": {"init": INIT % SESSION + "\n" + RESULT % ("false", 0, "0", SESSION)},
    "no message": {"reset": RESET % OTHER + "\nSegmentation fault"},
}


def test_it_is_believed_word_for_word() -> None:
    lines = [*cleared_words(), BESIDE % SESSION]

    assert new_session([line.encode() for line in lines], OTHER) == SESSION


@pytest.mark.parametrize("oddity", ODDITIES.values(), ids=ODDITIES)
def test_what_says_anything_else_is_not(oddity: dict[str, str]) -> None:
    lines = "\n".join(cleared_words(**oddity)).splitlines()

    assert new_session([line.encode() for line in lines], OTHER) is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("clears", '{"type":"result","is_error":false,"num_turns":0,"session_id":"x"}\n'),
        ("dies-as-it-is-cleared", ""),
        ("hangs-as-it-is-cleared", ""),
    ],
    ids=["another word", "dies", "hangs"],
)
async def test_an_odd_answer_ends_it_and_the_run_is_answered(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch, file: str, content: str
) -> None:
    monkeypatch.setattr(cleared, "CLEAR_SECONDS", 0.5)
    await subscription.session(1)
    (process,) = subscription.processes()
    (subscription.folder / file).write_text(content, encoding="utf-8")

    assert await subscription.session(2) == (a_session(2).session_id, COLD)

    await until(lambda: not process.is_locked())


def _signal(name: str, number: signal.Signals) -> Callable[[ProcessDirectory], None]:
    def send(process: ProcessDirectory) -> None:
        started = process.started()
        assert started is not None
        os.kill(getattr(started, name).pid, number)

    return send


def print_garbage(process: ProcessDirectory) -> None:
    with process.stdout.open("ab") as file:
        file.write(b"Segmentation fault\n")


@pytest.mark.parametrize(
    "happens",
    [
        _signal("cli", signal.SIGKILL),
        _signal("supervisor", signal.SIGKILL),
        _signal("cli", signal.SIGSTOP),
        _signal("supervisor", signal.SIGSTOP),
        print_garbage,
        ProcessDirectory.let_go,
    ],
    ids=["cli killed", "supervisor killed", "cli hangs", "supervisor hangs", "garbage", "let go"],
)
async def test_whatever_happens_to_it_between_promise_and_turn_the_run_is_answered_in_its_session(
    subscription: OneSubscription,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[ProcessDirectory], None],
) -> None:
    monkeypatch.setattr(process_run, "_HANG_SECONDS", 0.3)
    await subscription.session(1)
    (process,) = subscription.processes()
    session = await subscription.cleared()
    transcript = _transcript(subscription, session)

    happens(process)

    assert await subscription.run(a_session(2, session_id=session)) is COLD
    assert not process.is_locked()
    assert not transcript.exists(), "the CLI begins no session that has one"


def _transcript(subscription: OneSubscription, session: str) -> Path:
    """What the CLI has written of a session as it was cleared for it."""
    folder = subscription.login.parent / "projects" / "-work"
    folder.mkdir(parents=True)
    transcript = folder / f"{session}.jsonl"
    transcript.write_text('{"type":"user","isMeta":true}\n', encoding="utf-8")
    return transcript


async def test_one_whose_execution_never_comes_is_let_go(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleared, "PROMISED_SECONDS", 0.2)
    await subscription.session(1)
    transcript = _transcript(subscription, await subscription.cleared())

    await until(lambda: not subscription.alive() and not transcript.exists())


async def test_all_of_them_can_be_let_go(subscription: OneSubscription) -> None:
    await subscription.session(1)
    await subscription.cleared()

    await subscription.runner.let_go()

    assert not subscription.alive()


async def test_the_next_activation_runs_it_in_a_process_of_its_own(
    subscription: OneSubscription,
) -> None:
    await subscription.session(1)
    session = await subscription.cleared()
    transcript = _transcript(subscription, session)
    subscription.runner = subscription.anew()
    await subscription.runner.let_go()
    await until(lambda: not subscription.alive())

    assert await subscription.run(a_session(2, session_id=session)) is COLD
    assert not transcript.exists()


async def test_two_sessions_that_begin_at_once_have_two_processes(
    subscription: OneSubscription,
) -> None:
    await asyncio.gather(subscription.session(1), subscription.session(2))

    begun = await asyncio.gather(*(subscription.session(number) for number in (3, 4, 5)))

    assert sorted(str(way) for _, way in begun) == ["cold", "reused", "reused"]

"""Processes that are kept for the next turn of their session, and everything that ends them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pool.claude.launch.launch_spec import Launch
from pool.claude.process import process_run
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.files.run_directory import processes_dir
from pool.claude.process.idle import kept as kept_processes
from pool.claude.process.idle.kept import Keeping
from pool.claude.process.process_run import ProcessRun
from pool.executions.outcome import Completed, Failed
from pool.executions.process_way import ProcessWay
from pool.executions.tools.permissions import AgentSettings
from tests.support.clis.idle_processes import IdleProcesses
from tests.support.clis.talking_cli import SESSION, TURN_NANO_USD, a_launch
from tests.support.suite.waiting import until

OTHER = "00000000-4256-459f-9794-14ea9ca8dac8"
KEPT, COLD = ProcessWay.KEPT, ProcessWay.COLD


class OneSubscription(IdleProcesses):
    """One subscription whose processes are kept, and the CLI that it talks with."""

    def __init__(self, folder: Path, name: str = "subscription", **keeping: Any) -> None:
        (folder / name).mkdir()
        known = {"seconds": 30, "places": folder / "places", "most": 4}
        super().__init__(folder / name, Keeping.model_validate({**known, **keeping}))

    async def start(self, launch: Launch) -> ProcessRun:
        return await self.runner.start(launch, self.environment)

    async def turn(self, number: int, prompt: str = "hello", **fields: Any) -> tuple[str, str]:
        """The answer of a turn, and the way to its process."""
        run = await self.start(a_turn(number, prompt, **fields))
        outcome = await asyncio.wait_for(run.outcome(), 20)
        assert isinstance(outcome, Completed), outcome
        assert outcome.usage.cost_nano_usd == TURN_NANO_USD
        return outcome.result, run.way

    def the_one(self) -> ProcessDirectory:
        (one,) = self.processes()
        return one


def a_turn(number: int, prompt: str = "hello", **fields: Any) -> Launch:
    first = fields.get("session_id", SESSION) == SESSION and number == 1
    return a_launch(f"exec_{number}", prompt, **{"resumes": not first, **fields})


@pytest.fixture
async def subscription(tmp_path: Path) -> AsyncIterator[OneSubscription]:
    subscription = OneSubscription(tmp_path)
    yield subscription
    await subscription.end()


async def test_the_next_turn_of_a_session_goes_to_the_process_that_ran_the_last_one(
    subscription: OneSubscription,
) -> None:
    turns = [await subscription.turn(number) for number in (1, 2, 3)]

    assert turns == [("answer 1", COLD), ("answer 2", KEPT), ("answer 3", KEPT)]
    assert len(subscription.processes()) == 1


async def test_each_session_has_its_own(subscription: OneSubscription) -> None:
    await subscription.turn(1)
    await subscription.turn(2, session_id=OTHER, resumes=False)

    assert await subscription.turn(3) == ("answer 2", KEPT)
    assert await subscription.turn(4, session_id=OTHER) == ("answer 2", KEPT)
    assert subscription.alive() == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "claude-opus-5-5"},
        {"system_prompt": "Another."},
        {"max_turns": 3},
        {"max_budget_usd": "1"},
        {"json_schema": {"type": "object"}},
        {"tools": ("Read",)},
        {"tools": ("Bash",), "agent": AgentSettings(working_directory=Path("/"))},
        {"agent": AgentSettings(append_system_prompt="more")},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_what_cannot_be_had_there_exactly_ends_it_and_has_a_process_of_its_own(
    subscription: OneSubscription, fields: dict[str, Any]
) -> None:
    await subscription.turn(1, system_prompt="You are terse.")
    process = subscription.the_one()

    run = await subscription.start(a_turn(2, **fields))
    await asyncio.wait_for(run.outcome(), 20)

    assert run.way is COLD
    assert run.directory.path != process.path
    assert process.has_ended()


async def test_a_session_goes_by_the_system_prompt_that_it_began_with(
    subscription: OneSubscription,
) -> None:
    await subscription.turn(1, system_prompt="You are terse.")

    assert (await subscription.turn(2, system_prompt=None))[1] is KEPT
    assert (await subscription.turn(3, system_prompt="You are terse."))[1] is KEPT


async def test_a_process_that_was_given_another_system_prompt_does_not_pass_it_on(
    subscription: OneSubscription,
) -> None:
    await subscription.turn(1, system_prompt="You are terse.")
    await subscription.turn(2, system_prompt="You are verbose.")

    assert (await subscription.turn(3, system_prompt=None))[1] is COLD


async def test_another_environment_cli_or_login_is_another_process(
    subscription: OneSubscription,
) -> None:
    ways = []
    await subscription.turn(1)
    for number, change in enumerate(
        (
            lambda: subscription.environment.update(ANTHROPIC_BASE_URL="http://elsewhere"),
            subscription.update_cli,
            lambda: subscription.login.write_text("{}"),
            lambda: None,
            lambda: subscription.environment.update(TRACEPARENT="00-1-1-01"),
        ),
        2,
    ):
        change()
        ways.append((await subscription.turn(number))[1])

    assert ways == [COLD, COLD, COLD, KEPT, KEPT]
    await until(lambda: subscription.alive() == 1)


async def test_a_trace_is_the_processs_where_something_in_it_would_tell_of_it(
    subscription: OneSubscription,
) -> None:
    subscription.environment["CLAUDE_CODE_ENABLE_TELEMETRY"] = "1"
    await subscription.turn(1)
    subscription.environment["TRACEPARENT"] = "00-1-1-01"

    assert (await subscription.turn(2))[1] is COLD


async def test_it_ends_when_its_time_is_over(tmp_path: Path) -> None:
    subscription = OneSubscription(tmp_path, seconds=0.3)
    await subscription.turn(1)
    assert subscription.alive() == 1

    await until(lambda: not subscription.alive())

    assert (await subscription.turn(2))[1] is COLD
    await subscription.end()


async def test_with_no_time_nothing_is_kept_and_a_process_is_its_runs_alone(tmp_path: Path) -> None:
    subscription = OneSubscription(tmp_path, seconds=0)

    assert await subscription.turn(1) == ("answer 1", COLD)
    assert await subscription.turn(2) == ("answer 1", COLD)
    assert subscription.processes() == []


async def test_a_session_that_is_to_be_quiet_keeps_no_process(
    subscription: OneSubscription,
) -> None:
    await subscription.turn(1)
    await subscription.turn(2, session_id=OTHER, resumes=False)

    await asyncio.wait_for(subscription.runner.quiet(SESSION), 10)

    assert subscription.alive() == 1
    assert (await subscription.turn(3))[1] is COLD
    assert (await subscription.turn(4, session_id=OTHER))[1] is KEPT


async def test_a_fork_finds_its_session_quiet(subscription: OneSubscription) -> None:
    await subscription.turn(1)
    process = subscription.the_one()

    run = await subscription.start(a_turn(2, session_id=OTHER, forks=SESSION, resumes=False))

    assert process.has_ended()
    await run.outcome()
    assert (await subscription.turn(3, session_id=OTHER))[1] is KEPT


@pytest.mark.parametrize("who", ["its owner", "the next activation"])
async def test_all_of_them_can_be_let_go(subscription: OneSubscription, who: str) -> None:
    await subscription.turn(1)
    await subscription.turn(2, session_id=OTHER, resumes=False)
    runner = subscription.runner if who == "its owner" else subscription.anew()

    await runner.let_go()

    await until(lambda: not subscription.alive())


@pytest.mark.parametrize("was_let_go", [False, True])
async def test_one_whose_supervisor_was_killed_is_ended_by_the_next_activation(
    subscription: OneSubscription, was_let_go: bool
) -> None:
    """It is stopped by then, and hears nothing, whoever said that it is to end."""
    await subscription.turn(1)
    process = subscription.the_one()
    await until(lambda: not process.serves() or process.stretch("exec_1"))
    subscription.runner.find(a_turn(1)).directory.release("exec_1")  # type: ignore[union-attr]
    kill_supervisor(process)
    started = process.started()
    await until(lambda: started is not None and not started.supervisor.is_alive())
    if was_let_go:
        process.let_go()

    await subscription.anew().let_go()

    await until(lambda: not subscription.alive())


async def test_a_process_that_is_let_go_during_its_turn_ends_after_it(
    subscription: OneSubscription,
) -> None:
    run = await subscription.start(a_turn(1, "stalls", timeout_seconds=20))
    await until(lambda: run.directory.stretch(run.run_id))

    await subscription.runner.let_go()
    await asyncio.sleep(0.2)

    assert not run.directory.has_ended()
    await run.stop()
    await asyncio.wait_for(run.gone(), 10)
    assert subscription.alive() == 0


async def test_the_next_activation_adopts_a_turn_and_its_process_ends_after_it(
    subscription: OneSubscription,
) -> None:
    await subscription.turn(1)
    launch = a_turn(2, "has a late result")
    run = await subscription.start(launch)

    successor = subscription.anew()
    await successor.let_go()
    found = successor.find(launch)

    assert found is not None
    assert found.way is KEPT
    assert await found.outcome() == await run.outcome()
    await asyncio.wait_for(found.gone(), 10)
    assert subscription.alive() == 0


@pytest.mark.parametrize("reason", ["failed", "stopped"])
async def test_a_turn_that_does_not_end_in_order_takes_its_process_along(
    subscription: OneSubscription, reason: str
) -> None:
    await subscription.turn(1)
    run = await subscription.start(a_turn(2, "stalls", timeout_seconds=0.5))
    if reason == "stopped":
        await run.stop()

    assert isinstance(await run.outcome(), Failed)
    await until(lambda: not subscription.alive())
    assert (await subscription.turn(3))[1] is COLD


def kill_supervisor(process: ProcessDirectory) -> None:
    started = process.started()
    assert started is not None
    os.kill(started.supervisor.pid, signal.SIGKILL)


def kill_cli(process: ProcessDirectory) -> None:
    started = process.started()
    assert started is not None
    os.kill(started.cli.pid, signal.SIGKILL)


def freeze_cli(process: ProcessDirectory) -> None:
    started = process.started()
    assert started is not None
    os.killpg(started.cli.pid, signal.SIGSTOP)


def freeze_supervisor(process: ProcessDirectory) -> None:
    started = process.started()
    assert started is not None
    os.kill(started.supervisor.pid, signal.SIGSTOP)


def print_garbage(process: ProcessDirectory) -> None:
    with process.stdout.open("ab") as file:
        file.write(b"Segmentation fault\n")


def print_a_result(process: ProcessDirectory) -> None:
    with process.stdout.open("ab") as file:
        file.write(b'{"type":"result","is_error":false,"num_turns":1,"result":"not yours"}\n')


@pytest.mark.parametrize(
    "happens",
    [
        *(kill_supervisor, kill_cli, freeze_cli, freeze_supervisor),
        *(print_garbage, print_a_result, ProcessDirectory.let_go),
    ],
    ids=lambda happens: happens.__name__,
)
async def test_whatever_happens_to_an_idle_process_the_turn_is_answered_and_counted_once(
    subscription: OneSubscription,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[ProcessDirectory], None],
) -> None:
    monkeypatch.setattr(process_run, "_HANG_SECONDS", 0.3)
    await subscription.turn(1)
    process = subscription.the_one()

    happens(process)
    answer = await subscription.turn(2)

    assert answer == ("answer 1", COLD)
    await until(lambda: not process.is_locked())
    assert (await subscription.turn(3))[1] is KEPT


OWN_ACCOUNTS = '{"type":"cost-state"}'
A_RESULT = '{"type":"user","message":{"content":[{"type":"tool_result"}]}}'
A_PROMPT = '{"type":"user","promptSource":"typed","message":{"content":"from elsewhere"}}'


@pytest.mark.parametrize(
    ("added", "way"),
    [([], KEPT), ([OWN_ACCOUNTS, A_RESULT], KEPT), ([A_PROMPT], COLD), (None, COLD)],
    ids=["nothing", "what it adds itself", "a prompt", "it is gone"],
)
async def test_what_was_said_in_its_session_elsewhere_is_read_by_a_process_of_its_own(
    subscription: OneSubscription, added: list[str] | None, way: ProcessWay
) -> None:
    folder = subscription.login.parent / "projects" / "-work"
    folder.mkdir(parents=True)
    transcript = folder / f"{SESSION}.jsonl"
    transcript.write_text(f'{A_PROMPT}\n{{"type":"assistant"}}\n', encoding="utf-8")
    await subscription.turn(1)
    await until(lambda: subscription.runner._kept._known[SESSION].is_idle)

    if added is None:
        transcript.unlink()
    else:
        with transcript.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in added)

    assert (await subscription.turn(2))[1] is way


async def test_who_dies_as_it_takes_up_its_turn_was_not_asked_for_it(
    subscription: OneSubscription,
) -> None:
    """It ends with the prompt in its hands, and before it says that it will ask the API."""
    await subscription.turn(1)

    answer = await subscription.turn(2, "dies at once")

    assert answer == ("answer 1", COLD)


async def test_one_that_has_grown_is_not_kept(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_processes, "GROWN_BYTES", 1)

    await subscription.turn(1)

    await until(lambda: not subscription.alive())
    assert (await subscription.turn(2))[1] is COLD


async def test_one_that_has_grown_while_it_was_idle_is_not_given_a_turn(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subscription.turn(1)
    await until(lambda: subscription.runner._kept._known[SESSION].is_idle)
    monkeypatch.setattr(kept_processes, "GROWN_BYTES", 1)

    assert (await subscription.turn(2))[1] is COLD


@pytest.mark.parametrize("hours", [-24, 24])
async def test_a_clock_that_is_set_anew_ends_no_turn_and_keeps_no_process(
    subscription: OneSubscription, hours: int
) -> None:
    """That a process was let go is known by the time of a file; what runs there has its time."""
    await subscription.turn(1)
    run = await subscription.start(a_turn(2, "stalls", timeout_seconds=20))
    await until(lambda: run.directory.stretch(run.run_id))
    await subscription.runner.let_go()
    at = datetime.now(UTC) + timedelta(hours=hours)
    os.utime(run.directory.path / "let_go", (at.timestamp(), at.timestamp()))
    outcome = asyncio.create_task(run.outcome())
    await asyncio.sleep(0.3)
    assert not outcome.done()

    await run.stop()

    assert isinstance(await outcome, Failed)
    await asyncio.wait_for(run.gone(), 10)
    assert subscription.alive() == 0


async def test_one_that_has_run_many_turns_is_not_kept(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_processes, "MOST_TURNS", 2)

    ways = [(await subscription.turn(number))[1] for number in (1, 2, 3)]

    assert ways == [COLD, KEPT, COLD]


async def test_one_that_is_old_is_not_kept(tmp_path: Path) -> None:
    subscription = OneSubscription(tmp_path, most_age_seconds=0.3)
    await subscription.turn(1)
    assert subscription.alive() == 1

    await until(lambda: not subscription.alive())
    await subscription.end()


async def test_on_a_machine_without_memory_nothing_is_kept(
    subscription: OneSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_processes, "has_memory_to_spare", lambda: False)

    await subscription.turn(1)

    await until(lambda: not subscription.alive())
    assert (await subscription.turn(2))[1] is COLD


async def test_who_has_been_idle_for_longest_makes_way(tmp_path: Path) -> None:
    subscription = OneSubscription(tmp_path, most=2)
    sessions = [f"{number:08d}-4256-459f-9794-14ea9ca8dac8" for number in range(3)]
    for number, session in enumerate(sessions):
        await subscription.turn(number, session_id=session, resumes=False)

    await until(lambda: subscription.alive() == 2)

    ways = [
        (await subscription.turn(10 + number, session_id=session))[1]
        for number, session in reversed([*enumerate(sessions)])
    ]
    assert ways == [KEPT, KEPT, COLD]
    await subscription.end()


async def test_all_subscriptions_of_a_machine_share_its_places(tmp_path: Path) -> None:
    one, other = (
        OneSubscription(tmp_path, "one", most=1),
        OneSubscription(tmp_path, "other", most=1),
    )
    await one.turn(1)

    await other.turn(1)
    await until(lambda: not other.alive())
    assert one.alive() == 1

    await one.runner.let_go()
    await other.turn(2)
    assert other.alive() == 1
    await one.end()
    await other.end()


async def test_a_thousand_sessions_keep_as_many_processes_as_there_is_room_for(
    tmp_path: Path,
) -> None:
    subscription = OneSubscription(tmp_path, most=3)

    for number in range(12):
        session = f"{number:08d}-4256-459f-9794-14ea9ca8dac8"
        await subscription.turn(number, session_id=session, resumes=False)

    await until(lambda: subscription.alive() == 3)
    await subscription.end()


async def test_nothing_of_it_is_left_once_its_runs_are_looked_after(
    subscription: OneSubscription,
) -> None:
    runs = []
    for number in (1, 2):
        run = await subscription.start(a_turn(number))
        await run.outcome()
        runs.append(run)
    await asyncio.wait_for(runs[0].later_usage(), 10)
    await runs[0].discard()
    assert len(subscription.processes()) == 1

    await subscription.runner.let_go()
    await asyncio.wait_for(runs[1].later_usage(), 10)
    await runs[1].discard()

    assert subscription.processes() == []
    assert list(subscription.runner._runs_dir.glob("*")) == []


async def test_what_a_turn_printed_is_there_for_who_reads_along_until_it_expires(
    subscription: OneSubscription,
) -> None:
    run = await subscription.start(a_turn(1))
    await run.outcome()
    await subscription.runner.let_go()
    await asyncio.wait_for(run.gone(), 10)
    await run.keep()

    subscription.anew().sweep(set())
    piece = subscription.runner.printed("exec_1", 0, 100_000)
    assert piece is not None
    assert b"answer 1" in piece.data
    assert not run.directory.inbox.exists()

    subscription.runner.expire(datetime.now(UTC) + timedelta(seconds=1))
    assert subscription.processes() == []


async def test_a_process_that_never_had_a_run_is_swept_away(subscription: OneSubscription) -> None:
    process = ProcessDirectory(processes_dir(subscription.runner._runs_dir) / "orphan")
    os.close(process.create())

    subscription.runner.sweep(set())

    assert subscription.processes() == []


async def test_a_late_result_is_counted_with_the_turn_before_the_next(
    subscription: OneSubscription,
) -> None:
    run = await subscription.start(a_turn(1, "has a late result"))
    await run.outcome()
    await until(lambda: b"late1" in run.directory.stdout.read_bytes())

    assert (await subscription.turn(2))[1] is COLD, "what has a background task is not kept"
    later = await asyncio.wait_for(run.later_usage(), 10)

    assert later is not None
    assert later.cost_nano_usd == TURN_NANO_USD

"""One process under its supervisor, turn after turn: what no run of a process of its own shows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pool.claude.process.identity import start_time
from pool.claude.process.process_run import ProcessRun
from pool.claude.process.supervisor import entries
from pool.executions.outcome import Completed, Failed, FailureKind
from pool.executions.process_way import ProcessWay
from tests.support.clis.talking_cli import TURN_NANO_USD, Talk, a_launch


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    talk = Talk(tmp_path)
    yield talk
    started = talk.process.started()
    if started is not None and not talk.process.has_ended():
        talk.process.say(entries.keep(0))
        if started.supervisor.is_alive():
            os.kill(started.supervisor.pid, signal.SIGTERM)
        await eventually(lambda: not talk.process.is_locked())


async def eventually(condition: Callable[[], Any], seconds: float = 10) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "what was awaited did not come"
        await asyncio.sleep(0.01)
    return found


async def answered(run: ProcessRun) -> Completed:
    outcome = await asyncio.wait_for(run.outcome(), 20)
    assert isinstance(outcome, Completed), outcome
    return outcome


async def failed(run: ProcessRun) -> Failed:
    outcome = await asyncio.wait_for(run.outcome(), 20)
    assert isinstance(outcome, Failed), outcome
    return outcome


def ended(talk: Talk) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((talk.process.path / "ended").read_bytes())
    return fields


def printed(talk: Talk, run_id: str) -> bytes:
    piece = talk.runner.printed(run_id, 0, 1_000_000)
    assert piece is not None
    assert len(piece.data) == piece.size
    return piece.data


# Turns


async def test_a_second_turn_in_the_same_process_is_a_run_of_its_own(talk: Talk) -> None:
    talk.start(talk.kept())

    first = await answered(talk.give(a_launch("exec_1")))
    second = await answered(talk.give(a_launch("exec_2")))

    assert (first.result, second.result) == ("answer 1", "answer 2")
    assert [each.usage.cost_nano_usd for each in (first, second)] == [TURN_NANO_USD] * 2
    assert [b"answer 1" in printed(talk, f"exec_{n}") for n in (1, 2)] == [True, False]
    assert [b"answer 2" in printed(talk, f"exec_{n}") for n in (1, 2)] == [False, True]
    assert not talk.process.has_ended()


async def test_every_turn_is_found_again_by_its_run_whoever_asks(talk: Talk) -> None:
    talk.start(talk.kept())
    launches = [a_launch(f"exec_{n}") for n in (1, 2, 3)]
    outcomes = [await answered(talk.give(each)) for each in launches]

    found = [talk.anew().find(each) for each in launches]

    assert all(found)
    assert [await answered(each) for each in found if each is not None] == outcomes


async def test_a_turn_waits_in_the_inbox_for_the_one_before_it(talk: Talk) -> None:
    talk.start(talk.kept())
    runs = [talk.give(a_launch(f"exec_{n}")) for n in (1, 2)]

    outcomes = await asyncio.gather(*map(answered, runs))

    assert [each.result for each in outcomes] == ["answer 1", "answer 2"]


async def test_a_turn_is_ended_at_its_own_deadline_and_no_earlier_one(talk: Talk) -> None:
    talk.start(talk.kept())
    await answered(talk.give(a_launch("exec_1", timeout_seconds=0.5)))
    await asyncio.sleep(0.7)

    late = talk.give(a_launch("exec_2", "stalls", timeout_seconds=0.3))

    assert (await failed(late)).kind is FailureKind.TIMEOUT
    assert ended(talk)["ended_by"] == "deadline"


async def test_each_turn_may_print_as_much_as_one_may(talk: Talk) -> None:
    talk.start(talk.kept())

    for number in (1, 2, 3):
        assert (await answered(talk.give(a_launch(f"exec_{number}", "floods")))).result

    assert talk.process.stdout.stat().st_size > 2 * 200_000


async def test_a_late_stop_of_a_run_that_has_answered_does_not_touch_the_next(talk: Talk) -> None:
    talk.start(talk.kept())
    first = talk.give(a_launch("exec_1"))
    await answered(first)

    await first.stop()

    assert (await answered(talk.give(a_launch("exec_2")))).result == "answer 2"


async def test_a_turn_can_be_stopped_and_ends_its_process(talk: Talk) -> None:
    talk.start(talk.kept())
    await answered(talk.give(a_launch("exec_1")))
    run = talk.give(a_launch("exec_2", "stalls"))
    await eventually(lambda: talk.place("exec_2").stretch())

    await run.stop()

    assert (await failed(run)).kind is FailureKind.INTERRUPTED
    assert ended(talk)["ended_by"] == "request"


async def test_what_a_background_task_adds_after_the_answer_is_of_the_run_before(
    talk: Talk,
) -> None:
    talk.start(talk.kept())
    first = talk.give(a_launch("exec_1", "has a late result"))
    outcome = await answered(first)
    await eventually(lambda: b"late1" in talk.process.stdout.read_bytes())
    second = talk.give(a_launch("exec_2"))
    await answered(second)

    later = await asyncio.wait_for(first.later_usage(), 10)

    assert (outcome.result, outcome.usage.cost_nano_usd) == ("answer 1", TURN_NANO_USD)
    assert later is not None
    assert later.cost_nano_usd == TURN_NANO_USD
    assert b"late1" not in printed(talk, "exec_1") + printed(talk, "exec_2")


async def test_what_comes_after_the_next_turn_has_begun_is_counted_with_that(talk: Talk) -> None:
    talk.start(talk.kept())
    first = talk.give(a_launch("exec_1", "has a late result"))
    await answered(first)
    second = talk.give(a_launch("exec_2"))

    outcome = await answered(second)

    later = await asyncio.wait_for(first.later_usage(), 10)
    later_nano_usd = 0 if later is None else later.cost_nano_usd
    assert outcome.result == "answer 2"
    assert outcome.usage.cost_nano_usd + later_nano_usd == 2 * TURN_NANO_USD


# Words


async def test_what_is_said_beside_turns_reaches_the_cli_at_once(talk: Talk) -> None:
    talk.start(talk.kept())
    heard = talk.process.path / "stderr"

    talk.process.say(b'{"type":"control_request","request_id":"1"}\n')
    await eventually(lambda: b'"request_id":"1"' in heard.read_bytes(), 2)
    run = talk.give(a_launch("exec_1", "stalls"))
    await eventually(lambda: talk.place("exec_1").stretch())
    talk.process.say(b'{"type":"control_response","request_id":"2"}\n')

    await eventually(lambda: b'"request_id":"2"' in heard.read_bytes(), 2)
    await run.stop()
    assert (await failed(run)).kind is FailureKind.INTERRUPTED


async def test_half_a_line_is_never_fed_and_gives_way_to_the_next_owners_word(talk: Talk) -> None:
    talk.start(talk.kept())
    with talk.process.inbox.open("ab") as inbox:
        inbox.write(b'{"type":"control_request","request_id":"half')
    await asyncio.sleep(0.2)

    outcome = await answered(talk.give(a_launch("exec_1")))

    assert outcome.result == "answer 1"
    assert b"half" not in (talk.process.path / "stderr").read_bytes()


# Owners that die


async def test_a_run_whose_owner_died_between_its_entry_and_its_prompt_never_began(
    talk: Talk,
) -> None:
    talk.start(talk.kept())
    launch = a_launch("exec_1")
    whole = talk.turn(launch)
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        talk.place("exec_1").give_to(talk.process, b"", ProcessWay.KEPT)
        with talk.process.inbox.open("ab") as inbox:
            inbox.write(whole[:size])
        await asyncio.sleep(0.05)

        assert talk.anew().find(launch) is None
        assert not talk.place("exec_1").exists()

    assert (await answered(talk.give(launch))).result == "answer 1"


async def test_a_run_whose_owner_died_right_after_its_prompt_is_adopted(talk: Talk) -> None:
    talk.start(talk.kept())
    talk.place("exec_1").give_to(talk.process, talk.turn(a_launch("exec_1")), ProcessWay.KEPT)

    run = talk.anew().find(a_launch("exec_1"))

    assert run is not None
    assert (await answered(run)).result == "answer 1"


async def test_a_run_of_which_nothing_is_noted_was_given_to_nobody(talk: Talk) -> None:
    talk.start(talk.kept())
    talk.place("exec_1").path.mkdir(parents=True)

    assert talk.anew().find(a_launch("exec_1")) is None


# Idle


async def test_a_process_whose_owner_is_gone_for_good_ends_when_its_time_is_over(
    talk: Talk,
) -> None:
    talk.start(entries.keep(0.5))
    await answered(talk.give(a_launch("exec_1")))
    answered_at = time.monotonic()

    await eventually(talk.process.has_ended)

    assert time.monotonic() - answered_at > 0.4
    assert (ended(talk)["ended_by"], ended(talk)["exit_code"]) == (None, 0)


async def test_a_process_that_nobody_says_anything_to_ends_too(talk: Talk) -> None:
    talk.start(entries.keep(0.2))

    await eventually(talk.process.has_ended)

    assert (ended(talk)["ended_by"], ended(talk)["exit_code"]) == (None, 0)


async def test_every_word_keeps_it_for_as_long_again(talk: Talk) -> None:
    talk.start(entries.keep(0.4))
    for _ in range(4):
        await asyncio.sleep(0.2)
        talk.process.say(b'{"type":"control_request"}\n')

    assert not talk.process.has_ended()


async def test_a_process_that_is_kept_no_longer_ends_at_once_or_after_its_turn(talk: Talk) -> None:
    talk.start(talk.kept())
    run = talk.give(a_launch("exec_1", "floods"))

    talk.process.say(entries.keep(0))

    assert (await answered(run)).result == "answer 1"
    await eventually(talk.process.has_ended, 2)


async def test_a_run_that_comes_too_late_for_its_process_was_not_started_and_costs_nothing(
    talk: Talk,
) -> None:
    talk.start(entries.keep(0.1))
    await eventually(talk.process.has_ended)
    launch = a_launch("exec_1")
    talk.place("exec_1").give_to(talk.process, talk.turn(launch), ProcessWay.KEPT)
    run = talk.runner._run(launch, talk.place("exec_1"), None)

    outcome = await failed(run)

    assert (outcome.kind, outcome.evidence) == (FailureKind.NOT_STARTED, True)
    assert talk.runner.find(launch) is None


async def test_a_cli_whose_supervisor_is_killed_while_idle_goes_with_the_next_turn(
    talk: Talk,
) -> None:
    """It is stopped until then, and cannot end by itself."""
    talk.start(talk.kept())
    await answered(talk.give(a_launch("exec_1")))
    started = talk.process.started()
    assert started is not None

    os.kill(started.supervisor.pid, signal.SIGKILL)

    await eventually(lambda: not started.supervisor.is_alive())
    outcome = await failed(given_to_the_dead(talk, a_launch("exec_2")))
    assert (outcome.kind, outcome.evidence) == (FailureKind.NOT_STARTED, True)
    assert start_time(started.cli.pid) is None


def given_to_the_dead(talk: Talk, launch: Any) -> ProcessRun:
    """A run that was handed to a process before anybody knew that it is no more."""
    talk.place(launch.run_id).give_to(talk.process, talk.turn(launch), ProcessWay.KEPT)
    return talk.runner._run(launch, talk.place(launch.run_id), None)

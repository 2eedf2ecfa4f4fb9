"""Every point at which a subscription's process can die, one by one, with a real kill -9.

A child is a whole subscription (Subscription, SQLite, ProcessRunner, and a tiny CLI that notes its
own starts). It dies before or after one step of an execution; then the next activation opens what
it left, and a caller asks again by the same id. Wherever it died: what was told is there, the CLI
was started once, the run is counted once, and nothing is left behind.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pool.claude.process.idle import spares
from pool.executions.process_way import ProcessWay
from pool.executions.status import ExecutionStatus
from pool.money import usd
from tests.support.chaos.forge import Forge, park
from tests.support.chaos.invariants import (
    check_nothing_left,
    check_started_once,
    check_told,
    checked_ledger,
)
from tests.support.chaos.one_subscription import (
    COST_NANO_USD,
    IS_FULL,
    Home,
    activated,
    ask,
    eventually,
    execution_id,
    full,
)
from tests.support.chaos.tally import injected
from tests.support.values.examples import NOON

POINTS = [
    *(("epoch", "before"), ("epoch", "after")),
    *(("begin", "before"), ("begin", "after")),
    *(("spawn", "before"), ("say", "before"), ("say", "after")),
    *(("started", "before"), ("spawn", "after")),
    ("started", "after"),
    *(("result", "before"), ("result", "after")),
    *(("settle", "before"), ("settle", "after")),
    *(("discard", "before"), ("discard", "after")),
    *(("reply", "before"), ("reply", "after")),
]
IDLE = [ProcessWay.AHEAD, ProcessWay.KEPT, ProcessWay.REUSED]
LEAST_COMMITS = 5
"""Of three executions that have two slots, however many share one: the epoch, T1, a first T2, the
start of who waited, and its T2."""


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge.lit() as forge:
        yield forge


@pytest.fixture(params=ProcessWay)
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    with Home.prepared(tmp_path / "home", request.param, gate_is_open=False) as home:
        yield home


def is_turn(home: Home, number: int) -> bool:
    """Whether an execution is of the session that the first one began."""
    return home.keeps or number in home.before


async def go_on(
    home: Home, numbers: list[int], status: ExecutionStatus = ExecutionStatus.SUCCEEDED
) -> None:
    """The next activation, and callers who ask again; then everything must be in order."""
    ledger = await home.stores.open_ledger("sub1", wait_seconds=20)
    check_told(await checked_ledger(ledger, NOON), home.told())
    home.gate.touch()
    runner, numbers = home.runner(), [*home.before, *numbers]
    subscription = await activated(home, ledger, runner, max_concurrent=2)

    executions = [await ask(subscription, each, is_turn=is_turn(home, each)) for each in numbers]

    assert {status} == {each.status for each in executions}
    found = await checked_ledger(ledger, NOON)
    check_told(found, home.told())
    ran = numbers if status is ExecutionStatus.SUCCEEDED else []
    check_started_once(home, ran)
    assert [COST_NANO_USD] * len(ran) == [each.usage.cost_nano_usd for each in found.records]
    await runner.let_go()
    await eventually(lambda: not (home.run_directories() or home.processes()))
    await subscription.close()
    check_nothing_left(home)


async def test_without_a_death_a_run_comes_by_its_process_as_it_is_to(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "READY_SECONDS", 0.0)  # given back after
    monkeypatch.setattr(spares, "has_room", lambda: True)
    home.gate.touch()
    runner = home.runner()
    ledger = await home.stores.open_ledger("sub1", wait_seconds=20)
    subscription = await activated(home, ledger, runner)
    for number in home.before:
        await ask(subscription, number, is_turn=True)
    if home.way is ProcessWay.AHEAD:
        await park(runner, home)

    execution = await ask(subscription, 1, is_turn=home.keeps)

    assert execution.attempts[-1].process is home.way
    await subscription.close()


STEPS = tuple(dict.fromkeys(step for step, _ in POINTS))
DEATHS = [
    (step, when, way)
    for step, when in POINTS
    for number, way in enumerate(ProcessWay, STEPS.index(step) + (when == "after"))
    if IS_FULL or number % 2 == 0
]
"""In short, a death in half of the ways before a step, and in the others after it."""


@pytest.mark.parametrize(("point", "when", "home"), DEATHS, indirect=["home"])
async def test_a_subscription_that_dies_at_this_point_runs_and_counts_once(
    forge: Forge, home: Home, point: str, when: str
) -> None:
    if (point, when) != ("result", "before"):
        home.gate.touch()

    with injected():
        code = forge.run(home, "run", point=point, when=when)

        assert code == -signal.SIGKILL
        await go_on(home, [1])


@pytest.mark.parametrize("home", IDLE, indirect=True)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_one_that_dies_as_a_process_is_given_settings_runs_and_counts_once(
    forge: Forge, home: Home, when: str
) -> None:
    """The process is nobody's: its turn was not handed over."""
    home.gate.touch()
    with injected():
        assert forge.run(home, "run", point="settings", when=when) == -signal.SIGKILL

        await go_on(home, [1])


async def test_one_that_dies_between_a_run_s_directory_and_its_spawn_starts_it_later_once(
    forge: Forge, home: Home
) -> None:
    """A directory whose lock is free, and without a note of a start: no CLI was ever executed."""
    home.gate.touch()
    with injected():
        assert forge.run(home, "run", point="supervisor", when="before") == -signal.SIGKILL

        await go_on(home, [1])


@pytest.mark.timeout(full(240, 600))
@pytest.mark.parametrize("way", [ProcessWay.COLD, ProcessWay.KEPT])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_subscription_that_dies_in_any_commit_runs_and_counts_once(
    forge: Forge, tmp_path: Path, way: ProcessWay, when: str
) -> None:
    """Inside SQLite: the commit of the epoch, T1, T2, whichever it is."""
    numbers = [1, 2, 3]

    await forge.die_in_each_commit(
        tmp_path,
        when,
        lambda home: go_on(home, numbers),
        least=LEAST_COMMITS + 2 * (way is ProcessWay.KEPT),  # T1 and T2 of the first of all
        way=way,
        numbers=numbers,
    )


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_subscription_that_dies_as_it_counts_what_came_after_an_answer_counts_it_once(
    forge: Forge, home: Home, when: str
) -> None:
    home.gate.touch()
    home.late.touch()
    with injected():
        assert forge.run(home, "run", point="record", when=when) == -signal.SIGKILL

        ledger = await home.stores.open_ledger("sub1", wait_seconds=20)
        subscription = await activated(home, ledger, home.runner())
        execution = await ask(subscription, 1, is_turn=home.keeps)
        await eventually(lambda: not home.run_directories())
        found = await checked_ledger(ledger, NOON)
        await subscription.close()
        await eventually(lambda: not home.processes())

        assert execution.usage.cost_usd in {usd(COST_NANO_USD), usd(2 * COST_NANO_USD)}
        costs = {record.id: record.usage.cost_nano_usd for record in found.records}
        ids = (*map(execution_id, [*home.before, 1]), f"{execution.id}:correction")
        assert costs == dict.fromkeys(ids, COST_NANO_USD)
        check_started_once(home, [*home.before, 1])
        check_nothing_left(home)


@pytest.mark.parametrize("home", [ProcessWay.KEPT], indirect=True)
async def test_what_a_dead_subscription_has_kept_is_let_go_by_the_next_one(
    forge: Forge, home: Home
) -> None:
    home.gate.touch()
    with injected():
        assert forge.run(home, "run", point="reply", when="after") == -signal.SIGKILL
        assert home.processes()

        ledger = await home.stores.open_ledger("sub1", wait_seconds=20)
        subscription = await activated(home, ledger, home.runner())
        await eventually(lambda: not (home.run_directories() or home.processes()))
        await subscription.close()


@pytest.mark.parametrize("times", [full(3, 10)])
async def test_a_subscription_that_dies_again_and_again_during_one_run_counts_it_once(
    forge: Forge, home: Home, times: int
) -> None:
    with injected(times):
        for _ in range(times):
            assert forge.run(home, "run", point="result", when="before") == -signal.SIGKILL

        await go_on(home, [1])


async def test_a_run_that_nobody_saw_end_is_not_run_again(forge: Forge, home: Home) -> None:
    """The actor, supervisor and CLI are killed before the result: what was spent is not known."""
    with injected() as figures:
        assert forge.run(home, "run", point="result", when="before") == -signal.SIGKILL
        for pid in home.processes():
            with suppress(ProcessLookupError):  # it waits by a process that lives for 20 ms
                os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not home.processes())

        ledger = await home.stores.open_ledger("sub1", wait_seconds=20)
        subscription = await activated(home, ledger, home.runner())
        execution = await ask(subscription, 1, is_turn=home.keeps)
        found = await checked_ledger(ledger, NOON)
        await eventually(lambda: not home.run_directories())
        await subscription.close()

        assert execution.status is ExecutionStatus.UNCERTAIN
        cost = COST_NANO_USD * len(home.before)
        assert (found.recovery.uncertain, found.cost_nano_usd) == (1, cost)
        check_started_once(home, [*home.before, 1])
        check_nothing_left(home)
        figures["uncertain"] += found.recovery.uncertain

"""Every point at which a subscription's process can die while its caller runs tools for a model,
one by one, with a real kill -9; and the same with the CLI and its supervisor killed as well.

Its caller then asks once more by the same id, and sends the same results. As long as the CLI lives,
whichever step was reached, it is given each result once and goes on, and nobody feels a thing. With
the CLI gone the results lead to another execution, or to a clear error where it may have had them.
Wherever it was: calls that were shown and results that were taken are there, each answer of the
model is counted once, and no slot, process or directory is left.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from actors.interfaces.messages import CameLate
from pool.claude.process.files.run_directory import RunDirectory
from pool.executions.execution import Execution
from pool.executions.row import ExecutionRow
from pool.executions.status import ExecutionStatus
from pool.money import nano_usd
from tests.support.chaos.forge import Forge
from tests.support.chaos.invariants import (
    Ledgers,
    check_nothing_left,
    check_slots,
    check_started_once,
    check_told,
    checked_ledger,
)
from tests.support.chaos.one_subscription import (
    COST_NANO_USD,
    IS_FULL,
    ROUNDS,
    Home,
    activated,
    ask,
    ask_and_answer,
    eventually,
    execution_id,
    full,
    intent,
    results_of,
)
from tests.support.chaos.tally import injected
from tests.support.values.examples import NOON

OF_A_ROUND = ("calls", "results", "goes_on")
"""What is made durable of each, in this order."""
WHEN = ("before", "after")
STEPS = [
    (f"{step}-{number}", when) for number in range(ROUNDS) for step in OF_A_ROUND for when in WHEN
]
SAID = [
    (name, when) for name in ("list-1", "spent", "due", "call-1-0", "call-1-1") for when in WHEN
]
"""What its process is told: the tools, what it is to say, how long it has, the results."""
END = [(name, when) for name in ("settle", "discard", "reply") for when in WHEN]
LEAST_COMMITS = 2 + len(OF_A_ROUND) * ROUNDS + 1
"""The epoch, T1, what is made durable of rounds, T2: nothing of one run waits together."""
ASKED = {"list-1": 1, **{f"call-1-{number}": 1 for number in range(ROUNDS)}}


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge.lit() as forge:
        yield forge


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home.prepared(tmp_path / "home") as home:
        yield home


async def asked_again(home: Home) -> tuple[Execution | CameLate, Ledgers]:
    """What the caller gets from the next activation, and the books after that."""
    ledger = await home.stores.open_ledger("sub1", wait_seconds=20)
    check_told(await checked_ledger(ledger, NOON), home.told())
    runner = home.runner()
    subscription = await activated(home, ledger, runner, max_concurrent=1)

    answer = await ask_and_answer(subscription, 1)

    if isinstance(answer, Execution):
        calls = [call for made in answer.rounds[:1] for call in made.tool_calls]
        once_more = calls and await subscription.tool_results(answer.id, results_of(calls))
        assert once_more in ([], answer)
    found = await checked_ledger(ledger, NOON)
    check_told(found, home.told())
    check_slots(subscription, found)
    await runner.let_go()
    await eventually(lambda: not (home.run_directories() or home.processes()))
    await subscription.close()
    check_nothing_left(home)
    check_started_once(home, [1])
    return answer, found


async def end_processes(home: Home) -> None:
    """The CLI and its supervisor are killed as well."""
    for pid in home.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not home.processes())


async def check_goes_on(home: Home) -> None:
    """Its caller feels nothing of what has happened."""
    answer, found = await asked_again(home)

    assert isinstance(answer, Execution)
    assert (answer.status, answer.continued_by) == (ExecutionStatus.SUCCEEDED, "process")
    costs = [nano_usd(each.usage.cost_usd) for each in answer.rounds]
    assert costs == [COST_NANO_USD] * (ROUNDS + 1)
    assert found.cost_nano_usd == sum(costs)
    assert home.given() == ASKED


async def test_without_a_death_each_result_is_given_once(forge: Forge, home: Home) -> None:
    assert forge.run(home, "run", calls_tools=True) == 0

    await check_goes_on(home)


BOTH = {"calls-0", "results-0", "goes_on-0", "call-1-0"}
"""What is tried before and after in short, too."""


def tried(moments: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """All of them; in short some before and the others after, in turn."""
    points = list(dict.fromkeys(point for point, _ in moments))
    return [
        (point, when)
        for point, when in moments
        if IS_FULL or point in BOTH or (points.index(point) + WHEN.index(when)) % 2 == 0
    ]


@pytest.mark.parametrize(("point", "when"), tried([*STEPS, *SAID, *END]))
async def test_a_subscription_that_dies_at_this_point_of_a_round_goes_on_and_counts_once(
    forge: Forge, home: Home, point: str, when: str
) -> None:
    with injected():
        died = forge.run(home, "run", point=point, when=when, calls_tools=True)

        assert died == -signal.SIGKILL
        await check_goes_on(home)


@pytest.mark.timeout(full(240, 600))
@pytest.mark.parametrize("when", WHEN)
async def test_one_that_dies_in_any_commit_goes_on_and_counts_once(
    forge: Forge, tmp_path: Path, when: str
) -> None:
    await forge.die_in_each_commit(
        tmp_path, when, check_goes_on, least=LEAST_COMMITS, calls_tools=True
    )


@pytest.mark.parametrize(("point", "when"), tried([*STEPS, *[("call-1-0", when) for when in WHEN]]))
async def test_with_the_process_gone_as_well_its_results_go_on_elsewhere_or_are_refused_clearly(
    forge: Forge, home: Home, point: str, when: str
) -> None:
    step, _, number = point.partition("-")
    are_noted = step != "calls" or when == "after"
    may_have_had_them = step == "call" or (step, when) == ("goes_on", "after")
    noted = int(number[-1]) + are_noted
    with injected() as figures:
        died = forge.run(home, "run", point=point, when=when, calls_tools=True)
        assert died == -signal.SIGKILL
        await end_processes(home)

        answer, found = await asked_again(home)
        row = found.execution(1)

        assert row is not None
        costs = [each.usage.cost_nano_usd for each in row.rounds[:noted]]
        assert costs == [COST_NANO_USD] * noted
        if isinstance(answer, CameLate):
            assert answer.continues.execution_id == row.intent.execution_id
            assert answer.continues.results == results_of(answer.continues.calls)
            assert found.cost_nano_usd == sum(each.usage.cost_nano_usd for each in row.rounds)
        else:
            assert may_have_had_them or not are_noted
            assert answer.error is not None
            assert answer.error.message
            figures["uncertain"] += answer.status is ExecutionStatus.UNCERTAIN


async def test_results_that_its_process_has_gone_on_with_stand_and_what_it_used_is_in_doubt(
    forge: Forge, home: Home
) -> None:
    """Given once more, they would be paid for again. That it goes on is known from its row: there
    is no slot for it to go on in once more, where another one has waited.
    """
    run = RunDirectory(home.runs, execution_id(1))
    with injected() as figures:
        died = forge.run(home, "run", point="call-1-0", when="after", calls_tools=True)
        assert died == -signal.SIGKILL
        await eventually(lambda: b"toolu_1-1" in getattr(run.printed(0, 1_000_000), "data", b""))
        await end_processes(home)
        home.gate.unlink()  # the other one runs until it is there
        ledger, runner = await home.stores.open_ledger("sub1", wait_seconds=20), home.runner()
        await ledger.begin(ExecutionRow(intent=intent(2), status=ExecutionStatus.QUEUED))
        subscription = await activated(home, ledger, runner, max_concurrent=1)

        answer = await ask_and_answer(subscription, 1)
        home.gate.touch()
        other = await ask(subscription, 2)

        await runner.let_go()
        await eventually(lambda: not (home.processes() or home.run_directories()))
        found = await checked_ledger(ledger, NOON)
        await subscription.close()
        assert isinstance(answer, Execution)
        assert answer.status is ExecutionStatus.UNCERTAIN
        assert (found.recovery.uncertain, other.status) == (1, ExecutionStatus.SUCCEEDED)
        check_started_once(home, [1, 2])
        figures["uncertain"] += 1

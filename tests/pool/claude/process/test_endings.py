"""The ends of runs: by themselves, at a deadline, by order, and however stubborn the CLI is."""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from typing import Any

import pytest

from pool.executions.outcome import Completed, FailureKind
from tests.support.clis.little_cli import (
    BEGUN,
    ENVIRONMENT,
    GRACE,
    INIT,
    RESULT,
    STALLS,
    a_launch,
    begun,
    bounded,
    ended,
    failure,
    lives,
)

IGNORES_ALL = f"""
import signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print({INIT!r}, flush=True)
time.sleep(600)
"""
HEEDS_TERM = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print({INIT!r}, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("exit 0", FailureKind.NO_RESULT),
        ("echo '<html>'; exit 0", FailureKind.NO_RESULT),
        ("echo 'error: unknown option' >&2; exit 1", FailureKind.CLI_USAGE),
    ],
)
async def test_a_cli_that_gives_no_result_has_failed(
    cli: Any, runner: Any, source: str, kind: FailureKind
) -> None:
    run = await runner(cli(source)).start(a_launch(), ENVIRONMENT)

    assert (await failure(run)).kind is kind


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM", "SIGKILL", "SIGSEGV"])
async def test_a_cli_that_dies_by_a_signal_was_killed_and_its_cost_is_unknown(
    cli: Any, runner: Any, name: str
) -> None:
    source = f"echo '{INIT}'; echo '{BEGUN}'; kill -{name.removeprefix('SIG')} $$; sleep 9"

    outcome = await failure(await runner(cli(source)).start(a_launch(), ENVIRONMENT))

    assert (outcome.kind, outcome.evidence) == (FailureKind.KILLED, False)
    assert outcome.usage.total.input_tokens == 100
    assert name in outcome.message


@pytest.mark.parametrize(
    ("source", "number", "rungs"),
    [(HEEDS_TERM, signal.SIGTERM, 1), (IGNORES_ALL, signal.SIGKILL, 2)],
)
async def test_at_its_deadline_a_run_is_ended_however_stubborn(
    cli: Any, runner: Any, source: str, number: int, rungs: int
) -> None:
    launch = a_launch(timeout_seconds=0.5)
    run = await runner(cli(source, sys.executable)).start(launch, ENVIRONMENT)

    outcome = await failure(run)

    assert (outcome.kind, outcome.evidence) == (FailureKind.TIMEOUT, False)
    fields = ended(run)
    assert (fields["signal"], fields["ended_by"]) == (number, "deadline")
    least = 0.5 + rungs * GRACE.total_seconds()
    assert least <= fields["wall_seconds"] < least + 2


async def test_a_cli_heeds_a_signal_that_the_pool_was_started_to_ignore(
    cli: Any, runner: Any
) -> None:
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        run = await runner(cli("kill -QUIT $$")).start(a_launch(), ENVIRONMENT)
    finally:
        signal.signal(signal.SIGQUIT, before)

    assert (await failure(run)).kind is FailureKind.KILLED


async def test_a_stop_is_first_asked_for_on_stdin(cli: Any, runner: Any) -> None:
    polite = f"read a; read b; echo '{INIT}'; read c; echo \"$c\" >&2; echo '{RESULT}'"
    run = await runner(cli(polite)).start(a_launch(), ENVIRONMENT)
    await begun(run)

    await run.stop()

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert '"interrupt"' in (run.directory.path / "stderr").read_text()
    assert (ended(run)["ended_by"], ended(run)["signal"]) == ("request", None)


async def test_a_stopped_run_was_interrupted(cli: Any, runner: Any) -> None:
    run = await runner(cli(STALLS)).start(a_launch(), ENVIRONMENT)
    pid = await begun(run)

    assert os.getsid(pid) != os.getsid(0)  # what ends the starter's session leaves the run alone
    await run.stop()
    await run.stop()

    assert (await failure(run)).kind is FailureKind.INTERRUPTED
    assert not lives(pid)


async def test_a_supervisor_that_is_told_to_end_ends_its_run_in_good_order(
    cli: Any, runner: Any
) -> None:
    run = await runner(cli(STALLS)).start(a_launch(), ENVIRONMENT)
    await begun(run)

    os.kill(run.directory.started().supervisor.pid, signal.SIGTERM)

    assert (await failure(run)).kind is FailureKind.INTERRUPTED


async def test_a_run_that_prints_too_much_is_ended(cli: Any, runner: Any) -> None:
    source = f"echo '{INIT}'; exec yes 'some garbage'"
    run = await runner(cli(source), max_output_bytes=200_000).start(a_launch(), ENVIRONMENT)

    assert (await failure(run)).kind is FailureKind.OUTPUT_LIMIT
    assert ended(run)["wall_seconds"] < 10


async def test_a_cli_that_lingers_after_its_result_is_ended_and_has_answered(
    cli: Any, runner: Any
) -> None:
    run = await runner(cli(f"echo '{RESULT}'; exec sleep 600")).start(a_launch(), ENVIRONMENT)

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert ended(run)["ended_by"] == "lingered"


NOTICE = RESULT.replace('"num_turns":1', '"num_turns":0').replace("u1", "u0")
TASK_TURN = RESULT.replace('"uuid":"u1"', '"uuid":"u0","origin":{"kind":"task-notification"}')


@pytest.mark.parametrize("before", [NOTICE, TASK_TURN], ids=["no turn", "a task's turn"])
@pytest.mark.parametrize("pause", [1, 2], ids=["in silence", "beyond silence"])
async def test_a_turn_that_comes_after_a_background_tasks_result_is_waited_for(
    cli: Any, runner: Any, before: str, pause: float
) -> None:
    late = RESULT.replace('"answer"', '"late answer"')
    source = f"read a; read b; echo '{before}'; sleep {pause}; echo '{late}'; cat > /dev/null"
    run = await runner(cli(source), stop_grace=timedelta(seconds=0.05)).start(
        a_launch(), ENVIRONMENT
    )

    outcome = await bounded(run.outcome())

    assert isinstance(outcome, Completed)
    assert outcome.result == "late answer"
    await bounded(run.gone())
    assert ended(run)["ended_by"] is None


async def test_a_cli_that_falls_silent_after_a_result_without_a_turn_is_left_without_input(
    cli: Any, runner: Any
) -> None:
    source = f"read a; read b; echo '{NOTICE}'; cat > /dev/null"
    run = await runner(cli(source), stop_grace=timedelta(seconds=0.02)).start(
        a_launch(), ENVIRONMENT
    )

    assert (await failure(run)).kind is FailureKind.EXECUTION_ERROR
    assert ended(run)["ended_by"] is None


async def test_a_cli_that_answers_after_its_silence_and_lingers_is_ended_too(
    cli: Any, runner: Any
) -> None:
    source = f"read a; read b; echo '{NOTICE}'; cat > /dev/null; echo '{RESULT}'; exec sleep 600"
    run = await runner(cli(source), stop_grace=timedelta(seconds=0.02)).start(
        a_launch(), ENVIRONMENT
    )

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert ended(run)["ended_by"] == "lingered"


async def test_a_cli_that_reads_no_more_and_lingers_after_its_answer_is_ended_too(
    cli: Any, runner: Any
) -> None:
    source = f"exec 0<&-; sleep 0.2; echo '{RESULT}'; exec sleep 600"
    run = await runner(cli(source), stop_grace=timedelta(seconds=0.02)).start(
        a_launch(prompt="x" * 3_000_000), ENVIRONMENT
    )

    assert isinstance(await bounded(run.outcome()), Completed)
    await bounded(run.gone())
    assert ended(run)["ended_by"] == "lingered"

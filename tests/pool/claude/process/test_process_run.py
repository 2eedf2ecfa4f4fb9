"""An answer, and what comes after it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pool.claude.process.process_run import ProcessRun
from pool.claude.process.process_runner import ProcessRunner
from pool.claude.process.watch import Watcher
from pool.executions.outcome import Completed, Failed, FailureKind
from tests.support.clis.talking_cli import SESSION, TURN_NANO_USD, a_launch

MODEL = "claude-sonnet-4-5"
USED = {MODEL: {"inputTokens": 100, "outputTokens": 20, "costUSD": 0.0006}}
Start = Callable[..., Any]


def a_result(text: str = "answer", **fields: Any) -> str:
    known = {"type": "result", "subtype": "success", "is_error": False, "num_turns": 1}
    used = {"total_cost_usd": 0.0006, "model_usage_since_last_result": USED}
    return json.dumps({**known, "result": text, "uuid": "u1", **used, **fields})


TASK = {"origin": {"kind": "task-notification"}}
INIT = json.dumps({"type": "system", "subtype": "init", "session_id": SESSION, "model": MODEL})


class Bench:
    """A runner, and a CLI of which each test says what it does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cli = folder / "claude"
        self.environment = {"PATH": os.environ["PATH"], "CLAUDE_CONFIG_DIR": str(folder / "c")}
        self.runner = self.anew()

    def anew(self, grace: float = 0.3) -> ProcessRunner:
        async def find() -> Path:
            return self.cli

        runs = self.folder / "subscription" / "runs"
        return ProcessRunner(find, runs, stop_grace=timedelta(seconds=grace))

    async def run(self, *script: str, **launch: Any) -> ProcessRun:
        self.cli.write_text("\n".join(("#!/bin/sh", "read -r a; read -r b", *script)))
        self.cli.chmod(0o700)
        return await self.runner.start(a_launch(**launch), self.environment)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def answered(run: ProcessRun) -> Completed:
    outcome = await asyncio.wait_for(run.outcome(), 20)
    assert isinstance(outcome, Completed), outcome
    return outcome


def says(*lines: str) -> str:
    return "\n".join(f"echo '{line}'" for line in lines)


async def test_the_answer_leaves_at_its_line_and_not_when_the_process_ends(bench: Bench) -> None:
    run = await bench.run(says(INIT, a_result()), "cat > /dev/null; sleep 0.5")

    outcome = await answered(run)

    assert outcome.result == "answer"
    assert not run.directory.has_ended()
    await asyncio.wait_for(run.gone(), 10)
    assert run.directory.has_ended()


async def test_who_adopts_a_run_that_has_answered_concludes_the_same(bench: Bench) -> None:
    run = await bench.run(says(INIT, a_result()), "cat > /dev/null; sleep 0.3")
    outcome = await answered(run)

    while_it_exits = bench.anew().find(a_launch())
    assert while_it_exits is not None
    assert await answered(while_it_exits) == outcome
    await asyncio.wait_for(run.gone(), 10)

    afterwards = bench.anew().find(a_launch())
    assert afterwards is not None
    assert await answered(afterwards) == outcome


async def test_a_result_after_the_answer_is_charged_and_is_not_the_answer(bench: Bench) -> None:
    late = a_result("Noted.", uuid="u2", **TASK)
    run = await bench.run(says(INIT, a_result()), "sleep 0.2", says(late), "cat > /dev/null")

    outcome = await answered(run)
    later = await asyncio.wait_for(run.later_usage(), 10)

    assert (outcome.result, outcome.usage.cost_nano_usd) == ("answer", TURN_NANO_USD)
    assert later is not None
    assert later.cost_nano_usd == TURN_NANO_USD
    assert await run.later_usage() == later


@pytest.mark.parametrize(
    "after",
    [
        (),
        ('{"type":"command_lifecycle"}', "noise", "{"),
        (a_result(),),
        (a_result(uuid="u2", model_usage_since_last_result={}),),
        (a_result(uuid="u2", model_usage_since_last_result=None),),
    ],
    ids=["nothing", "no result", "the same again", "one that cost nothing", "a total alone"],
)
async def test_where_nothing_more_was_charged_nothing_is_found(
    bench: Bench, after: tuple[str, ...]
) -> None:
    run = await bench.run(says(INIT, a_result()), "sleep 0.05", says(*after), "cat > /dev/null")

    outcome = await answered(run)

    assert outcome.usage.cost_nano_usd == TURN_NANO_USD
    assert await asyncio.wait_for(run.later_usage(), 10) is None


async def test_what_is_shown_of_a_run_ends_with_its_answer(bench: Bench) -> None:
    run = await bench.run(says(INIT, a_result()), "sleep 0.05", says("later"), "cat > /dev/null")
    await answered(run)
    await run.later_usage()

    piece = bench.runner.printed(run.run_id, 0, 10_000)

    assert b"later" in run.directory.stdout.read_bytes()
    assert piece is not None
    assert piece.data.decode() == f"{INIT}\n{a_result()}\n"


async def test_the_next_turn_of_a_session_waits_for_the_last_words_of_the_one_before(
    bench: Bench, tmp_path: Path
) -> None:
    words = tmp_path / "words"
    run = await bench.run(
        says(INIT, a_result()), f"cat > /dev/null; sleep 0.4; echo last >> {words}"
    )
    await answered(run)

    resumed = await bench.run(
        f"echo next >> {words}", says(INIT, a_result()), run_id="exec_2", resumes=True
    )
    await answered(resumed)

    assert words.read_text().split() == ["last", "next"]


async def test_a_session_is_quiet_when_who_has_answered_is_gone(bench: Bench) -> None:
    run = await bench.run(says(INIT, a_result()), "cat > /dev/null; sleep 0.3")
    await answered(run)

    await asyncio.wait_for(bench.runner.quiet("another"), 0.2)
    assert not run.directory.has_ended()
    await asyncio.wait_for(bench.runner.quiet(SESSION), 10)

    assert run.directory.has_ended()


async def test_another_session_does_not_wait(bench: Bench, tmp_path: Path) -> None:
    words = tmp_path / "words"
    run = await bench.run(
        says(INIT, a_result()), f"cat > /dev/null; sleep 0.5; echo last >> {words}"
    )
    await answered(run)

    other = await bench.run(
        f"echo next >> {words}", says(INIT, a_result()), run_id="exec_2", session_id="s2"
    )
    await answered(other)
    await run.gone()

    assert words.read_text().split() == ["next", "last"]


async def test_without_news_a_run_is_found_over_by_looking_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watcher, "begin", lambda *_: False)

    run = await bench.run(says(INIT, a_result()), "cat > /dev/null")

    assert (await answered(run)).result == "answer"
    assert await asyncio.wait_for(run.later_usage(), 10) is None


async def test_an_answer_is_told_within_milliseconds(bench: Bench) -> None:
    took = []
    for number in range(5):
        run = await bench.run(
            f"echo '{INIT}'; sleep 0.1; date +%s.%N >&2; echo '{a_result()}'",
            "cat > /dev/null",
            run_id=f"exec_{number}",
        )
        await answered(run)
        now = time.time()
        printed_at = float((run.directory.path / "stderr").read_text())
        took.append(now - printed_at)
        await run.gone()

    assert min(took) < 0.05


# A loss of power


def of_another_boot(run: ProcessRun) -> None:
    """Have a run look as if the machine had been started anew since."""
    started = run.directory.path / "started"
    fields = json.loads(started.read_bytes())
    started.write_text(json.dumps({**fields, "boot_id": "another"}))
    for name in ("ended", "turns"):
        (run.directory.path / name).unlink(missing_ok=True)


async def test_a_run_whose_output_went_with_the_power_may_have_been_charged(bench: Bench) -> None:
    run = await bench.run("exit 1")
    await asyncio.wait_for(run.gone(), 10)
    of_another_boot(run)

    found = bench.anew().find(a_launch())
    assert found is not None
    outcome = await asyncio.wait_for(found.outcome(), 10)

    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.evidence) == (FailureKind.KILLED, False)


async def test_an_answer_that_was_kept_through_a_loss_of_power_is_one(bench: Bench) -> None:
    run = await bench.run(says(INIT, a_result()))
    await asyncio.wait_for(run.gone(), 10)
    of_another_boot(run)

    found = bench.anew().find(a_launch())

    assert found is not None
    assert (await answered(found)).usage.cost_nano_usd == TURN_NANO_USD


async def test_another_start_of_the_machine_is_another_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, same = bench.runner.place, bench.anew().place
    monkeypatch.setattr("pool.claude.process.process_runner.boot_id", lambda: "another")

    assert before == same
    assert before != bench.anew().place

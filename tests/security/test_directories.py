"""A working directory that is swapped between the look at it and the start of the CLI."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pool.claude.launch.directories import resolved
from pool.claude.launch.launch_spec import Launch
from pool.claude.process import supervisors
from pool.claude.process.process_runner import ProcessRunner
from pool.errors import InvalidRequest
from pool.executions.outcome import Failed
from pool.executions.tools.permissions import AgentSettings, Grant

LOOKS = "#!/bin/sh\ncat word.txt > {seen}\n"


class Attack:
    """A granted directory, one outside, and a CLI that notes what it finds where it works."""

    def __init__(self, folder: Path) -> None:
        self.granted, self.outside = folder / "root" / "team", folder / "outside"
        self.seen = folder / "seen"
        for each, word in ((self.granted, "inside"), (self.outside, "a secret")):
            each.mkdir(parents=True)
            (each / "word.txt").write_text(word)
        cli = folder / "claude"
        cli.write_text(LOOKS.format(seen=self.seen))
        cli.chmod(0o700)

        async def executable() -> Path:
            return cli

        self.runner = ProcessRunner(executable, folder / "subscription" / "runs")
        self.runs_dir = folder / "subscription" / "runs"

    def swap(self) -> None:
        self.granted.rename(self.granted.with_name("away"))
        self.granted.symlink_to(self.outside)

    def looked_at(self) -> AgentSettings:
        root = self.granted.parent
        grant = Grant(working_directories=(root,))
        return resolved(AgentSettings(working_directory=self.granted), grant, (root,))

    async def run(self, agent: AgentSettings) -> None:
        launch = Launch(
            run_id="exec_1",
            prompt="what is the word?",
            session_id="634fbb1e-4256-459f-9794-14ea9ca8dac8",
            resumes=False,
            model="sonnet",
            timeout_seconds=20,
            tools=("Read",),
            agent=agent,
        )
        run = await self.runner.start(launch, {"PATH": os.environ["PATH"]})
        outcome = await asyncio.wait_for(run.outcome(), 20)
        assert isinstance(outcome, Failed)  # it only looks


@pytest.fixture
async def attack(tmp_path: Path) -> Attack:
    return Attack(tmp_path)


async def test_a_swap_before_the_start_is_found_out_and_nothing_is_started(attack: Attack) -> None:
    agent = attack.looked_at()
    attack.swap()

    with pytest.raises(InvalidRequest, match=r"agent\.working_directory: was moved, or replaced"):
        await attack.run(agent)

    assert not attack.seen.exists()
    assert list(attack.runs_dir.iterdir()) == []


async def test_a_swap_in_the_midst_of_the_start_leads_nowhere(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As late as this process can: it is open, and the supervisor is about to be spawned."""
    agent = attack.looked_at()
    spawn: Callable[..., int] = os.posix_spawn

    def swapped(*args: object, **named: object) -> int:
        attack.swap()
        return spawn(*args, **named)

    monkeypatch.setattr(supervisors.os, "posix_spawn", swapped)
    await attack.run(agent)

    assert attack.seen.read_text() == "inside"


async def test_without_a_swap_it_works_where_it_was_told(attack: Attack) -> None:
    await attack.run(attack.looked_at())

    assert attack.seen.read_text() == "inside"

"""Runs that are read in this process: the real reader, conclusion and ledger, without a process.

What a case prints is fed to the reader as a run's directory would feed it, and its end is told as
its supervisor would tell it. What becomes of an outcome is the same behind it as behind the real
supervisor, in a fiftieth of the time; and its limits are as old as the test's clock says.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.output.stream import reading_of
from pool.executions.outcome import Outcome
from tests.support.clis.fake_runner import FakeRun, FakeRunner
from tests.support.clis.scripted_cli import Prints, as_printed


class PrintedRunner(FakeRunner):
    """The runs of one subscription, in turn; the last one is repeated."""

    def __init__(self, runs: Sequence[Prints], clock: Callable[[], datetime]) -> None:
        super().__init__(hold=True)
        self._left = list(runs)
        self._clock = clock

    async def start(self, launch: Launch, environment: Mapping[str, str]) -> FakeRun:
        run = await super().start(launch, environment)
        printed = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        run.output = bytearray(output_of(printed))
        run.ending.set_result(concluded(printed, launch, self._clock()))
        return run


def output_of(printed: Prints) -> bytes:
    """What stands in its output at the end; nobody waits for its pauses."""
    return b"".join(as_printed(line) for line in printed.lines if not isinstance(line, float))


def concluded(printed: Prints, launch: Launch, now: datetime) -> Outcome:
    """How a run that printed this at an instant has ended."""
    reading = reading_of(output_of(printed).split(b"\n"), now)
    return conclude(reading, _ending(printed), launch)


def _ending(printed: Prints) -> Ending:
    if printed.never is not None:
        return Ending(started=False, problem=printed.never)
    if printed.lingers:
        return Ending(signal=signal.SIGTERM, ended_by=EndedBy.LINGERED)
    if printed.kills_itself is not None:
        return Ending(signal=signal.Signals[f"SIG{printed.kills_itself}"])
    return Ending(exit_code=printed.exit, stderr=printed.stderr)

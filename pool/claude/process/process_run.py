"""A run whose process is nobody's child: waited for, stopped and read through its directory.

A run that was just started and one that an earlier activation left behind are waited for in the
same way, so there is one path to test: the ``ended`` file is the truth; a pidfd of the supervisor
says when to look; the lock says whether anything still lives.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.output.stream import StreamReading
from pool.claude.process.directory import LOCK_FD, RunDirectory, Started
from pool.claude.process.identity import belonging, kill
from pool.claude.transcripts.files import read_transcript
from pool.executions.outcome import Outcome

_LOOK_SECONDS = 0.005  # while the supervisor starts, which takes 20-40 ms
_WAIT_SECONDS = 30.0  # between looks at a run that goes on, should its pidfd stay silent
_START_SECONDS = 60.0  # for the supervisor to come up on the most overloaded machine
_OVERDUE_SECONDS = 15.0  # beyond deadline and ladder, then the supervisor itself is stuck
_KILL_SECONDS = 10.0  # for processes to vanish after SIGKILL


class _Sight(NamedTuple):
    """A run at one instant, as its files and processes show it."""

    has_ended: bool
    started: Started | None
    lives: bool
    """Whether somebody is there who may still end it: its supervisor, or whoever starts that."""


class ProcessRun:
    """One run of the CLI. ``never_started``: how it ended, where that is known beforehand."""

    def __init__(
        self,
        launch: Launch,
        directory: RunDirectory,
        *,
        grace_seconds: float,
        never_started: Ending | None = None,
    ) -> None:
        self.directory = directory
        self._launch = launch
        self._patience = launch.timeout_seconds + 2 * grace_seconds + _OVERDUE_SECONDS
        self._never_started = never_started
        self._settling: asyncio.Task[Outcome] | None = None

    @property
    def run_id(self) -> str:
        return self._launch.run_id

    async def outcome(self) -> Outcome:
        """Wait until the run has ended, and read how: see ``Run``."""
        settling = self._settling
        if settling is None or (
            settling.done() and (settling.cancelled() or settling.exception() is not None)
        ):
            settling = self._settling = asyncio.create_task(self._settle())
        return await asyncio.shield(settling)

    async def stop(self) -> None:
        """Ask the run to end, and wait for none of it."""
        await asyncio.to_thread(self.directory.request_stop)

    async def discard(self) -> None:
        """Remove what the run left on disk: with tools, perhaps thousands of files."""
        await asyncio.to_thread(self.directory.remove)

    async def keep(self) -> None:
        """Leave it to those who watch; see ``Run``."""
        await asyncio.to_thread(self.directory.keep)

    async def _settle(self) -> Outcome:
        if self._never_started is not None:
            return conclude(StreamReading(), self._never_started, self._launch)
        is_overdue = await self._ended()
        return await asyncio.to_thread(self._concluded, is_overdue=is_overdue)

    def _concluded(self, *, is_overdue: bool) -> Outcome:
        ending = self.directory.ending()
        if is_overdue and ending.ended_by is None:
            ending = ending.model_copy(update={"ended_by": EndedBy.DEADLINE})
        reading = self.directory.reading()
        config_dir = self.directory.config_dir()
        if reading.result is not None or config_dir is None:
            return conclude(reading, ending, self._launch)
        transcript = read_transcript(config_dir, self._launch)
        return conclude(reading, ending, self._launch, transcript)

    async def _ended(self) -> bool:
        """Wait until nothing of the run lives; whether it had to be killed for being overdue."""
        waits_since = time.monotonic()
        while not (sight := await asyncio.to_thread(self._look)).has_ended:
            started = sight.started
            if started is None:
                if not sight.lives:
                    return False
                if time.monotonic() - waits_since > _START_SECONDS:
                    await self._kill(started)
                    return False
                await asyncio.sleep(_LOOK_SECONDS)
            elif not sight.lives:
                await self._kill(started)
                return False
            elif (left := started.monotonic + self._patience - time.monotonic()) <= 0:
                await self._kill(started)
                return True
            else:
                await started.supervisor.wait(min(left, _WAIT_SECONDS))
        return False

    def _look(self) -> _Sight:
        if self.directory.has_ended():
            return _Sight(has_ended=True, started=None, lives=False)
        started = self.directory.started()
        lives = self.directory.is_locked() if started is None else self._supervisor_lives(started)
        # A supervisor that is gone may have written its last file after we looked.
        return _Sight(not lives and self.directory.has_ended(), started, lives)

    def _supervisor_lives(self, started: Started) -> bool:
        if started.supervisor.start_time is None:  # a system without /proc
            return self.directory.is_locked()
        return started.supervisor.is_alive()

    async def _kill(self, started: Started | None) -> None:
        """Kill all that is left of the run, whatever its groups and pids, and return when it is
        gone. One that is just being executed shows no environment: so nothing has to be seen twice.
        """
        until, nothing_seen = time.monotonic() + _KILL_SECONDS, 0
        while nothing_seen < 2 and time.monotonic() < until:
            was_left = await asyncio.to_thread(self._kill_what_is_left, started)
            nothing_seen = 0 if was_left else nothing_seen + 1
            await asyncio.sleep(_LOOK_SECONDS)

    def _kill_what_is_left(self, started: Started | None) -> bool:
        """Whether something was."""
        leader = started.cli.pid if started is not None and started.cli.is_alive() else None
        left = belonging(self.directory.lock, LOCK_FD, self.directory.mark, leader)
        was_left = bool(left) or self.directory.is_locked()
        if started is not None:
            started.cli.kill_group()  # for systems without /proc
        for pid in left:
            kill(pid)
        return was_left

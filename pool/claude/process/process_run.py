"""A run in a process that is nobody's child: waited for, stopped and read through its directory.

A run that was just started and one that an earlier activation left behind are waited for in the
same way, so there is one path to test: the files are the truth, and news of them and of the
supervisor's end say when to look; the lock says whether anything still lives.

A run has its outcome as soon as its own result is there. Its process is then no run any more: it
exits by itself, within 0.05-0.1 s, or is made to by its supervisor; or it is kept, until it is
given another run or is let go. As it exits, the CLI writes its last words to the session's
transcript (seen of 2.1.330: ``last-prompt`` and ``cost-state``); what has to come after them waits
for ``gone``. What the CLI charges in between, and prints in a further result, is found by
``later_usage``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

from pool.claude.launch.launch_spec import Launch
from pool.claude.outcome.conclude import conclude
from pool.claude.outcome.cost import later_usage, tells_cost
from pool.claude.outcome.ending import EndedBy, Ending
from pool.claude.output.stream import StreamReading
from pool.claude.output.tool_calls import CallsMade
from pool.claude.process.files.directory import LOCK_FD, ProcessDirectory
from pool.claude.process.files.notes import Started, Stretch
from pool.claude.process.files.run_directory import RunDirectory
from pool.claude.process.identity import belonging, kill
from pool.claude.process.supervisor import entries
from pool.claude.process.tool_calls import ToolCalls, misfit
from pool.claude.process.watch import Watcher
from pool.claude.transcripts.files import read_transcript
from pool.executions.outcome import Completed, Outcome
from pool.executions.tools.client_tools import ToolResult
from pool.usage.records import Usage

_WAIT_SECONDS = 30.0  # between looks at a run that goes on, should no news of it come
_START_SECONDS = 60.0  # for the supervisor to come up on the most overloaded machine
_START_LOOK_SECONDS = 1.0  # meanwhile, should it die and nobody tell
_OVERDUE_SECONDS = 15.0  # beyond deadline and ladder, then the supervisor itself is stuck
_HANG_SECONDS = 5.0  # for a CLI that is there to take up a turn, which takes 0.03 s
_EXIT_GRACES = 5  # for a CLI that has answered to exit, or to be made to
_KILL_SECONDS = 10.0  # for processes to vanish after SIGKILL
_KILL_LOOK_SECONDS = 0.005


class _Sight(NamedTuple):
    """A run at one instant, as its files and processes show it."""

    is_over: bool
    started: Started | None
    stretch: Stretch | None
    lives: bool
    """Whether somebody is there who may still end it: its supervisor, or whoever starts that."""
    let_go_at: float | None = None
    """When its process got the order to end, having nothing to do."""


class Settled(Protocol):
    """Called when a run has its outcome, before anybody else knows it."""

    def __call__(self, run: ProcessRun, *, is_in_order: bool) -> None: ...


class ProcessRun:
    """One run of the CLI. ``never_started``: how it ended, where that is known beforehand."""

    def __init__(
        self,
        launch: Launch,
        files: RunDirectory,
        watcher: Watcher,
        *,
        grace_seconds: float,
        never_started: Ending | None = None,
    ) -> None:
        self._launch = launch
        self._files = files
        self._watcher = watcher
        self._grace = grace_seconds
        self._never_started = never_started
        self._settling: asyncio.Task[Outcome] | None = None
        self.way = None if never_started is not None else files.way
        """How it came by its process; None where it has none."""
        self._due: float | None = None
        """When it is to have its result, where that is not its launch's deadline any more."""
        self._calls = ToolCalls(launch, files, watcher)
        self.settled: Settled | None = None
        """Hears whether the process has answered in good order, and could take another turn."""

    @property
    def run_id(self) -> str:
        return self._launch.run_id

    @property
    def directory(self) -> ProcessDirectory:
        """Of the process that has it."""
        return self._files.process

    async def outcome(self) -> Outcome:
        """Wait until the run has answered or ended, and read how: see ``Run``."""
        settling = self._settling
        if settling is None or (
            settling.done() and (settling.cancelled() or settling.exception() is not None)
        ):
            settling = self._settling = asyncio.create_task(self._settle())
        return await asyncio.shield(settling)

    async def later_usage(self) -> Usage | None:
        """Wait until it can be charged nothing more, and say what it was; see ``Run``."""
        await self.gone()
        return await asyncio.to_thread(self._later_usage)

    async def gone(self) -> None:
        """Wait until nothing of the run lives, or its process is another run's."""
        if self._never_started is None:
            await self._over(once_answered=False)

    def writes_to(self, session_id: str) -> bool:
        """Whether it has answered, and its CLI may yet write its last words to a session."""
        has_answered = self._settling is None or self._settling.done()
        return has_answered and self._launch.session_id == session_id

    async def is_taken_up(self) -> bool:
        """Whether the process that it was given to has begun to run it. False proves that it never
        will, and that nothing was spent: the process is gone by then.
        """
        since, started = time.monotonic(), await asyncio.to_thread(self.directory.started)
        with self._watcher.growth_of(lambda: self.directory.stdout) as wake:
            while not await asyncio.to_thread(self._has_begun):
                left = since + _HANG_SECONDS - time.monotonic()
                if started is None or left <= 0 or not started.supervisor.is_alive():
                    await self._kill(started)
                    return await asyncio.to_thread(self._has_begun)
                with started.supervisor.ending(wake.up) as lives:
                    if lives:
                        await wake.wait(min(left, _START_LOOK_SECONDS))
        return True

    async def stop(self) -> None:
        """Ask the run to end, and wait for none of it."""
        await asyncio.to_thread(self.directory.request_stop, self.run_id)

    async def next_calls(self, number: int, results: Sequence[ToolResult] = ()) -> CallsMade:
        """Wait until a round has ended in calls of the caller's tools; see ``Run``."""
        return await self._calls.next(number, results)

    async def misfit(self) -> str | None:
        """What was wrong with calls of strict tools, for good; see ``Run``."""
        return await asyncio.to_thread(misfit, self._launch, self._files)

    async def spent(self) -> Usage | None:
        """Ask the process what it has spent so far; see ``Run``."""
        return await self._calls.spent()

    async def lives(self) -> bool:
        """Whether its process can still take anything; see ``Run``."""
        return await asyncio.to_thread(self._lives)

    def _lives(self) -> bool:
        started = self.directory.started()
        is_there = started is not None and started.supervisor.is_alive() and started.cli.is_alive()
        return is_there and not self.directory.has_ended()

    async def give_time(self, seconds: float) -> None:
        """Let it take so long from now on; see ``Run``."""
        self._due = time.monotonic() + seconds
        await asyncio.to_thread(self.directory.say, entries.due(seconds))

    async def discard(self) -> None:
        """Remove what the run left on disk: with tools, perhaps thousands of files."""
        await asyncio.to_thread(self._files.remove)

    async def keep(self) -> None:
        """Leave what it printed to those who watch; see ``Run``."""
        await asyncio.to_thread(self._files.keep)

    async def _settle(self) -> Outcome:
        outcome, is_in_order = await self._ended()
        if self.settled is not None:
            self.settled(self, is_in_order=is_in_order)
        return outcome

    async def _ended(self) -> tuple[Outcome, bool]:
        """The outcome, and whether its process could take another turn."""
        if self._never_started is not None:
            return conclude(StreamReading(), self._never_started, self._launch), False
        is_overdue = await self._over(once_answered=True)
        return await asyncio.to_thread(self._concluded, is_overdue=is_overdue)

    def _concluded(self, *, is_overdue: bool) -> tuple[Outcome, bool]:
        stretch = self._files.stretch()
        if stretch is None or stretch.answer_ends is None:
            return self._unanswered(stretch, is_overdue=is_overdue), False
        reading = self.directory.reading(stretch.begins, stretch.answer_ends)
        outcome = conclude(reading, Ending(ended_by=stretch.ended_by), self._launch)
        was_undisturbed = stretch.ended_by is None and not reading.garbage_lines
        is_in_order = isinstance(outcome, Completed) and was_undisturbed and tells_cost(reading)
        return outcome, is_in_order

    def _unanswered(self, stretch: Stretch | None, *, is_overdue: bool) -> Outcome:
        directory = self.directory
        ending = directory.ending(self.run_id)
        if is_overdue and ending.ended_by is None:
            ending = ending.model_copy(update={"ended_by": EndedBy.DEADLINE})
        was_stopped = ending.ended_by is EndedBy.REQUEST and not ending.started
        if stretch is None and not self._files.is_process and not was_stopped:
            problem = "the process that was to run it had ended"
            return conclude(StreamReading(), Ending(started=False, problem=problem), self._launch)
        reading = directory.reading(0 if stretch is None else stretch.begins)
        config_dir = directory.config_dir()
        if reading.result is not None or config_dir is None:
            return conclude(reading, ending, self._launch)
        transcript = read_transcript(config_dir, self._launch)
        return conclude(reading, ending, self._launch, transcript)

    def _has_begun(self) -> bool:
        """Whether the CLI may have asked the API: it says so before, as ``conclude`` has it."""
        stretch = self._files.stretch()
        if stretch is None:
            return False
        reading = self.directory.reading(stretch.begins)
        return reading.init_seen or reading.garbage_lines > 0 or bool(reading.results)

    def _later_usage(self) -> Usage | None:
        stretch = self._files.stretch()
        if stretch is None or stretch.answer_ends is None:
            return None  # it was concluded from all that was printed
        later = self.directory.reading(stretch.answer_ends, stretch.ends)
        if not later.results:
            return None
        return later_usage(self.directory.reading(stretch.begins, stretch.answer_ends), later)

    # -- waiting ---------------------------------------------------------------------------------

    async def _over(self, *, once_answered: bool) -> bool:
        """Wait until the run has answered, or until nothing of it lives; whether it had to be
        killed for being overdue.
        """
        waits_since, look = time.monotonic(), partial(self._look, once_answered=once_answered)
        with self._watcher.files_of(self.directory.path) as wake:
            while not (sight := await asyncio.to_thread(look)).is_over:
                started = sight.started
                left = self._due_at(sight, waits_since) - time.monotonic()
                if not sight.lives or left <= 0:
                    if sight.lives or started is not None:
                        await self._kill(started)
                    return sight.lives and started is not None
                if started is None:
                    await wake.wait(min(left, _START_LOOK_SECONDS))
                    continue
                with started.supervisor.ending(wake.up) as lives:
                    if lives:
                        await wake.wait(min(left, _WAIT_SECONDS))
        return False

    def _look(self, *, once_answered: bool) -> _Sight:
        stretch = self._files.stretch()
        if self._is_over(stretch, once_answered=once_answered):
            return _Sight(is_over=True, started=None, stretch=stretch, lives=False)
        started = self.directory.started()
        lives = self.directory.is_locked() if started is None else started.supervisor.is_alive()
        # A supervisor that is gone may have written its last words after we looked.
        stretch = self._files.stretch()
        is_over = not lives and self._is_over(stretch, once_answered=once_answered)
        let_go_at = None if self._files.is_process else self.directory.was_let_go_at()
        return _Sight(is_over, started, stretch, lives, let_go_at)

    def _is_over(self, stretch: Stretch | None, *, once_answered: bool) -> bool:
        if once_answered and stretch is not None and stretch.answer_ends is not None:
            return True
        is_anothers = stretch is not None and stretch.ends is not None
        return is_anothers or self.directory.has_ended()

    def _due_at(self, sight: _Sight, waits_since: float) -> float:
        """When it is overdue, so that its supervisor must be stuck."""
        if sight.started is None:
            return waits_since + _START_SECONDS
        stretch, overdue = sight.stretch, 2 * self._grace + _OVERDUE_SECONDS
        if stretch is not None and stretch.answered_at is not None:
            ends_from = stretch.answered_at
            if not self._files.is_process:
                if sight.let_go_at is None:
                    return float("inf")  # it is kept
                ends_from = max(ends_from, sight.let_go_at)
            return ends_from + _EXIT_GRACES * self._grace + overdue
        if self._due is not None:
            return self._due + overdue
        since = sight.started.monotonic if self._files.is_process else waits_since
        since = since if stretch is None else stretch.begun_at
        return since + self._launch.timeout_seconds + overdue

    async def _kill(self, started: Started | None) -> None:
        """Kill all that is left of the process, whatever its groups and pids, and return when it is
        gone. One that is just being executed shows no environment: so nothing has to be seen twice.
        """
        until, nothing_seen = time.monotonic() + _KILL_SECONDS, 0
        while nothing_seen < 2 and time.monotonic() < until:
            was_left = await asyncio.to_thread(self._kill_what_is_left, started)
            nothing_seen = 0 if was_left else nothing_seen + 1
            await asyncio.sleep(_KILL_LOOK_SECONDS)

    def _kill_what_is_left(self, started: Started | None) -> bool:
        """Whether something was."""
        leader = started.cli.pid if started is not None and started.cli.is_alive() else None
        left = belonging(self.directory.lock, LOCK_FD, self.directory.mark, leader)
        was_left = bool(left) or self.directory.is_locked()
        for pid in left:
            kill(pid)
        return was_left

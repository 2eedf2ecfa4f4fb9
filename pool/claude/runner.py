"""One run of the CLI, as its subscription sees it.

A ``Runner`` turns a ``Launch`` into a ``Run``. A run outlives whoever started it: it writes to a
directory of its own, and another activation finds it there by its id and goes on waiting. Whether
the process was spawned for this run, had been started ahead of it, or served others before is the
runner's business; nothing here says that it is new.

A run is over when its answer is there. What its process does afterwards, which is to exit as a
rule, holds up nobody but the next turn of its session, and no slot: slots bound what runs (G6), and
for some 0.1 s there may be as many CLIs again on their way out.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from pool.claude.launch.launch_spec import Launch
from pool.claude.output.tail import Piece
from pool.claude.output.tool_calls import CallsMade
from pool.claude.transcripts.copy import SessionCopy
from pool.executions.outcome import Outcome
from pool.executions.process_way import ProcessWay
from pool.executions.tools.client_tools import ToolResult
from pool.executions.tools.rounds import Continuation
from pool.limits.usage_reading import NoProfile, UsageReading
from pool.usage.records import Usage


class Run(Protocol):
    """A run that was started, here or by an earlier activation."""

    @property
    def run_id(self) -> str: ...

    @property
    def way(self) -> ProcessWay | None:
        """How it came by its process; None where it has none."""
        ...

    async def outcome(self) -> Outcome:
        """Wait until the run has answered, or has ended without an answer, and read how. Bounded by
        the launch's deadline plus a grace; may be awaited again and by several tasks; cancelling
        the wait does not end the run.
        """
        ...

    async def later_usage(self) -> Usage | None:
        """Wait, once the outcome is there, until nothing more can be charged for the run; what was
        charged beyond the outcome's usage. The same at each call; None where it is nothing.
        """
        ...

    async def stop(self) -> None:
        """Ask the run to end: politely, after 2 s by SIGTERM, after 2 s more by SIGKILL to its
        group. Waits for none of it; ``outcome`` tells how it ended.
        """
        ...

    async def next_calls(self, number: int, results: Sequence[ToolResult] = ()) -> CallsMade:
        """Wait until the round of a number has ended in calls of callers' tools, and give the CLI
        what it asks for meanwhile: the tools, and the ``results`` of the round before. Never, where
        the run ends without: ``outcome`` is to be awaited beside it. May be cancelled, and asked
        again with the same arguments by another activation. OSError where nothing can be said to
        the process.
        """
        ...

    async def misfit(self) -> str | None:
        """What was wrong with calls of strict tools, where the model made them otherwise too often;
        None where it did not.
        """
        ...

    async def spent(self) -> Usage | None:
        """What the run has spent so far, as its process says while it waits for results; None where
        it does not say within 3 s, or not of this run alone.
        """
        ...

    async def lives(self) -> bool:
        """Whether its process is there, and can still take anything."""
        ...

    async def give_time(self, seconds: float) -> None:
        """Let it take so long from now on before it is ended, whatever its launch says."""
        ...

    async def discard(self) -> None:
        """Remove what the run left on disk, once its outcome and later usage are durable."""
        ...

    async def keep(self) -> None:
        """Leave what it printed to those who watch, until the runner's ``expire`` removes it."""
        ...


class Wake(Protocol):
    """Wakes who waits for something that goes on elsewhere."""

    async def wait(self, seconds: float) -> None:
        """Return when something may have happened since this was last awaited; after ``seconds``
        at the latest.
        """
        ...


class Runner(Protocol):
    """Starts runs on one subscription, and finds those that an earlier activation started."""

    @property
    def place(self) -> str:
        """Names where this runner's runs are: another machine, another start of the machine, or a
        restored backup, is another. Blocking when it is asked for the first time.
        """
        ...

    async def start(self, launch: Launch, environment: Mapping[str, str]) -> Run:
        """Start the CLI. A start that fails is a run whose outcome is ``Failed(NOT_STARTED)``; one
        whose directories are not any more what was resolved raises ``InvalidRequest``.
        """
        ...

    async def quiet(self, session_id: str) -> None:
        """Wait until no run that is over can write to a session's transcript any more; a process
        that was kept for its next turn ends. ``start`` does so by itself.
        """
        ...

    async def let_go(self) -> None:
        """End every process that was kept, also by an earlier activation; one that is at work ends
        after its run. Waits for none of it.
        """
        ...

    @property
    def keeps_any(self) -> bool:
        """Whether a process is kept that has nothing to do, for what may come."""
        ...

    async def promise(self, launch: Launch, environment: Mapping[str, str]) -> str | None:
        """The session id of a process that can begin a session at once: it was cleared of another
        one of the same owner, or started ahead. ``start`` gives it to the launch, once that has
        this id. None where there is none. ``ConfigError`` where there is no CLI.
        """
        ...

    async def tend_spares(
        self,
        new_sessions: int,
        environment: Mapping[str, str],
        model: str,
        *,
        may_start: bool = True,
    ) -> None:
        """Have processes started ahead, for requests of a model, as sessions that began within the
        last minute say, and end those that are not to be used; asked every second or so. None is
        started unless it ``may_start``. ``ConfigError`` where there is no CLI.
        """
        ...

    async def rescan(
        self, launch: Launch, environment: Mapping[str, str], recorded: Usage
    ) -> Usage | None:
        """What can be found today of a run that was settled without knowing its cost, beyond what
        was ``recorded``; None where there is nothing, or no price for it yet.
        """
        ...

    def clean(self, environment: Mapping[str, str], older_than: datetime) -> None:
        """Remove what killed CLIs left in the subscription's config directory. Blocking."""
        ...

    def left(self, open_ids: Container[str]) -> tuple[str, ...]:
        """The ids of runs that are not open any more, and of which something is left on disk: their
        activation ended before it could look after them. Blocking.
        """
        ...

    def sweep(self, keep: Container[str]) -> None:
        """Remove what runs of other ids left on disk: nobody knows their executions any more. What
        was kept for those who watch stays. Blocking.
        """
        ...

    def expire(self, kept_before: datetime) -> None:
        """Remove what was kept for those who watch, where that was before an instant. Blocking."""
        ...

    def printed(self, run_id: str, offset: int, limit: int) -> Piece | None:
        """At most ``limit`` bytes of what a run has printed, from ``offset``, up to the end of its
        answer; None where nothing of it is there, not yet or no more. Blocking.
        """
        ...

    def watch(self, run_id: str) -> AbstractContextManager[Wake]:
        """Wakes one task as a run prints."""
        ...

    async def is_signed_in(self, environment: Mapping[str, str]) -> bool:
        """Whether the CLI says that there is a credential. ``ConfigError`` where it cannot say."""
        ...

    async def login_expires_at(
        self, environment: Mapping[str, str], now: datetime
    ) -> datetime | None:
        """When the login ends, so that a human has to sign in again; None where it has no end, or
        nobody knows it. ``ConfigError`` where the CLI has to be asked and cannot say.
        """
        ...

    async def models(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The models that the CLI offers, and what each name runs as; nothing is run or spent.
        ``ConfigError`` where it cannot say.
        """
        ...

    async def usage(
        self, environment: Mapping[str, str], now: datetime
    ) -> UsageReading | NoProfile:
        """What Anthropic says of the account's limits; nothing is run or spent. ``ConfigError``
        where the CLI cannot say.
        """
        ...

    def copy_session(
        self, environment: Mapping[str, str], session_id: str, without: Iterable[Launch]
    ) -> SessionCopy:
        """A session's transcript, without the turns of some launches; see ``transcripts.copy``."""
        ...

    def install_session(self, environment: Mapping[str, str], copy: SessionCopy) -> None:
        """Put a session where the CLI finds it. Blocking; see ``transcripts.copy``."""
        ...

    def continue_session(
        self, environment: Mapping[str, str], source: str, launch: Launch, wanted: Continuation
    ) -> None:
        """Make the session of a launch that goes on from results, of the one in which they were
        called for; where it is there already, anew. ``CopyRefused`` where that is not there.
        Blocking; see ``transcripts.tool_results``.
        """
        ...

    def remove_session(self, environment: Mapping[str, str], session_id: str) -> None:
        """Remove a session's transcript. Blocking."""
        ...

    def find(self, launch: Launch) -> Run | None:
        """The run of this id that was started before, alive or ended; None if there is none.
        Blocking.
        """
        ...

"""Processes that are kept: each with the session whose last turn it ran, for the next one.

Which turns a process may serve is ``launch/process_settings``' to say (``ProcessSettings.serves``).
Kept is what has answered in good order, fits into what the machine has to spare, and shows no
oddity. It is let go when its time is over, when somebody else needs its place, when its session
goes elsewhere, and at any doubt: the next turn is then run by a process of its own, which is slower
and nothing else. Whoever lets a process go says so in its inbox; its supervisor sees to the rest.

Nothing is remembered of them beyond one activation: the next one lets go whatever it finds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pool.claude.launch.process_settings import ProcessSettings
from pool.claude.output.lines import messages_of
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.idle.machine import (
    GROWN_BYTES,
    Places,
    has_memory_to_spare,
    resident_bytes,
)
from pool.claude.process.process_run import ProcessRun
from pool.claude.transcripts.continuation import Sizes, has_gone_on, sizes_of
from pool.values import Value

log = logging.getLogger(__name__)

MOST_KEPT = 16
"""Of one subscription."""
MOST_TURNS = 100
"""Of one process: what it has read and printed stays on the disk until it ends."""
MOST_PRINTED_BYTES = 100_000_000
MOST_AGE_SECONDS = 3600.0
OWNERLESS_SECONDS = 15.0
"""How much longer than it is kept a process waits for input: as a rule its subscription ends it,
and it ends by itself only where the subscription's actor is gone."""


class Keeping(Value):
    """For how long processes are kept, and how many on this machine. 0 s: none are."""

    seconds: float = 0.0
    places: Path = Path()
    """The folder of the machine's places for idle processes."""
    most: int = 0
    spares: int = 0
    """How many processes of a subscription may be started ahead of requests."""
    reuses: bool = False
    """Whether one may serve another session of the same caller, once it is cleared."""
    most_age_seconds: float = MOST_AGE_SECONDS
    """How old a process may grow: until its end prompts and answers stand in its files."""


@dataclass
class KeptProcess:
    """A process that is at work on a turn of its session, or waits for the next."""

    process: ProcessDirectory
    settings: ProcessSettings
    run: ProcessRun
    """Its latest."""
    turns: int = 1
    cleared_until: int | None = None
    """Where it ended to print that it is cleared of what it ran; None where it has run since."""
    begun: float = field(default_factory=time.monotonic)
    transcript: Sizes | None = None
    """Its session's, when it was left idle."""
    place: int | None = None
    """A descriptor; held from its first answer on."""
    staying: asyncio.Task[None] | None = None
    """After a turn: whether there is room for it is being found out."""
    expiry: asyncio.TimerHandle | None = None
    """Only while it is idle."""
    idle_since: float = 0.0
    """On the monotonic clock, where it is."""

    @property
    def is_idle(self) -> bool:
        return self.expiry is not None


class KeptProcesses:
    """The processes of one subscription that may serve further turns, by session."""

    def __init__(self, keeping: Keeping, places: Places) -> None:
        self._keeping = keeping
        self._places = places
        self._known: dict[str, KeptProcess] = {}
        """Those that have been idle for longest come first."""
        self._told: set[asyncio.Task[None]] = set()
        self._exiting: set[asyncio.Task[None]] = set()

    @property
    def is_on(self) -> bool:
        return self._keeping.seconds > 0 and self._keeping.most > 0

    @property
    def is_any(self) -> bool:
        """Whether any is at work, or waits."""
        return bool(self._known)

    @property
    def idle_seconds(self) -> float:
        """How long a process may be without a word before it ends by itself."""
        return self._keeping.seconds + OWNERLESS_SECONDS

    def at_work(self, kept: KeptProcess) -> None:
        """A process has been given a turn."""
        kept.staying = None
        self._known[kept.settings.session_id] = kept
        kept.run.settled = self._settled

    async def take(self, settings: ProcessSettings | None, session_id: str) -> KeptProcess | None:
        """The idle process of a session, if it can run a turn with these settings; nobody else has
        it any more. One that cannot is let go.
        """
        kept = await self._idle(session_id)
        if kept is None:
            return None
        self._forget(kept)
        if settings is not None and kept.settings.serves(settings):
            return kept
        self.let_go(kept)
        return None

    async def take_for_another(self, session: ProcessSettings) -> KeptProcess | None:
        """The process that has been idle for longest of those that could serve a new session, once
        it is cleared; nobody else has it any more. None where there is none.
        """
        for kept in tuple(self._known.values()):
            fits = kept.settings.serves_anew(session)
            if fits and await self._idle(kept.settings.session_id) is kept:
                self._forget(kept)
                return kept
        return None

    def one_in(self, around: str) -> ProcessDirectory | None:
        """An idle process that was started in these surroundings, for a question."""
        known = (each for each in self._known.values() if each.is_idle)
        return next((each.process for each in known if each.settings.surroundings == around), None)

    def let_go(self, kept: KeptProcess) -> None:
        """Have a process end, which nobody is to use any more."""
        self._forget(kept)
        self._give_back(kept)
        told = asyncio.create_task(asyncio.to_thread(_end, kept.process))
        for task, tasks in ((told, self._told), (_exit(kept.run, told), self._exiting)):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def end(self, session_id: str | None = None) -> None:
        """Let go what is idle, of one session or of all. When this returns, each has the order."""
        for each in tuple(self._known) if session_id is None else (session_id,):
            kept = await self._idle(each)
            if kept is not None:
                self.let_go(kept)
        await asyncio.gather(*self._told)

    def _settled(self, run: ProcessRun, *, is_in_order: bool) -> None:
        """A turn is over: its process waits for the next one, or is let go."""
        kept = next((each for each in self._known.values() if each.run is run), None)
        if kept is None:
            return
        if is_in_order and kept.turns < MOST_TURNS and self._stays_for(kept) > 0:
            kept.staying = asyncio.create_task(self._stay(kept))
        else:
            self.let_go(kept)

    async def _stay(self, kept: KeptProcess) -> None:
        """Nobody waits for this but who wants the process."""
        if not (await asyncio.to_thread(_may_stay, kept) and await self._has_place(kept)):
            self.let_go(kept)
            return
        self._known[kept.settings.session_id] = self._known.pop(kept.settings.session_id)
        loop, kept.idle_since = asyncio.get_running_loop(), time.monotonic()
        kept.expiry = loop.call_later(self._stays_for(kept), self.let_go, kept)

    def _stays_for(self, kept: KeptProcess) -> float:
        """How many seconds it may wait for its next turn, from now on."""
        age = time.monotonic() - kept.begun
        return min(self._keeping.seconds, self._keeping.most_age_seconds - age)

    async def _has_place(self, kept: KeptProcess) -> bool:
        """Whether there is room for it; the one that has been idle for longest makes way."""
        if len([each for each in self._known.values() if each.is_idle]) >= MOST_KEPT:
            self.make_way()
        if kept.place is None:
            kept.place = await asyncio.to_thread(self._places.take)
        if kept.place is None and self.make_way():
            kept.place = await asyncio.to_thread(self._places.take)
        return kept.place is not None

    def make_way(self, idle_seconds: float = 0.0) -> bool:
        """Whether the one that has been idle for longest, and for so long, was let go for another
        process.
        """
        longest = next((each for each in self._known.values() if each.is_idle), None)
        if longest is None or time.monotonic() - longest.idle_since < idle_seconds:
            return False
        self.let_go(longest)
        return True

    async def _idle(self, session_id: str) -> KeptProcess | None:
        """The process of a session, where it has nothing to do."""
        kept = self._known.get(session_id)
        if kept is not None and kept.staying is not None:
            await kept.staying
        is_there = kept is not None and self._known.get(session_id) is kept
        return kept if kept is not None and is_there and kept.is_idle else None

    def _forget(self, kept: KeptProcess) -> None:
        if kept.expiry is not None:
            kept.expiry.cancel()
            kept.expiry = None
        if self._known.get(kept.settings.session_id) is kept:
            del self._known[kept.settings.session_id]

    def _give_back(self, kept: KeptProcess) -> None:
        if kept.place is not None:
            os.close(kept.place)
            kept.place = None


def is_fit(kept: KeptProcess) -> bool:
    """Whether an idle process lives, has shown nothing odd since it answered, and knows all that
    was said in its session. Blocking.
    """
    stretch = kept.process.stretch(kept.run.run_id)
    if stretch is None or stretch.answer_ends is None or not is_sound(kept.process):
        return False
    if _has_gone_on_elsewhere(kept):
        return False
    quiet_from = stretch.answer_ends if kept.cleared_until is None else kept.cleared_until
    since = kept.process.printed(quiet_from, None, 0, MOST_PRINTED_BYTES)
    lines = [] if since is None else since.data.splitlines()
    told = [message for line in lines for message in messages_of(line)]
    return len(told) == len(lines) and all(each.get("type") != "result" for each in told)


def _may_stay(kept: KeptProcess) -> bool:
    config_dir, session_id = kept.process.config_dir(), kept.settings.session_id
    kept.transcript = None if config_dir is None else sizes_of(config_dir, session_id)
    return has_memory_to_spare() and is_sound(kept.process)


def _has_gone_on_elsewhere(kept: KeptProcess) -> bool:
    config_dir, known = kept.process.config_dir(), kept.transcript
    if config_dir is None or known is None:
        return False
    return has_gone_on(known, config_dir, kept.settings.session_id)


def is_sound(process: ProcessDirectory) -> bool:
    """Whether a process lives, and has not grown beyond what may be idle."""
    started = process.started()
    if started is None or process.has_ended() or process.was_let_go_at() is not None:
        return False
    if not (started.supervisor.is_alive() and started.cli.is_alive()):
        return False
    has_printed = process.stdout.stat().st_size
    return resident_bytes(started.cli.pid) < GROWN_BYTES and has_printed < MOST_PRINTED_BYTES


def _exit(run: ProcessRun, told: asyncio.Task[None]) -> asyncio.Task[None]:
    """See a process off: one that does not end is made to."""

    async def exit_() -> None:
        await told
        await run.gone()

    return asyncio.create_task(exit_())


def _end(process: ProcessDirectory) -> None:
    """Best effort: one whose inbox cannot be written to ends when its own time is over."""
    with suppress(OSError):
        process.let_go()

"""Spares: processes that were started ahead of the requests they are for, and wait to be claimed.

A spare has a session id from its start, so that an execution has to be given that before it is made
durable: it is promised one. The rest, which is system prompt, model and the model's settings, it
gets when it is claimed. Each is used once, or let go: when it is old, when its
environment, CLI or login are gone by, when there is more of them than wanted. Any refusal or oddity
of a claim ends it, and the run has a process of its own, with the session id that was promised
(tried on 2.1.332).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pool.claude.launch.command import claim_line, model_line, settings_lines
from pool.claude.launch.launch_spec import Launch
from pool.claude.launch.process_settings import surroundings
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.idle.control import all_asked
from pool.claude.process.idle.kept import KeptProcesses, is_sound
from pool.claude.process.idle.machine import Places, has_memory_to_spare
from pool.claude.process.start import ProcessStarter
from pool.claude.process.watch import Watcher
from pool.executions.model_settings import AS_IT_COMES

READY_SECONDS = 1.0
"""From then on a spare is worth waiting for; to start takes 0.5-0.8 s of one CPU."""
MOST_AGE_SECONDS = 600.0
PROMISED_SECONDS = 60.0
"""How long an execution may take from its admission to its start."""
CLAIM_SECONDS = 3.0
"""A claim took 8-67 ms."""
MISSED_SECONDS = 20.0
"""Of a process that waits for so long for its session's next turn: where there is no room, the next
session has more of one that is started for it. Most requests of an SDK begin a session each, which
has no second turn."""
_START_SECONDS = 10.0
_END_SECONDS = 6.0
_AFTER_FAILURE_SECONDS = 30.0
_MOST_PAUSE_SECONDS = 900.0


@dataclass
class Spare:
    """A parked process."""

    process: ProcessDirectory
    session_id: str
    model: str
    surroundings: str
    parked_at: float
    place: int
    """A descriptor; whoever claims it has it from then on."""

    @property
    def age(self) -> float:
        return time.monotonic() - self.parked_at


class Spares:
    """The spares of one subscription."""

    def __init__(
        self,
        places: Places,
        kept: KeptProcesses,
        starter: ProcessStarter,
        watcher: Watcher,
        *,
        reuses: bool,
    ) -> None:
        """``reuses``: whether one may serve another session later, once it is cleared."""
        self._places = places
        self._kept = kept
        self._starter = starter
        self._watcher = watcher
        self._reuses = reuses
        self._parked: list[Spare] = []
        self._promised: dict[str, Spare] = {}
        self._deaths = 0
        """Of spares that nobody had used, in a row."""
        self._rests_until = 0.0
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def is_any(self) -> bool:
        return bool(self._parked)

    def promise(self) -> str | None:
        """The session id of a spare, which its next run is to have; None where there is none."""
        ready = next((each for each in self._parked if each.age >= READY_SECONDS), None)
        if ready is None:
            return None
        self._parked.remove(ready)
        self._promised[ready.session_id] = ready
        asyncio.get_running_loop().call_later(PROMISED_SECONDS, self._forget, ready.session_id)
        return ready.session_id

    def one_in(self, around: str) -> ProcessDirectory | None:
        """A spare that was started in these surroundings, for a question."""
        ready = (each for each in self._parked if each.age >= READY_SECONDS)
        return next((each.process for each in ready if each.surroundings == around), None)

    async def claimed(
        self, launch: Launch, around: str | None, environment: Mapping[str, str]
    ) -> Spare | None:
        """The spare that was promised to a launch, bound to it; None where there is none, or where
        it cannot be had: it is gone by then. ``around``: the surroundings of the launch; None for
        one that no spare can serve.
        """
        spare = self._promised.pop(launch.session_id, None)
        if spare is None:
            return None
        fits = around == spare.surroundings and await asyncio.to_thread(is_sound, spare.process)
        if fits and await self._bind(spare, launch, environment):
            return spare
        await self.end(spare)
        return None

    async def tend(
        self,
        wanted: int,
        executable: Path,
        environment: Mapping[str, str],
        model: str,
        *,
        may_start: bool = True,
    ) -> None:
        """Have as many as are wanted, one more at a time; let go what is not to be used."""
        around = await asyncio.to_thread(surroundings, environment, executable, ())
        for spare in tuple(self._parked):
            is_alive = await asyncio.to_thread(_is_there, spare)
            if not is_alive:
                self._died()
            elif spare.age >= READY_SECONDS:
                self._deaths = 0
            is_new = spare.age < MOST_AGE_SECONDS and spare.surroundings == around
            if not (is_alive and is_new) and spare in self._parked:
                self._let_go(spare)
        while len(self._parked) > wanted:
            self._let_go(self._parked[0])
        may_start = may_start and time.monotonic() >= self._rests_until
        if len(self._parked) < wanted and may_start and has_room():
            await self._park(executable, environment, model, around)

    async def let_go(self) -> None:
        """End all of them."""
        for spare in (*self._parked, *self._promised.values()):
            self._let_go(spare)
        await asyncio.gather(*self._ending)

    def see_off(self, process: ProcessDirectory) -> None:
        """End a process that an earlier activation has parked."""
        self._end_later(_ended(process))

    async def end(self, spare: Spare) -> None:
        """End one, and return when nothing of it lives."""
        with suppress(OSError):
            os.close(spare.place)
        await _ended(spare.process)

    async def _bind(self, spare: Spare, launch: Launch, environment: Mapping[str, str]) -> bool:
        """Give it session, prompt, model and settings at once; whether it has taken them."""
        lines = {"claim": claim_line(launch, self._starter.work_dir)}
        if spare.model != launch.model:
            lines["model"] = model_line(launch.model)
        if launch.model_settings != AS_IT_COMES:
            lines |= settings_lines(launch.model_settings, environment)
        told = await all_asked(spare.process, self._watcher, lines, CLAIM_SECONDS)
        if told is None or told["claim"].get("status") != "ok":
            return False
        model = told["model"].get("model") if "model" in told else launch.model
        is_its_session = told["claim"].get("session_id") == spare.session_id
        return is_its_session and is_of(str(model), launch.model)

    async def _park(
        self, executable: Path, environment: Mapping[str, str], model: str, around: str
    ) -> None:
        place = await asyncio.to_thread(self._places.take)
        if place is None and self._kept.make_way(MISSED_SECONDS):
            place = await asyncio.to_thread(self._places.take)
        if place is None:
            return
        session_id, now = str(uuid4()), time.monotonic()
        launch = Launch(
            run_id="",
            prompt="",
            session_id=session_id,
            model=model,
            resumes=False,
            timeout_seconds=0,
            owner="" if self._reuses else None,
        )
        seconds = MOST_AGE_SECONDS + PROMISED_SECONDS
        park = self._starter.park
        process = await asyncio.to_thread(park, launch, executable, environment, seconds)
        if process is None:
            os.close(place)
            self._died()
            return
        self._parked.append(Spare(process, session_id, model, around, now, place))

    def _died(self) -> None:
        """One that nobody had used: the next one may, too, such as of a CLI that has no spares."""
        self._deaths += 1
        pause = min(_AFTER_FAILURE_SECONDS * 2.0 ** (self._deaths - 1), _MOST_PAUSE_SECONDS)
        self._rests_until = time.monotonic() + pause

    def _forget(self, session_id: str) -> None:
        """Let one go that was promised to an execution that never came."""
        spare = self._promised.pop(session_id, None)
        if spare is not None:
            self._let_go(spare)

    def _let_go(self, spare: Spare) -> None:
        if spare in self._parked:
            self._parked.remove(spare)
        self._promised.pop(spare.session_id, None)
        self._end_later(self.end(spare))

    def _end_later(self, ending: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def wanted(new_sessions_a_minute: int, most: int) -> int:
    """How many spares a subscription should have: none for one at which nothing has begun within a
    minute, and one more for every twenty beginnings.
    """
    return 0 if new_sessions_a_minute == 0 else min(most, 1 + new_sessions_a_minute // 20)


def is_of(model: str, asked_for: str) -> bool:
    """Whether a model is what was asked for: by its name, or by an alias, which the CLI answers
    with what it stands for (``sonnet``: ``claude-sonnet-5-5``).
    """
    return asked_for in model and ("[" in asked_for) == ("[" in model)


def has_room() -> bool:
    """Whether the machine has a core and memory to spare: a spare is never to slow a run."""
    return os.getloadavg()[0] < (os.cpu_count() or 1) and has_memory_to_spare()


def _is_there(spare: Spare) -> bool:
    """Whether it is parked, or about to be."""
    process = spare.process
    is_starting = spare.age < _START_SECONDS and process.started() is None
    return process.is_locked() if is_starting else is_sound(process)


async def _ended(process: ProcessDirectory) -> None:
    """Have a process end, and see it and its directory gone; one that has a run is its own."""
    with suppress(OSError):
        await asyncio.to_thread(process.let_go)
    until = time.monotonic() + _END_SECONDS
    while await asyncio.to_thread(_lives_idle, process):
        if time.monotonic() > until or await asyncio.to_thread(process.is_orphaned):
            await asyncio.to_thread(process.kill)
        await asyncio.sleep(0.02)
    await asyncio.to_thread(_remove, process)


def _lives_idle(process: ProcessDirectory) -> bool:
    return process.is_locked() and not process.serves()


def _remove(process: ProcessDirectory) -> None:
    if not process.serves():
        process.remove_if_over()

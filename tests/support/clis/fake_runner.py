"""A runner that is told what to answer, in the place of the one that starts the CLI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pool.claude.launch.launch_spec import Launch
from pool.claude.output.tail import Piece
from pool.claude.transcripts.copy import SessionCopy, SessionFile, TranscriptGone
from pool.errors import ConfigError
from pool.executions.outcome import Completed, Failed, FailureKind, Outcome
from pool.executions.process_way import ProcessWay
from pool.limits.usage_reading import NoProfile, UsageReading
from pool.usage.records import Usage
from tests.support.values.examples import NOON, completed, usage_of


@dataclass
class FakeRun:
    launch: Launch
    ending: asyncio.Future[Outcome]
    subscription: str
    stopped: bool = False
    discarded: bool = False
    kept: bool = False
    later: Usage | None = None
    """What it is charged beyond its outcome."""
    exits: asyncio.Event = field(default_factory=asyncio.Event)
    """It has answered, and its CLI is gone."""
    output: bytearray = field(default_factory=bytearray)
    wakes: set[asyncio.Event] = field(default_factory=set)
    """Of those who watch it."""

    @property
    def run_id(self) -> str:
        return self.launch.run_id

    def prints(self, *messages: dict[str, Any]) -> None:
        """Have it print messages, a line each, as the CLI does."""
        for message in messages:
            self.output += json.dumps(message).encode() + b"\n"
        for wake in self.wakes:
            wake.set()

    def says(self, *pieces: str) -> None:
        """Have it print pieces of the answer's text."""
        for text in pieces:
            delta = {"type": "text_delta", "text": text}
            event = {"type": "content_block_delta", "index": 0, "delta": delta}
            self.prints({"type": "stream_event", "event": event, "parent_tool_use_id": None})

    @property
    def way(self) -> ProcessWay | None:
        return ProcessWay.COLD

    async def outcome(self) -> Outcome:
        return await asyncio.shield(self.ending)

    async def later_usage(self) -> Usage | None:
        await self.exits.wait()
        return self.later

    async def stop(self) -> None:
        self.stopped = True
        if not self.ending.done():
            self.ending.set_result(
                Failed(kind=FailureKind.INTERRUPTED, message="stopped", usage=usage_of("0.0001"))
            )

    async def discard(self) -> None:
        self.discarded = True

    async def keep(self) -> None:
        self.kept = True

    def end(self, outcome: Outcome | None = None) -> None:
        outcome = outcome or completed()
        if isinstance(outcome, Completed):
            self.prints({"type": "result", "is_error": False, "result": outcome.result})
        self.ending.set_result(outcome)


@dataclass
class FakeWake:
    event: asyncio.Event
    longest: float = 60.0

    async def wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.event.wait(), min(seconds, self.longest))
        self.event.clear()


@dataclass
class FakeRunner:
    """Answers at once with ``completed()`` or what was put into ``script``; or, with ``hold``,
    leaves every run open until the test ends it.
    """

    hold: bool = False
    lingers: bool = False
    """Runs that have answered do not exit until the test has them do so."""
    place: str = "here"
    script: list[Outcome] = field(default_factory=list)
    scripts: dict[str, list[Outcome]] = field(default_factory=dict)
    """What the runs of one subscription answer, in turn; before ``script``."""
    sessions: dict[tuple[str, str], SessionCopy] = field(default_factory=dict)
    """Transcripts, by subscription and session."""
    signed_in: bool = True
    login_ends: dict[str, datetime] = field(default_factory=dict)
    """When the logins of subscriptions end, as the CLI keeps it."""
    asked_for_logins: int = 0
    offers: dict[str, str] = field(default_factory=dict)
    """The models that the CLI says it offers; by default it cannot say."""
    asked: int = 0
    """How often it was asked for them."""
    reads: UsageReading | NoProfile | None = None
    """What the CLI says is used of the account's limits; by default it cannot say."""
    spares: list[str] = field(default_factory=list)
    """The sessions of processes that were started ahead."""
    tended: list[int] = field(default_factory=list)
    """How many sessions had begun lately, each time that spares were looked after."""
    keeps_any: bool = False
    let_goes: int = 0
    """How often it was to end what is idle."""
    readings: int = 0
    """How often it was asked for that."""
    runs: list[FakeRun] = field(default_factory=list)
    found_later: dict[str, Usage] = field(default_factory=dict)
    """What a second look finds, by run."""
    running: int = 0
    most_running: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, launch: Launch, environment: Mapping[str, str]) -> FakeRun:
        subscription = environment.get("SUBSCRIPTION", "")
        run = FakeRun(launch, asyncio.get_running_loop().create_future(), subscription)
        self._note(subscription, launch)
        run.prints({"type": "system", "subtype": "init", "session_id": launch.session_id})
        self.runs.append(run)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        run.ending.add_done_callback(self._ended)
        if not self.lingers:
            run.exits.set()
        self.arrived.set()
        self.arrived = asyncio.Event()
        if self.scripts.get(subscription):
            run.end(self.scripts[subscription].pop(0))
        elif self.script:
            run.end(self.script.pop(0))
        elif not self.hold:
            run.end()
        return run

    async def rescan(
        self, launch: Launch, environment: Mapping[str, str], recorded: Usage
    ) -> Usage | None:
        return self.found_later.get(launch.run_id)

    def _note(self, subscription: str, launch: Launch) -> None:
        """Write the turn into the session's transcript, which has to be there for a resumed one."""
        read = launch.forks or launch.session_id
        known = self.sessions.get((subscription, read))
        if (launch.resumes or launch.forks) and known is None:
            raise AssertionError(f"{subscription} has no transcript of {read}")
        earlier = known.files[0].data if known is not None else b""
        data = earlier + launch.prompt.encode() + b"\n"
        file = SessionFile(path=f"p/{launch.session_id}.jsonl", data=data, sha256="0" * 64)
        copy = SessionCopy(session_id=launch.session_id, files=(file,))
        self.sessions[subscription, launch.session_id] = copy

    async def models(self, environment: Mapping[str, str]) -> dict[str, str]:
        self.asked += 1
        if not self.offers:
            raise ConfigError("claude.path", "does not say which models it offers")
        return self.offers

    async def usage(
        self, environment: Mapping[str, str], now: datetime
    ) -> UsageReading | NoProfile:
        self.readings += 1
        if self.reads is None:
            raise ConfigError("claude.path", "does not say what is used of its limits")
        return self.reads

    async def is_signed_in(self, environment: Mapping[str, str]) -> bool:
        return self.signed_in

    async def login_expires_at(
        self, environment: Mapping[str, str], now: datetime
    ) -> datetime | None:
        self.asked_for_logins += 1
        return self.login_ends.get(environment.get("SUBSCRIPTION", ""))

    def copy_session(
        self, environment: Mapping[str, str], session_id: str, without: Iterable[Launch]
    ) -> SessionCopy:
        try:
            copy = self.sessions[environment.get("SUBSCRIPTION", ""), session_id]
        except KeyError:
            raise TranscriptGone("its transcript is not there any more") from None
        file, left_out = copy.files[0], {launch.prompt.encode() for launch in without}
        lines = (line for line in file.data.splitlines() if line not in left_out)
        kept = file.model_copy(update={"data": b"".join(line + b"\n" for line in lines)})
        return copy.model_copy(update={"files": (kept,)})

    def install_session(self, environment: Mapping[str, str], copy: SessionCopy) -> None:
        self.sessions[environment.get("SUBSCRIPTION", ""), copy.session_id] = copy

    def remove_session(self, environment: Mapping[str, str], session_id: str) -> None:
        self.sessions.pop((environment.get("SUBSCRIPTION", ""), session_id), None)

    def clean(self, environment: Mapping[str, str], older_than: datetime) -> None:
        """Nothing is left by CLIs that were never there."""

    async def quiet(self, session_id: str) -> None:
        for run in self.runs:
            if run.launch.session_id == session_id and run.ending.done():
                await run.exits.wait()

    async def promise(self, launch: Launch, environment: Mapping[str, str]) -> str | None:
        return self.spares.pop(0) if self.spares else None

    async def tend_spares(
        self,
        new_sessions: int,
        environment: Mapping[str, str],
        model: str,
        *,
        may_start: bool = True,
    ) -> None:
        self.tended.append(new_sessions)

    async def let_go(self) -> None:
        """No process is kept."""
        self.let_goes += 1

    def left(self, open_ids: Container[str]) -> tuple[str, ...]:
        ended = (run for run in self.runs if not (run.discarded or run.kept))
        return tuple(run.run_id for run in ended if run.run_id not in open_ids)

    def sweep(self, keep: Container[str]) -> None:
        """Nothing is left on disk."""

    def expire(self, kept_before: datetime) -> None:
        """Nothing is kept on disk."""

    def printed(self, run_id: str, offset: int, limit: int) -> Piece | None:
        for run in self.runs:
            if run.run_id == run_id and not run.discarded:
                return Piece(bytes(run.output[offset : offset + limit]), len(run.output), NOON)
        return None

    @contextmanager
    def watch(self, run_id: str) -> Iterator[FakeWake]:
        """Only what is there already can be watched; else one looks again."""
        wake, event = FakeWake(asyncio.Event()), None
        run = next((run for run in self.runs if run.run_id == run_id), None)
        if run is not None:
            event = wake.event
            run.wakes.add(event)
        else:
            wake.longest = 0.025
        try:
            yield wake
        finally:
            if run is not None and event is not None:
                run.wakes.discard(event)

    def find(self, launch: Launch) -> FakeRun | None:
        found = (run for run in self.runs if run.run_id == launch.run_id and not run.discarded)
        return next(found, None)

    def _ended(self, _: asyncio.Future[Outcome]) -> None:
        self.running -= 1

    async def wait_for_runs(self, count: int) -> list[FakeRun]:
        async with asyncio.timeout(60):
            while len(self.runs) < count:
                await self.arrived.wait()
        return self.runs

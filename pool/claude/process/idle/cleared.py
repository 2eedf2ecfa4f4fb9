"""Processes that were cleared of their session, each for one execution that begins another.

``/clear`` gives the process a session id of the CLI's own choosing, which the execution has to have
before it is made durable: it is promised one, as with spares. It is believed only word for word
(tried on 2.1.330): ``conversation_reset``, ``init`` with the new session, and a result without a
turn that has cost nothing. What says anything else is let go, for what it holds is not known.

A session that was cleared for has a transcript before its first turn, and the CLI takes no session
id that has one. So with a process that is not used after all goes what it left of the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

from pool.claude.launch.command import clear_line
from pool.claude.launch.image_store import occupy
from pool.claude.launch.process_settings import ProcessSettings
from pool.claude.output.lines import messages_of
from pool.claude.process.files.directory import ProcessDirectory
from pool.claude.process.idle.control import answered
from pool.claude.process.idle.kept import KeptProcess, KeptProcesses, is_fit
from pool.claude.process.idle.model_settings import is_set
from pool.claude.process.start import ProcessStarter
from pool.claude.process.watch import Watcher
from pool.claude.transcripts.files import remove_unbegun

CLEAR_SECONDS = 3.0
"""It took 30-80 ms."""
PROMISED_SECONDS = 60.0
"""How long an execution may take from its admission to its start."""
MOST_TURNS = 50
"""Of a process that is to serve another session: then one that is new does."""
_BESIDE = {"command_lifecycle", "control_response", "system"}
"""Messages that the CLI may print meanwhile, besides those that it has to."""


class ClearedProcesses:
    """The processes of one subscription that wait for the session that they were cleared for."""

    def __init__(self, kept: KeptProcesses, starter: ProcessStarter, watcher: Watcher) -> None:
        self._kept = kept
        self._starter = starter
        self._watcher = watcher
        self._promised: dict[str, KeptProcess] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def promise(
        self, settings: ProcessSettings, environment: Mapping[str, str]
    ) -> str | None:
        """The id of a session for which an idle process was cleared, and which its next run is to
        have; None where no process could be. ``settings`` are those of a process of the run's own.
        """
        kept = await self._kept.take_for_another(settings)
        if kept is None:
            return None
        session_id = None
        try:
            if await is_set(kept, self._watcher, settings.model_settings, environment):
                session_id = await self._clear(kept)
        finally:
            if session_id is None:
                self._kept.let_go(kept)
        if session_id is None:
            return None
        kept.transcript = None
        kept.settings = settings.model_copy(update={"session_id": session_id})
        self._promised[session_id] = kept
        asyncio.get_running_loop().call_later(PROMISED_SECONDS, self._forget, session_id)
        return session_id

    def taken(self, session_id: str) -> KeptProcess | None:
        """The process that was cleared for a session; it is the caller's from then on."""
        return self._promised.pop(session_id, None)

    async def end(self, kept: KeptProcess) -> None:
        """End one that is not used, and return when nothing of it lives."""
        self._kept.let_go(kept)
        await kept.run.gone()
        config_dir = await asyncio.to_thread(kept.process.config_dir)
        if config_dir is not None:
            await asyncio.to_thread(remove_unbegun, config_dir, kept.settings.session_id)

    async def let_go(self) -> None:
        """End all of them."""
        await asyncio.gather(*(self.end(self._promised.pop(each)) for each in (*self._promised,)))

    def _forget(self, session_id: str) -> None:
        """Let one go whose execution never came."""
        kept = self._promised.pop(session_id, None)
        if kept is not None:
            task = asyncio.create_task(self.end(kept))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _clear(self, kept: KeptProcess) -> str | None:
        """The new session of a process; None where it is not certain that it has one."""
        if kept.turns >= MOST_TURNS or not await asyncio.to_thread(is_fit, kept):
            return None
        line = clear_line(str(uuid4()))
        told = await answered(kept.process, self._watcher, line, _whole, CLEAR_SECONDS)
        if told is None:
            return None
        lines, kept.cleared_until = told
        session_id = new_session(lines, kept.settings.session_id)
        if session_id is not None:
            await asyncio.to_thread(self._prepare, kept.process, session_id)
        return session_id

    def _prepare(self, process: ProcessDirectory, session_id: str) -> None:
        occupy(process.path, self._starter.work_dir, session_id)


def _whole(lines: list[bytes]) -> list[bytes] | None:
    """All that is said of it, once it is over."""
    return lines if any(b'"result"' in line for line in lines) else None


def new_session(lines: Iterable[bytes], before: str) -> str | None:
    """The session that a process has begun, by what it printed as it was cleared of the one
    ``before``; None where that is not certain. Pure.
    """
    told = [messages_of(line) for line in lines]
    if not all(told):
        return None  # something that is no message
    messages = [message for each in told for message in each]
    kinds = [_kind(message) for message in messages]
    wanted = [kind for kind in kinds if kind not in _BESIDE]
    if wanted != ["conversation_reset", "init", "result"]:
        return None
    reset, init, result = (messages[kinds.index(kind)] for kind in wanted)
    session_id = init.get("session_id")
    is_new = session_id != before and result.get("session_id") == session_id
    is_free = result.get("total_cost_usd") == 0 and result.get("num_turns") == 0
    is_whole = reset.get("session_id") == before and result.get("is_error") is False
    return _uuid(session_id) if is_new and is_free and is_whole else None


def _kind(message: dict[str, Any]) -> str:
    kind = str(message.get("type"))
    return "init" if kind == "system" and message.get("subtype") == "init" else kind


def _uuid(value: Any) -> str | None:
    try:
        return str(UUID(value))
    except (ValueError, TypeError, AttributeError):
        return None

"""The conversation with a process about callers' tools: what it asks is answered through its inbox.

The files are the truth, as for all of a run. What was printed says what the CLI asks, and the inbox
what it was answered; so whoever comes after a crash reads both from the beginning, and gives the
answers that are missing. An answer that is given twice changes nothing: the CLI takes the first.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pool.claude.launch.client_tools import answer, reply_line
from pool.claude.launch.launch_spec import Launch
from pool.claude.output.tail import Tail
from pool.claude.output.tokens import usage_by_model
from pool.claude.output.tool_calls import Asked, CallsMade, ToolCallReader
from pool.claude.process.files.run_directory import RunDirectory
from pool.claude.process.watch import Watcher
from pool.executions.tools.client_tools import Part, TextPart, ToolResult
from pool.executions.tools.strict_tools import StrictTools
from pool.usage.records import Usage

_LOOK_SECONDS = 1.0
"""Should news of the output be missed."""
_SPENT_SECONDS = 3.0
"""For a process that waits to say what it has spent, which takes 0.01 s."""


class ToolCalls:
    """The calls of one run. One task at a time waits for them."""

    def __init__(self, launch: Launch, files: RunDirectory, watcher: Watcher) -> None:
        self._launch = launch
        self._files = files
        self._watcher = watcher
        strict = StrictTools.of(launch.client_tools)
        self._reader = ToolCallReader(datetime.now(UTC), strict)
        self._tail = Tail(files.printed)
        self._rounds: list[CallsMade] = []
        self._open: dict[str, Asked] = {}
        """Questions that were not answered, by the CLI's id of each."""
        self._replied: set[str] | None = None
        """Those that were, as far as is known from the inbox."""

    async def next(self, number: int, results: Sequence[ToolResult]) -> CallsMade:
        """See ``Run.next_calls``."""
        known = {each.tool_use_id: each for each in results}
        with self._watcher.growth_of(lambda: self._files.process.stdout) as wake:
            while True:
                await asyncio.to_thread(self._look, known)
                if len(self._rounds) > number:
                    return self._rounds[number]
                await wake.wait(_LOOK_SECONDS)

    async def spent(self) -> Usage | None:
        """See ``Run.spent``. The figures of a session that is gone on with are not the run's."""
        if self._launch.forks is not None or (self._launch.resumes and not self._launch.continues):
            return None
        id_ = f"spent-{uuid4()}"
        request = {"subtype": "get_usage", "skip_behaviors": True}
        line = {"type": "control_request", "request_id": id_, "request": request}
        try:
            async with asyncio.timeout(_SPENT_SECONDS):
                return await self._asked(id_, json.dumps(line).encode() + b"\n")
        except (TimeoutError, OSError):
            return None

    async def _asked(self, id_: str, line: bytes) -> Usage | None:
        await asyncio.to_thread(self._files.process.say, line)
        with self._watcher.growth_of(lambda: self._files.process.stdout) as wake:
            while id_ not in self._reader.answers:
                await wake.wait(_LOOK_SECONDS)
                await asyncio.to_thread(self._look, {})
        said = self._reader.answers[id_]
        session = said.get("session") if isinstance(said, dict) else None
        return usage_by_model(session.get("model_usage")) if isinstance(session, dict) else None

    # -- on a thread -----------------------------------------------------------------------------

    def _look(self, results: dict[str, ToolResult]) -> None:
        """Read what was printed since the last look, and answer what can be."""
        for line in self._tail.lines():
            for found in self._reader.take(line):
                if isinstance(found, CallsMade):
                    self._rounds.append(found)
                else:
                    self._open[found.request_id] = found
        for asked in tuple(self._open.values()):
            reply = self._reply(asked, results)
            if reply is not None:
                self._say(asked, reply)

    def _reply(self, asked: Asked, results: dict[str, ToolResult]) -> dict[str, Any] | None:
        if asked.call_id is None:
            return answer(asked.message, self._launch.client_tools)
        if (problem := self._reader.refused.get(asked.call_id)) is not None:
            return {"content": [{"type": "text", "text": problem}], "isError": True}
        result = results.get(asked.call_id)
        return None if result is None else _as_of_a_server(result)

    def _say(self, asked: Asked, reply: dict[str, Any]) -> None:
        if self._replied is None:
            self._replied = set(self._replied_before())
        if asked.request_id not in self._replied:
            line = reply_line(asked.request_id, asked.message, reply)
            self._files.process.say(line)
            self._replied.add(asked.request_id)
        del self._open[asked.request_id]

    def _replied_before(self) -> Iterable[str]:
        """What earlier activations have answered, torn ends left out."""
        for line in self._files.process.inbox.read_bytes().split(b"\n")[:-1]:
            if line.startswith(b'{"type":"control_response"'):
                yield str(json.loads(line)["response"]["request_id"])


def misfit(launch: Launch, files: RunDirectory) -> str | None:
    """See ``Run.misfit``. Blocks while it reads what was printed, from its beginning."""
    strict = StrictTools.of(launch.client_tools)
    if not strict:
        return None
    reader = ToolCallReader(datetime.now(UTC), strict)
    lines = Tail(files.printed).lines(is_over=True)
    made = (found for line in lines for found in reader.take(line))
    return next(
        (each.problem for each in made if isinstance(each, CallsMade) and each.problem), None
    )


def _as_of_a_server(result: ToolResult) -> dict[str, Any]:
    return {"content": [_part(each) for each in result.content], "isError": result.is_error}


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image", "data": part.data, "mimeType": part.media_type}

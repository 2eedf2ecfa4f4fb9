"""Calls of callers' tools, read from the output of a run: which round ended in which, what it used
by then, and which of the CLI's questions are open. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pool.claude.output.lines import messages_of
from pool.claude.output.messages import called_id, server_message
from pool.claude.output.progress import ProgressReader
from pool.claude.output.rounds import CallsRefused, RoundEnded
from pool.claude.output.stream import StreamReader, StreamReading
from pool.claude.output.tail import Line
from pool.executions.tools.client_tools import ToolCall
from pool.executions.tools.strict_tools import StrictTools


@dataclass(frozen=True)
class CallsMade:
    """A round that has ended in calls."""

    number: int
    text: str
    calls: tuple[ToolCall, ...]
    ends: int
    """The place in the run's output after it."""
    reading: StreamReading
    """All that was printed up to there."""
    problem: str | None = None
    """The calls did not fit the schemas of strict tools, too often: there are none."""


@dataclass(frozen=True)
class Asked:
    """A question of the CLI's to the server of callers' tools."""

    request_id: str
    message: dict[str, Any]
    call_id: str | None
    """Of the call whose result it wants; None where it asks for something else."""


class ToolCallReader:
    """Reads the output of a run line by line."""

    def __init__(self, now: datetime, strict: StrictTools) -> None:
        self._progress = ProgressReader(strict=strict)
        self._round = 0
        self._stream = StreamReader(now)
        self.answers: dict[str, Any] = {}
        """What the CLI has answered to control requests, by their ids."""
        self.refused: dict[str, str] = {}
        """What calls are answered that their caller does not get, by their ids."""

    def take(self, line: Line) -> Iterator[CallsMade | Asked]:
        """What the next line says."""
        self._stream.take(line.text)
        for message in messages_of(line.text):
            for event in self._progress.take(message, line.written_at):
                if isinstance(event, RoundEnded):
                    reading, self._round = self._stream.reading(), event.number + 1
                    yield CallsMade(event.number, event.text, event.calls, line.ends, reading)
                elif isinstance(event, CallsRefused) and event.is_last:
                    reading, problem = self._stream.reading(), "\n".join(event.answers.values())
                    yield CallsMade(self._round, "", (), line.ends, reading, problem)
                elif isinstance(event, CallsRefused):
                    self.refused |= event.answers
            if (asked := server_message(message)) is not None:
                yield Asked(str(message.get("request_id")), asked, called_id(message))
            elif message.get("type") == "control_response":
                self._answered(message.get("response"))

    def _answered(self, response: Any) -> None:
        if isinstance(response, dict) and response.get("subtype") == "success":
            self.answers[str(response.get("request_id"))] = response.get("response")

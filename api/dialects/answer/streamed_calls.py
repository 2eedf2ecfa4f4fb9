"""Calls of callers' tools in a stream: in their order, each said once.

Their input comes in pieces where the CLI streams it, and whole at its end. A call that was begun
and not made after all cannot be taken back from a stream, and whoever ran it would run what the
model never called: then the stream ends with an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from api.web.problems.dialect_errors import RunFailed
from pool.executions.outcome import FailureKind
from pool.executions.tools.client_tools import ToolCall
from pool.values import Value


class CallPiece(Value):
    """A piece of a call that is to be said now."""

    id: str
    name: str
    place: int
    """Of the call, among those of the reply."""
    begins: bool
    arguments: str


class StreamedCalls:
    """What was said of the calls of one reply."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def hear(self, call_id: str, name: str, arguments: str) -> CallPiece:
        """Take a piece of a call's input."""
        begins = call_id not in self._said
        self._said[call_id] = self._said.get(call_id, "") + arguments
        place = list(self._said).index(call_id)
        return CallPiece(id=call_id, name=name, place=place, begins=begins, arguments=arguments)

    def rest(self, calls: Iterable[ToolCall]) -> Iterable[CallPiece]:
        """What was not said yet of calls that are whole."""
        for call in calls:
            if not self._said.get(call.id):
                yield self.hear(call.id, call.name, json.dumps(call.input))

    def withdraw(self, call_ids: Iterable[str], execution_id: str) -> None:
        """``RunFailed`` where one of these was begun, and is not made."""
        if any(call_id in self._said for call_id in call_ids):
            raise RunFailed(
                execution_id,
                FailureKind.CONNECTION,
                "a tool call broke off while it was streamed: ask again",
            )

    def arguments(self, call_id: str) -> str:
        """What was said of a call's input."""
        return self._said[call_id]

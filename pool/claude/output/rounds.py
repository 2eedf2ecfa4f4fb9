"""Rounds of a run that calls its caller's tools: where one ends, what was said in it, and what is
shown of its calls.

A round has ended where a message that makes calls is complete and the CLI has asked for the result
of one (``RoundEnded``): what it said since the last one is all that its caller gets. A call that
the CLI answers by itself, such as one of a tool that nobody has, is none; and where a strict tool's
call does not fit its schema, none of that answer's is (``CallsRefused``). So with strict tools all
calls are held back until the round ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pool.executions.progress import (
    Progress,
    Text,
    ToolAnswered,
    ToolCalled,
    ToolCallPiece,
    Withdrawn,
)
from pool.executions.tools.client_tools import ToolCall
from pool.executions.tools.strict_tools import MOST_REFUSED, StrictTools


@dataclass(frozen=True)
class RoundEnded:
    """The caller's turn has come: what was said in this round, and called."""

    number: int
    text: str
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True)
class CallsRefused:
    """The model has made calls that its caller does not get, and is to make others."""

    answers: dict[str, str]
    """What it is told, by call."""
    is_last: bool
    """It has done so too often: there is nothing more to wait for."""


class Rounds:
    """The rounds of one attempt. ``strict`` are the tools whose calls have to fit their schemas."""

    def __init__(self, strict: StrictTools) -> None:
        self._strict = strict
        self._calls: dict[str, ToolCall] = {}
        """Calls of the present round, whole."""
        self._known_calls: set[str] = set()
        """Those of all rounds."""
        self._wanted: set[str] = set()
        """Calls that the CLI wants the results of."""
        self._held: list[ToolCallPiece | ToolCalled] = []
        """Calls that are shown once the round has ended."""
        self._refused = 0
        """Answers in a row whose calls were."""
        self._number = 0
        self._said = ""

    @property
    def has_calls(self) -> bool:
        """Whether there are any in the present round, so that it may end."""
        return bool(self._calls)

    def take(self, event: Progress) -> Iterator[Progress]:
        """What is shown of the next event at once. What a tool of the caller's is answered is not:
        that is what the CLI says itself, or what the caller knows.
        """
        match event:
            case Text(text=text):
                self._said += text
            case Withdrawn(text_characters=size):
                self._said = self._said[: len(self._said) - size]
            case ToolCalled(call=call):
                self._calls[call.id] = call
                self._known_calls.add(call.id)
            case ToolAnswered(tool_use_id=id_) if id_ in self._known_calls:
                self._calls.pop(id_, None)
                return
            case _:
                pass
        yield from self._shown(event)

    def wants(self, call_id: str) -> None:
        """The CLI has asked for the result of a call."""
        self._wanted.add(call_id)

    def ended(self) -> Iterator[Progress | RoundEnded | CallsRefused]:
        """The end of the round, where it has come: its last message is complete."""
        if self._wanted.isdisjoint(self._calls):
            return
        calls, held, self._calls, self._held = self._calls, self._held, {}, []
        if answers := self._strict.refused(calls.values()):
            self._refused += 1
            yield CallsRefused(answers, is_last=self._refused > MOST_REFUSED)
            return
        for event in held:
            if (event.call.id if isinstance(event, ToolCalled) else event.id) in calls:
                yield event
        yield RoundEnded(self._number, self._said, tuple(calls.values()))
        self._number, self._said, self._refused = self._number + 1, "", 0

    def _shown(self, event: Progress) -> Iterator[Progress]:
        """With strict tools no call before the round's end."""
        match event:
            case ToolCallPiece() | ToolCalled() if self._strict:
                self._held.append(event)
            case Withdrawn(tool_call_ids=ids) if self._strict and ids:
                self._held = [
                    each
                    for each in self._held
                    if not (isinstance(each, ToolCallPiece) and each.id in ids)
                ]
                if event.text_characters or event.thinking_characters:
                    yield event.model_copy(update={"tool_call_ids": ()})
            case _:
                yield event

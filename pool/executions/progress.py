"""The progress of an execution as its caller sees it: a sequence of events, each with a cursor.

The events are read from the output of the run itself, which stands on disk; so whoever asks again
from a cursor, even after a crash in between, gets the rest and nothing twice. The last event is
always the result: it carries the whole execution, text included.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field

from pool.errors import InvalidRequest
from pool.executions.attempt import Attempt
from pool.executions.execution import Execution
from pool.executions.process_way import ProcessWay
from pool.executions.tools.client_tools import Round, ToolCall
from pool.limits.windows import Window
from pool.values import Value


class AttemptBegan(Value):
    """A run of the CLI has begun. A second one follows where the first ended without output."""

    type: Literal["attempt"] = "attempt"
    number: int
    """From 0."""
    subscription_id: str
    session_id: str
    model: str
    process: ProcessWay | None = None
    """Where its process came from, once that is known."""


class AnswerBegan(Value):
    """An answer of the model has begun: what is known of its tokens then."""

    type: Literal["answer"] = "answer"
    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int


class Text(Value):
    """A piece of the answer; the pieces of an answer are joined as they are."""

    type: Literal["text"] = "text"
    text: str


class Thinking(Value):
    """A piece of what the model shows of its thinking."""

    type: Literal["thinking"] = "thinking"
    text: str
    signature: str | None = None
    """Its maker's, with the last piece of a thought; that has no text then."""


class Withdrawn(Value):
    """The API broke off in the middle of a message, and the CLI asks it again: the last pieces do
    not belong to the answer, whose text comes anew.
    """

    type: Literal["withdrawn"] = "withdrawn"
    text_characters: int
    """How many characters to take off the end of the text so far."""
    thinking_characters: int
    tool_call_ids: tuple[str, ...] = ()
    """Calls of callers' tools of which pieces came, and which were not made."""


class ToolUse(Value):
    """The model uses a tool of the CLI."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]


class ToolAnswered(Value):
    """What a tool answered, as text; other content is named by its kind alone."""

    type: Literal["tool_result"] = "tool_result"
    tool_use_id: str
    text: str
    is_error: bool = False


class ToolCallPiece(Value):
    """A piece of a call of a caller's tool; the pieces of a call's ``partial_json`` are joined as
    they are, and come to its input. The first one may be empty: it says that the call begins.
    """

    type: Literal["tool_call_piece"] = "tool_call_piece"
    id: str
    name: str
    partial_json: str


class ToolCalled(Value):
    """A call of a caller's tool, whole; its pieces came before, where the CLI streamed them."""

    type: Literal["tool_call"] = "tool_call"
    call: ToolCall


class WaitsForCaller(Value):
    """The execution waits for the results of the round's calls; events go on once they came."""

    type: Literal["waiting_for_caller"] = "waiting_for_caller"
    execution_id: str
    round: Round


class LimitsSeen(Value):
    """What Anthropic says of the subscription's limits."""

    type: Literal["limit"] = "limit"
    status: str
    is_using_overage: bool
    windows: dict[str, Window]


class AttemptFailed(Value):
    """An attempt ended before any output; the execution goes on with another one elsewhere."""

    type: Literal["attempt_failed"] = "attempt_failed"
    attempt: Attempt


class RawMessage(Value):
    """One message of the CLI as it was printed. Only for those who ask for it."""

    type: Literal["raw"] = "raw"
    message: dict[str, Any]


class Ended(Value):
    """The end, whatever it is: ``execution.status`` and ``execution.error`` say how."""

    type: Literal["result"] = "result"
    execution: Execution


Progress = Annotated[
    AttemptBegan
    | AnswerBegan
    | Text
    | Thinking
    | Withdrawn
    | ToolUse
    | ToolAnswered
    | ToolCallPiece
    | ToolCalled
    | WaitsForCaller
    | LimitsSeen
    | AttemptFailed
    | RawMessage
    | Ended,
    Field(discriminator="type"),
]


_CURSOR = re.compile(r"(\d{1,4})-(?:(\d{1,15})(?:\.(\d{1,6}))?|(end))", re.ASCII)


class Cursor(Value):
    """A place in the sequence of events: ``<attempt>-<bytes read of its output>``, which is the
    end of a line. Where a line makes several events, ``.<number>`` counts those of the next
    line that were seen; ``<attempt>-end`` is the place after the attempt's last event.
    """

    attempt: int = 0
    offset: int = 0
    events: int = 0
    is_end: bool = False

    def __str__(self) -> str:
        if self.is_end:
            return f"{self.attempt}-end"
        return f"{self.attempt}-{self.offset}" + (f".{self.events}" if self.events else "")

    @classmethod
    def of(cls, text: str) -> Cursor:
        """A cursor as it was given to its reader; ``InvalidRequest`` for anything else."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise InvalidRequest(
                "after", "is no cursor of an event: pass the id of the last event that came"
            )
        attempt, offset, events, end = found.groups()
        return cls(
            attempt=int(attempt),
            offset=int(offset or 0),
            events=int(events or 0),
            is_end=end is not None,
        )


class Event(Value):
    """One event, and the ``Cursor`` after it."""

    cursor: str
    progress: Progress


class ProgressPage(Value):
    """What is known after a cursor. Without events: nothing happened while it was waited."""

    events: tuple[Event, ...]
    cursor: str
    moved_to: str | None = None
    """The execution goes on at this subscription: ask there, with ``cursor``."""
    is_end: bool = False

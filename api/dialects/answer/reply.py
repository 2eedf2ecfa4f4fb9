"""A reply: what one request of a dialect is answered with.

An execution has one reply, or, with tools of its caller's, several: each round that ended in calls
is one, and so is its end. They are counted from 0, and each is charged its own usage.
"""

from __future__ import annotations

import json

from api.dialects.request.request import DialectRequest
from api.web.problems.dialect_errors import RunFailed
from api.web.problems.turned_away import served
from pool.errors import AnswerRemoved
from pool.executions.content.turn import ThinkingPart
from pool.executions.execution import Execution
from pool.executions.outcome import FailureKind
from pool.executions.status import ExecutionStatus
from pool.executions.tools.client_tools import Round, ToolCall
from pool.usage.records import UsageReport
from pool.values import Value

_CUT_OFF = ("max_tokens", "model_context_window_exceeded")


class Reply(Value):
    """What is answered to one request."""

    execution: Execution
    number: int = 0
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    """Of the caller's tools: it answers with their results."""
    refusal: str | None = None
    """That the model declined, and why: every dialect knows that as an answer, not as an error."""
    thinking: tuple[ThinkingPart, ...] = ()
    """What the model showed of it before its answer."""
    stop_sequence: str | None = None
    """That the model stopped at, if it did at one."""
    is_cut_off: bool = False
    """Where the model may write, or keep in mind, no more."""
    usage: UsageReport

    @property
    def name(self) -> str:
        return reply_name(self.execution, self.number)


def reply_name(execution: Execution, number: int) -> str:
    """The part of a reply's id that is the same in every dialect."""
    name = execution.id.removeprefix("exec_")
    return f"{name}-{number}" if number else name


def execution_id_of(name: str) -> str:
    """The execution that a reply was of, by its name."""
    return f"exec_{name.partition('-')[0]}"


def reply_of(execution: Execution, asked: DialectRequest, number: int = 0) -> Reply:
    """A reply of an execution: a round that ended in calls, or what it came to.

    Raises ``Exhausted``, ``Unavailable`` or ``RunFailed`` where it came to no answer, and
    ``AnswerRemoved`` where there is none any more.
    """
    made = next((each for each in execution.rounds if each.number == number), None)
    if made is not None and made.tool_calls:
        return round_reply(execution, made, asked)
    ended = answerable(execution)
    error = ended.error
    return Reply(
        execution=ended,
        number=number,
        text="" if error else _text(ended, asked),
        refusal=error.message if error else None,
        thinking=ended.thinking,
        stop_sequence=ended.stop_sequence,
        is_cut_off=ended.stop_reason in _CUT_OFF,
        usage=made.usage if made else ended.usage,
    )


def round_reply(execution: Execution, made: Round, asked: DialectRequest) -> Reply:
    """A round that ended in calls. What is said before a structured answer is no part of it."""
    return Reply(
        execution=execution,
        number=made.number,
        text="" if asked.is_structured else made.text,
        calls=made.tool_calls,
        usage=made.usage,
    )


def answerable(execution: Execution) -> Execution:
    """An ended execution that has an answer, be it that the model declined.

    Raises ``Exhausted``, ``Unavailable`` or ``RunFailed`` for any other, and ``AnswerRemoved`` for
    one that has none any more.
    """
    ended = served(execution)
    if ended.error is not None and ended.error.type == FailureKind.REFUSAL:
        return ended
    if ended.status is not ExecutionStatus.SUCCEEDED:
        raise RunFailed.of(ended)
    if ended.content_removed_at is not None:
        raise AnswerRemoved(ended.id)
    return ended


def _text(execution: Execution, asked: DialectRequest) -> str:
    if asked.is_structured:
        return json.dumps(execution.structured_output, ensure_ascii=False)
    return execution.result or ""

"""What all dialects show beyond their own shapes."""

from __future__ import annotations

import json
from collections.abc import Iterable

from api.dialects.answer.reply import Reply
from api.dialects.answer.stops import Speech
from api.dialects.request.field_support import headers
from api.dialects.request.request import DialectRequest
from api.web.dialect_errors import RunFailed
from api.web.problems import served
from pool.errors import AnswerRemoved
from pool.executions.execution import ContinuedBy, Execution, ExecutionStatus
from pool.executions.outcome import FailureKind
from pool.executions.routing_record import Routing
from pool.money import Usd
from pool.values import Value


class PoolPart(Value):
    """The ``pool`` field, an extension: where it ran, why there, and how to go on."""

    execution_id: str
    subscription_id: str
    session_id: str
    routing: Routing
    cost_usd: Usd
    """Of this answer; those of an execution's answers sum up to its cost."""
    partial: bool = False
    """The cost is a lower bound."""
    continued_by: ContinuedBy | None = None
    """What took the results of tools: the process that had waited, or another one by the history.
    """
    ignored: tuple[str, ...] = ()


def pool_part(execution: Execution, ignored: tuple[str, ...], cost_usd: Usd) -> PoolPart:
    return PoolPart(
        execution_id=execution.id,
        subscription_id=execution.subscription_id,
        session_id=execution.session_id,
        routing=execution.routing,
        cost_usd=cost_usd,
        partial=execution.usage.partial,
        continued_by=execution.continued_by,
        ignored=ignored,
    )


def pool_part_of(reply: Reply, ignored: tuple[str, ...]) -> PoolPart:
    return pool_part(reply.execution, ignored, reply.usage.cost_usd)


def speech_of(asked: DialectRequest) -> Speech:
    """How the text of an answer is let through."""
    return Speech(asked.stops, at_once=asked.request.json_schema is not None)


def is_refusal(execution: Execution) -> bool:
    """Whether the model declined: both dialects know that as an answer, not as an error."""
    return execution.error is not None and execution.error.type == FailureKind.REFUSAL


def is_cut_off(execution: Execution) -> bool:
    """Whether the answer was cut off where the model may write, or keep in mind, no more."""
    return execution.stop_reason in ("max_tokens", "model_context_window_exceeded")


def answerable(execution: Execution) -> Execution:
    """An ended execution that has an answer, be it that the model declined.

    Raises ``Exhausted``, ``Unavailable`` or ``RunFailed`` for any other, and ``AnswerRemoved`` for
    one that has none any more.
    """
    ended = served(execution)
    if is_refusal(ended):
        return ended
    if ended.status is not ExecutionStatus.SUCCEEDED:
        raise RunFailed.of(ended)
    if ended.content_removed_at is not None:
        raise AnswerRemoved(ended.id)
    return ended


def refusal_of(execution: Execution) -> str:
    return execution.error.message if execution.error else ""


def answered_text(execution: Execution, asked: DialectRequest) -> str:
    """The answer: where a schema was asked for, the JSON of it."""
    if asked.request.json_schema is not None:
        return json.dumps(execution.structured_output, ensure_ascii=False)
    return execution.result or ""


def answer_headers(execution: Execution, ignored: Iterable[str]) -> dict[str, str]:
    """The headers of an answer."""
    return {
        "X-Execution-Id": execution.id,
        "X-Session-Id": execution.session_id,
        "X-Subscription-Id": execution.subscription_id,
        "X-Routing-Score": f"{execution.routing.score:g}",
        **headers(ignored),
    }

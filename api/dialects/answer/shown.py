"""What all dialects show beyond their own shapes."""

from __future__ import annotations

from collections.abc import Iterable

from api.dialects.answer.reply import Reply
from api.dialects.answer.stops import Speech
from api.dialects.request.field_support import headers
from api.dialects.request.request import DialectRequest
from pool.executions.execution import Execution
from pool.executions.routing_record import Routing
from pool.executions.row import ContinuedBy
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
    return Speech(asked.stops, at_once=asked.is_structured)


def answer_headers(execution: Execution, ignored: Iterable[str]) -> dict[str, str]:
    """The headers of an answer."""
    return {
        "X-Execution-Id": execution.id,
        "X-Session-Id": execution.session_id,
        "X-Subscription-Id": execution.subscription_id,
        "X-Routing-Score": f"{execution.routing.score:g}",
        **headers(ignored),
    }

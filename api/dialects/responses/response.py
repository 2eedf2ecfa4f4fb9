"""An answer of OpenAI's Responses, as a whole."""

from __future__ import annotations

import json
from typing import Any, Literal

from api.dialects.answer.reply import Reply, reply_name
from api.dialects.answer.shown import PoolPart, pool_part, speech_of
from api.dialects.request.request import DialectRequest, Lenient
from api.dialects.responses.request import ResponsesBody
from pool.executions.execution import Execution
from pool.executions.tools.client_tools import ToolCall
from pool.usage.records import Usage, UsageReport, usage_report
from pool.values import Value


class InputDetails(Value):
    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(Value):
    reasoning_tokens: int = 0
    """Not told apart by the CLI."""


class ResponseUsage(Value):
    """Tokens of this answer; those of the cache are among the input's."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int


class OutputText(Value):
    type: Literal["output_text"] = "output_text"
    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[()] = ()


class OutputRefusal(Value):
    type: Literal["refusal"] = "refusal"
    refusal: str


ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputMessage(Value):
    """What the model said."""

    type: Literal["message"] = "message"
    id: str
    role: Literal["assistant"] = "assistant"
    status: ItemStatus
    content: tuple[OutputText | OutputRefusal, ...]


class FunctionCallItem(Value):
    """A call of a tool of the caller's, which answers with its result."""

    type: Literal["function_call"] = "function_call"
    id: str
    call_id: str
    name: str
    arguments: str
    """JSON."""
    status: ItemStatus


OutputItem = OutputMessage | FunctionCallItem


class IncompleteDetails(Value):
    reason: Literal["max_output_tokens", "content_filter"]


class ResponseFailure(Value):
    """Why there is no answer, of a response that is asked for by its id: one that is waited for is
    an error itself.
    """

    code: Literal["server_error"] = "server_error"
    message: str


class Response(Value):
    """An answer, with what it was asked for."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: ItemStatus | Literal["failed", "cancelled"]
    model: str
    output: tuple[OutputItem, ...]
    usage: ResponseUsage | None
    error: ResponseFailure | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    previous_response_id: str | None
    metadata: dict[str, str]
    text: dict[str, Any]
    user: str | None
    background: bool = False
    """Whether it is still being made, while somebody asks for it by its id."""
    store: Literal[True] = True
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    truncation: Literal["disabled"] = "disabled"
    pool: PoolPart


def begun(
    execution: Execution, number: int, asked: DialectRequest, body: ResponsesBody
) -> Response:
    """A reply that is not there yet, as a response in progress."""
    nothing = usage_report(Usage())
    return Response(
        id=f"resp_{reply_name(execution, number)}",
        created_at=int(execution.created_at.timestamp()),
        status="in_progress",
        model=execution.model,
        output=(),
        usage=None,
        instructions=body.instructions,
        previous_response_id=body.previous_response_id,
        metadata=body.metadata or {},
        text={"format": {"type": "text"}, **_sent(body.text)},
        user=body.user,
        tools=tuple(map(_sent, body.tools or ())),
        tool_choice=_choice(body),
        parallel_tool_calls=body.parallel_tool_calls is not False,
        pool=pool_part(execution, asked.ignored, nothing.cost_usd),
    )


def _sent(part: Lenient | None) -> dict[str, Any]:
    return {} if part is None else part.model_dump(by_alias=True, exclude_none=True)


def _choice(body: ResponsesBody) -> str | dict[str, Any]:
    choice = body.tool_choice or "auto"
    return choice if isinstance(choice, str) else _sent(choice)


def response(reply: Reply, asked: DialectRequest, body: ResponsesBody) -> Response:
    """A reply, as a response."""
    execution, details = reply.execution, incomplete_details(reply)
    finished_at = execution.finished_at
    return begun(execution, reply.number, asked, body).model_copy(
        update={
            "completed_at": int(finished_at.timestamp()) if finished_at else None,
            "status": "completed" if details is None else "incomplete",
            "incomplete_details": details,
            "output": output_of(reply, asked),
            "usage": usage_of(reply.usage),
            "pool": pool_part(execution, asked.ignored, reply.usage.cost_usd),
        }
    )


def output_of(reply: Reply, asked: DialectRequest) -> tuple[OutputItem, ...]:
    """What was said, be it that the model declined, and the calls that it made."""
    text = speech_of(asked).end(reply.text)
    said: OutputText | OutputRefusal = OutputText(text=text)
    if reply.refusal is not None:
        said = OutputRefusal(refusal=reply.refusal)
    message = OutputMessage(
        id=message_id(reply.name),
        status="completed" if incomplete_details(reply) is None else "incomplete",
        content=(said,),
    )
    return (*(() if reply.calls and not text else (message,)), *map(_call_item, reply.calls))


def _call_item(call: ToolCall) -> FunctionCallItem:
    return function_call(call.id, call.name, json.dumps(call.input), "completed")


def function_call(call_id: str, name: str, arguments: str, status: ItemStatus) -> FunctionCallItem:
    return FunctionCallItem(
        id=f"fc_{call_id}", call_id=call_id, name=name, arguments=arguments, status=status
    )


def message_id(name: str) -> str:
    return f"msg_{name}"


def incomplete_details(reply: Reply) -> IncompleteDetails | None:
    if reply.refusal is not None:
        return IncompleteDetails(reason="content_filter")
    return IncompleteDetails(reason="max_output_tokens") if reply.is_cut_off else None


def usage_of(usage: UsageReport) -> ResponseUsage:
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    given = usage.input_tokens + cached + written
    return ResponseUsage(
        input_tokens=given,
        input_tokens_details=InputDetails(cached_tokens=cached, cache_write_tokens=written),
        output_tokens=usage.output_tokens,
        total_tokens=given + usage.output_tokens,
    )

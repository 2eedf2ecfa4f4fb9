"""An answer of OpenAI's Responses, in events.

The order is that of the API: the response begins; each item of it is added, its parts are added,
grow and are done, and it is done; then the response ends. Every event has its number.
"""

from __future__ import annotations

from typing import Any, Literal, assert_never

from api.dialects.answer.frames import event
from api.dialects.answer.reply import Reply, reply_name
from api.dialects.answer.shown import speech_of
from api.dialects.answer.streamed_calls import CallPiece
from api.dialects.request.request import DialectRequest
from api.dialects.responses.request import ResponsesBody
from api.dialects.responses.response import (
    FunctionCallItem,
    OutputItem,
    OutputMessage,
    OutputRefusal,
    OutputText,
    Response,
    begun,
    function_call,
    message_id,
    response,
)
from pool.executions.execution import Execution
from pool.executions.progress import Thinking
from pool.values import Value


class ResponseEvent(Value):
    """An event of a streamed response; which fields it has depends on its type."""

    type: Literal[
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.refusal.delta",
        "response.refusal.done",
        "response.content_part.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
        "response.incomplete",
        "error",
    ]
    sequence_number: int
    response: Response | None = None
    output_index: int | None = None
    content_index: int | None = None
    item_id: str | None = None
    item: OutputItem | None = None
    part: OutputText | OutputRefusal | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    logprobs: tuple[()] | None = None
    error: dict[str, Any] | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None


class ResponseStream:
    """The events of a streamed response. What it cost is known at the end."""

    heartbeat = b": nothing new\n\n"

    def __init__(self, asked: DialectRequest, body: ResponsesBody) -> None:
        self._asked = asked
        self._body = body
        self._speech = speech_of(asked)
        self._number = -1
        self._message_id = ""
        self._items = 0
        """How many were added: the last one may be open."""
        self._open: Literal["text"] | FunctionCallItem | None = None
        self._said = ""
        """In the open one, so far."""

    def begin(self, execution: Execution, number: int) -> bytes:
        self._message_id = message_id(reply_name(execution, number))
        told = _told(begun(execution, number, self._asked, self._body))
        return self._event("created", response=told) + self._event("in_progress", response=told)

    def text(self, piece: str) -> bytes:
        return self._text(self._speech.hear(piece))

    def thinking(self, piece: Thinking) -> bytes:  # noqa: ARG002 - it is not shown
        return b""

    def call(self, piece: CallPiece) -> bytes:
        item = function_call(piece.id, piece.name, "", "in_progress")
        begins = self._close() + self._add(item, item) if piece.begins else b""
        self._said += piece.arguments
        place = {"item_id": item.id, "output_index": self._items - 1}
        delta = piece.arguments
        return begins + self._event("function_call_arguments.delta", **place, delta=delta)

    def end(self, reply: Reply) -> bytes:
        """The rest of the answer, and its end."""
        answer = response(reply, self._asked, self._body)
        if reply.refusal is not None:
            rest = self._refusal(reply.refusal)
        else:
            rest = self._text(self._speech.end(reply.text))
            if not self._items:
                rest = self._begin_text(OutputText(text=""))
        return rest + self._close() + self._event(answer.status, response=_told(answer))

    def failure(self, body: dict[str, Any]) -> bytes:
        error = body["error"]
        flat = {name: error[name] for name in ("code", "message", "param")}
        return event("error", sequence_number=self._next(), **flat, error=error)

    # -- items -----------------------------------------------------------------------------------

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        begins = b"" if self._open == "text" else self._begin_text(OutputText(text=""))
        self._said += text
        place = self._place()
        return begins + self._event("output_text.delta", **place, delta=text, logprobs=[])

    def _begin_text(self, part: OutputText | OutputRefusal) -> bytes:
        empty = OutputMessage(id=self._message_id, status="in_progress", content=())
        begins = self._close() + self._add(empty, "text")
        return begins + self._event("content_part.added", **self._place(), part=_told(part))

    def _refusal(self, refusal: str) -> bytes:
        begins, self._open = self._begin_text(OutputRefusal(refusal="")), None
        place = self._place()
        return (
            begins
            + self._event("refusal.delta", **place, delta=refusal)
            + self._event("refusal.done", **place, refusal=refusal)
            + self._end_message(OutputRefusal(refusal=refusal), "incomplete")
        )

    def _add(self, item: OutputItem, is_open: Literal["text"] | FunctionCallItem) -> bytes:
        self._items += 1
        self._open, self._said = is_open, ""
        return self._event("output_item.added", output_index=self._items - 1, item=_told(item))

    def _close(self) -> bytes:
        """The end of the open item, if one is."""
        closed, self._open = self._open, None
        match closed:
            case None:
                return b""
            case "text":
                done = self._event(
                    "output_text.done", **self._place(), text=self._said, logprobs=[]
                )
                return done + self._end_message(OutputText(text=self._said), "completed")
            case FunctionCallItem():
                return self._end_call(closed)
            case never:
                assert_never(never)

    def _end_call(self, begun: FunctionCallItem) -> bytes:
        item = begun.model_copy(update={"arguments": self._said, "status": "completed"})
        done = {"item_id": item.id, "name": item.name, "arguments": self._said}
        at = self._items - 1
        return self._event("function_call_arguments.done", output_index=at, **done) + self._event(
            "output_item.done", output_index=at, item=_told(item)
        )

    def _end_message(
        self, part: OutputText | OutputRefusal, status: Literal["completed", "incomplete"]
    ) -> bytes:
        item = OutputMessage(id=self._message_id, status=status, content=(part,))
        return self._event("content_part.done", **self._place(), part=_told(part)) + self._event(
            "output_item.done", output_index=self._items - 1, item=_told(item)
        )

    def _place(self) -> dict[str, Any]:
        """Where the text stands."""
        return {"item_id": self._message_id, "output_index": self._items - 1, "content_index": 0}

    def _event(self, kind: str, /, **data: Any) -> bytes:
        return event(f"response.{kind}", sequence_number=self._next(), **data)

    def _next(self) -> int:
        self._number += 1
        return self._number


def _told(value: Value) -> dict[str, Any]:
    return value.model_dump(mode="json")

"""Anthropic's Messages: what is asked in it, and how an answer is told, whole or as a stream."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from api.dialects.answer.shown import (
    PoolPart,
    answered_text,
    is_cut_off,
    is_refusal,
    pool_part,
    refusal_of,
    speech_of,
)
from api.dialects.answer.stops import Speech
from api.dialects.request.field_support import MESSAGE_BLOCKS, MESSAGES, ignored
from api.dialects.request.parts import Part, SpokenPart
from api.dialects.request.reading import Reading
from api.dialects.request.request import (
    MAX_MESSAGES,
    MAX_PARTS,
    MAX_STOPS,
    DialectRequest,
    Lenient,
    StopSequence,
    execution_request,
    extra_of,
    session_of,
)
from pool.executions.execution import Execution
from pool.executions.request import SessionId
from pool.usage.model_names import ModelId
from pool.usage.records import Usage, UsageReport, usage_report
from pool.values import Value

_NAMES = {
    "prompt": "messages",
    "images": "messages",
    "system_prompt": "system",
    "json_schema": "output_config.format.schema",
}

# -- what is asked -------------------------------------------------------------------------------


class MessageParam(Lenient):
    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS)]


class Format(Lenient):
    type: Literal["json_schema"]
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(Lenient):
    format: Format | None = None


class Metadata(Lenient):
    user_id: str | None = None


class MessagesBody(Lenient):
    """The body of `POST /v1/messages`. Other fields are refused or ignored: see README.md."""

    model: ModelId
    messages: Annotated[list[MessageParam], Field(min_length=1, max_length=MAX_MESSAGES)]
    system: str | Annotated[list[SpokenPart], Field(max_length=MAX_PARTS)] | None = None
    stream: bool | None = None
    stop_sequences: Annotated[list[StopSequence], Field(max_length=MAX_STOPS)] | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None
    session_id: SessionId | None = None


def asked(
    body: MessagesBody, *, session_id: str | None = None, beta: str | None = None
) -> DialectRequest:
    """What a body asks of the pool. ``Unsupported`` or ``InvalidRequest`` where it cannot be."""
    session = session_of(body.session_id, session_id)
    extra = {**extra_of(body), "anthropic-beta": beta}
    config, metadata = body.output_config or OutputConfig(), body.metadata or Metadata()
    reading = Reading(MESSAGES, MESSAGE_BLOCKS)
    for at, each in enumerate(body.messages):
        reading.take(each, each.role, each.content, f"messages.{at}")
    request = execution_request(
        _NAMES,
        reading.news(session),
        model=body.model,
        session_id=session,
        system_prompt="\n\n".join([*_texts(body.system), *reading.system]) or None,
        json_schema=config.format.json_schema if config.format else None,
        metadata={} if metadata.user_id is None else {"user_id": metadata.user_id},
    )
    return DialectRequest(
        request=request,
        ignored=(
            *ignored(extra, MESSAGES),
            *ignored(extra_of(config), MESSAGES, "output_config"),
            *ignored(extra_of(metadata), MESSAGES, "metadata"),
            *reading.ignored,
        ),
        stops=tuple(body.stop_sequences or ()),
        stream=bool(body.stream),
    )


def _texts(system: str | list[SpokenPart] | None) -> list[str]:
    match system:
        case None:
            return []
        case str():
            return [system]
        case blocks:
            return [block.text for block in blocks]


# -- what is answered ----------------------------------------------------------------------------


class TextContent(Value):
    type: Literal["text"] = "text"
    text: str


class MessageUsage(Value):
    """Tokens of the whole run, those of the cache beside the others."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int


StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "refusal"]


class StopDetails(Value):
    """Why the model declined."""

    type: Literal["refusal"] = "refusal"
    explanation: str


class Message(Value):
    """An answer."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: tuple[TextContent, ...]
    stop_reason: StopReason | None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: MessageUsage
    pool: PoolPart


def message(execution: Execution, asked: DialectRequest) -> Message:
    """An ended execution that has an answer, as a message."""
    speech = speech_of(asked)
    text = "" if is_refusal(execution) else speech.end(answered_text(execution, asked))
    return _told(execution, asked, speech, text)


def _told(execution: Execution, asked: DialectRequest, speech: Speech, text: str) -> Message:
    stop_reason, details = _stop(execution, speech)
    return Message(
        id=_id(execution),
        model=execution.model,
        content=(TextContent(text=text),) if text else (),
        stop_reason=stop_reason,
        stop_sequence=speech.stopped_by,
        stop_details=details,
        usage=_usage(execution.usage),
        pool=pool_part(execution, asked.ignored),
    )


def _stop(execution: Execution, speech: Speech) -> tuple[StopReason, StopDetails | None]:
    if is_refusal(execution):
        return "refusal", StopDetails(explanation=refusal_of(execution))
    if speech.stopped_by is not None:
        return "stop_sequence", None
    return ("max_tokens" if is_cut_off(execution) else "end_turn"), None


def _id(execution: Execution) -> str:
    return f"msg_{execution.id.removeprefix('exec_')}"


def _usage(usage: UsageReport) -> MessageUsage:
    return MessageUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
    )


class MessageEvent(Value):
    """An event of a streamed message; which fields it has depends on its type."""

    type: Literal[
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    ]
    message: Message | None = None
    index: int | None = None
    content_block: TextContent | None = None
    delta: dict[str, Any] | None = None
    usage: MessageUsage | None = None
    pool: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    request_id: str | None = None


class MessageStream:
    """The events of a streamed message. What it cost is known at the end, in ``message_delta``."""

    heartbeat = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self, asked: DialectRequest) -> None:
        self._asked = asked
        self._speech = speech_of(asked)

    def begin(self, execution: Execution) -> bytes:
        begun = Message(
            id=_id(execution),
            model=execution.model,
            content=(),
            stop_reason=None,
            usage=_usage(usage_report(Usage())),
            pool=pool_part(execution, self._asked.ignored),
        )
        block = {"type": "text", "text": ""}
        return _event("message_start", message=begun.model_dump(mode="json")) + _event(
            "content_block_start", index=0, content_block=block
        )

    def text(self, piece: str) -> bytes:
        return self._delta(self._speech.hear(piece))

    def end(self, execution: Execution) -> bytes:
        """The rest of the answer, and its end."""
        refused = is_refusal(execution)
        rest = "" if refused else self._speech.end(answered_text(execution, self._asked))
        told = _told(execution, self._asked, self._speech, rest).model_dump(mode="json")
        delta = {name: told[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
        return (
            self._delta(rest)
            + _event("content_block_stop", index=0)
            + _event("message_delta", delta=delta, usage=told["usage"], pool=told["pool"])
            + _event("message_stop")
        )

    def failure(self, body: dict[str, Any]) -> bytes:
        return _event(**body)

    def _delta(self, text: str) -> bytes:
        delta = {"type": "text_delta", "text": text}
        return _event("content_block_delta", index=0, delta=delta) if text else b""


def _event(type: str, **data: Any) -> bytes:  # noqa: A002 - as it is called in the API
    told = json.dumps({"type": type, **data}, separators=(",", ":"))
    return f"event: {type}\ndata: {told}\n\n".encode()

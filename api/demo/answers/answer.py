"""An answer of the Messages API in full, and the same answer as the events of its stream.

Pure: composed from the request and the behaviour; when and whether each event leaves is decided in
`playback`.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from api.demo.answers.conversation import (
    STRUCTURED_OUTPUT_TOOL,
    forced_tools,
    last_user_text,
    structured_schema,
    thinks,
    tool_results_since,
)
from api.demo.answers.instance import minimal_instance
from api.demo.standin.behaviour import Behaviour, Call
from api.demo.standin.bill import Usage

Json = dict[str, Any]
_MAX_CHUNK = (
    64 * 1024
)  # characters a delta, so that a huge answer arrives in pieces of the usual size


@dataclass(frozen=True)
class Answer:
    """One message of the model, as it will be when it is complete."""

    message_id: str
    model: str
    blocks: tuple[Json, ...]
    stop_reason: str
    usage: Usage
    stop_sequence: str | None = None

    def message(self) -> Json:
        """The body of an answer that is not streamed."""
        return {**self._shell(), "content": list(self.blocks), "stop_reason": self.stop_reason}

    def deltas(self, chunks: int) -> int:
        """How many content deltas `events` gives."""
        return sum(len(_pieces(_payload(block), chunks)) for block in self.blocks)

    def events(self, chunks: int) -> Iterator[Json]:
        """The events of the stream in order; each block's content in about `chunks` deltas."""
        start = {**self._shell(), "content": [], "stop_reason": None}
        start["usage"] = {**start["usage"], "output_tokens": min(1, self.usage.output_tokens)}
        yield {"type": "message_start", "message": start}
        yield {"type": "ping"}
        for index, block in enumerate(self.blocks):
            yield {"type": "content_block_start", "index": index, "content_block": _empty(block)}
            for piece in _pieces(_payload(block), chunks):
                yield {"type": "content_block_delta", "index": index, "delta": _delta(block, piece)}
            if block["type"] == "thinking":
                signed = {"type": "signature_delta", "signature": block["signature"]}
                yield {"type": "content_block_delta", "index": index, "delta": signed}
            yield {"type": "content_block_stop", "index": index}
        delta = {"stop_reason": self.stop_reason, "stop_sequence": self.stop_sequence}
        yield {"type": "message_delta", "delta": delta, "usage": _wire(self.usage)}
        yield {"type": "message_stop"}

    def _shell(self) -> Json:
        return {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "stop_sequence": self.stop_sequence,
            "usage": {**_wire(self.usage), "service_tier": "standard"},
        }


def compose(body: Json, behaviour: Behaviour) -> Answer:
    """The answer to `body`; ValueError when it asks for structured output by a schema that never
    ends.
    """
    blocks, stop_reason = _content(body, behaviour)
    blocks, cut = _within_bounds(body, blocks)
    stop_reason, stop_sequence = cut or (stop_reason, None)
    return Answer(
        message_id=f"msg_{uuid.uuid4().hex[:24]}",
        model=str(body["model"]),
        blocks=_thinking(body, behaviour) + blocks,
        stop_reason=stop_reason,
        usage=behaviour.usage,
        stop_sequence=stop_sequence,
    )


def default_text(body: Json) -> str:
    """What is answered when nothing else was asked for: the same words for the same request,
    always.
    """
    digest = hashlib.sha256(last_user_text(body).encode()).hexdigest()[:12]
    return f"REPLY sha={digest} model={body['model']} messages={len(body.get('messages') or [])}"


def sse(event: Json) -> bytes:
    """One server-sent event on the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _content(body: Json, behaviour: Behaviour) -> tuple[tuple[Json, ...], str]:
    if behaviour.kind == "refusal":
        return _text(behaviour.text or ""), "refusal"
    if calls := _calls(body, behaviour):
        return (*_text(behaviour.text or ""), *calls), "tool_use"
    results = tool_results_since(body)
    if behaviour.kind == "tool" and results < behaviour.steps * behaviour.at_once:
        asked_for = behaviour.input or {}
        return tuple(
            _tool_use(behaviour.name, asked_for) for _ in range(behaviour.at_once)
        ), "tool_use"
    if behaviour.text is None and behaviour.kind != "tool" and (asked := structured_schema(body)):
        way, schema = asked
        instance = minimal_instance(schema) if behaviour.input is None else behaviour.input
        if way == "tool" and results == 0:
            return (_tool_use(STRUCTURED_OUTPUT_TOOL, instance),), "tool_use"
        if way == "text":
            return _text(json.dumps(instance)), "end_turn"
    text = default_text(body) if behaviour.text is None else behaviour.text
    end = "max_tokens" if behaviour.kind == "max_tokens" else "end_turn"
    return _text(text.ljust(int(behaviour.megabytes * 1_000_000), "x")), end


def _within_bounds(
    body: Json, blocks: tuple[Json, ...]
) -> tuple[tuple[Json, ...], tuple[str, str | None] | None]:
    """A text up to the first stop sequence in it, or up to ``max_tokens``: a word is a token here.
    With that why it ended there, if it did.
    """
    if [block["type"] for block in blocks] != ["text"]:
        return blocks, None
    text, cut = str(blocks[0]["text"]), None
    found = [(text.find(each), each) for each in body.get("stop_sequences") or []]
    if begins := min((each for each in found if each[0] >= 0), default=None):
        text, cut = text[: begins[0]], ("stop_sequence", begins[1])
    words = list(re.finditer(r"\S+", text))
    longest = body.get("max_tokens") or len(words)
    if len(words) > longest:
        text, cut = text[: words[longest - 1].end()], ("max_tokens", None)
    return _text(text), cut


def _thinking(body: Json, behaviour: Behaviour) -> tuple[Json, ...]:
    if behaviour.thought is None or not thinks(body):
        return ()
    shown = (body.get("thinking") or {}).get("display") == "summarized"
    thought = behaviour.thought if shown else ""
    return ({"type": "thinking", "thinking": thought, "signature": f"signed:{len(thought)}"},)


def _empty(block: Json) -> Json:
    match block["type"]:
        case "tool_use":
            return {**block, "input": {}}
        case "thinking":
            return {**block, "thinking": "", "signature": ""}
        case _:
            return {**block, "text": ""}


def _text(text: str) -> tuple[Json, ...]:
    return ({"type": "text", "text": text},) if text else ()


def _calls(body: Json, behaviour: Behaviour) -> tuple[Json, ...]:
    """The calls of an answer that makes several at once, or has no choice."""
    if behaviour.kind == "answer" and (tools := forced_tools(body)):
        instance = minimal_instance(tools[0].get("input_schema") or {})
        given = instance if behaviour.input is None else behaviour.input
        return (_tool_use(tools[0]["name"], given),)
    return tuple(_called(call, body) for call in behaviour.calls)


def _called(call: Call, body: Json) -> Json:
    offered = [str(tool.get("name")) for tool in body.get("tools") or []]
    by_a_server = (name for name in offered if name.endswith(f"__{call.name}"))
    name = call.name if call.name in offered else next(by_a_server, call.name)
    return _tool_use(name, call.input, call.id)


def _tool_use(name: str, arguments: Any, id_: str | None = None) -> Json:
    return {
        "type": "tool_use",
        "id": id_ or f"toolu_{uuid.uuid4().hex[:24]}",
        "name": name,
        "input": arguments,
    }


def _payload(block: Json) -> str:
    if block["type"] == "tool_use":
        return json.dumps(block["input"])
    return str(block[block["type"]])


def _delta(block: Json, piece: str) -> Json:
    if block["type"] == "tool_use":
        return {"type": "input_json_delta", "partial_json": piece}
    if block["type"] == "thinking":
        return {"type": "thinking_delta", "thinking": piece}
    return {"type": "text_delta", "text": piece}


def _pieces(payload: str, chunks: int) -> list[str]:
    size = min(_MAX_CHUNK, -(-len(payload) // chunks)) or 1
    return [payload[start : start + size] for start in range(0, len(payload), size)]


def _wire(usage: Usage) -> Json:
    five_minutes, hour = usage.cache_creation_5m_input_tokens, usage.cache_creation_1h_input_tokens
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": five_minutes + hour,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": five_minutes,
            "ephemeral_1h_input_tokens": hour,
        },
        "output_tokens": usage.output_tokens,
    }

"""The OpenAPI document of the dialects, beyond FastAPI's own reading of the routes."""

from __future__ import annotations

from typing import Any

from api.dialects.chat.stream import ChatCompletionChunk
from api.dialects.messages.stream import MessageEvent
from api.dialects.responses.stream import ResponseEvent
from api.web.stream.event_schema import event_schema
from pool.values import Value

_REF = "#/components/schemas/{model}"


def streamed(part: type[Value]) -> dict[int | str, dict[str, Any]]:
    """An answer that is a stream of such parts."""
    return {200: {"content": {"text/event-stream": {"schema": event_schema(part.__name__)}}}}


def stream_schemas() -> dict[str, Any]:
    """What ``streamed`` refers to, by name."""
    schemas: dict[str, Any] = {}
    for part in (MessageEvent, ChatCompletionChunk, ResponseEvent):
        schema = part.model_json_schema(ref_template=_REF, mode="serialization")
        schemas |= schema.pop("$defs")
        schemas[part.__name__] = schema
    return schemas

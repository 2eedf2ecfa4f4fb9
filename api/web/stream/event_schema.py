"""The schema of one event of a stream in the OpenAPI document."""

from __future__ import annotations

from typing import Any


def event_schema(data: str) -> dict[str, Any]:
    """An event as it is sent; its ``data`` is the JSON text of the schema that is named."""
    ref = {"$ref": f"#/components/schemas/{data}"}
    text = {"type": "string", "contentMediaType": "application/json", "contentSchema": ref}
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": text},
    }

"""Frames of a stream: server-sent events, as the SDKs read them."""

from __future__ import annotations

import json
from typing import Any


def data(value: dict[str, Any]) -> bytes:
    """An event without a name."""
    return data_text(json.dumps(value, separators=(",", ":")))


def data_text(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


def event(type: str, **data: Any) -> bytes:  # noqa: A002 - as it is called in the APIs
    """An event whose name stands in its data, too."""
    told = json.dumps({"type": type, **data}, separators=(",", ":"))
    return f"event: {type}\ndata: {told}\n\n".encode()

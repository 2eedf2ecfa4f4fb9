"""Addresses that clients try by default, and what they are told there.

SDKs put their own path behind the base URL that they are given, with or without ``/v1``; some ask
for parts of their API that this pool does not have. Whoever asks at such an address is told, in the
shape of the API it speaks, where to go.
"""

from __future__ import annotations

import re
from typing import Literal

Dialect = Literal["messages", "chat", "models"]

_OFFERED: dict[str, Dialect] = {
    "/messages": "messages",
    "/chat/completions": "chat",
    "/models": "models",
}
"""Below ``/v1``."""
_MISSING: dict[str, Dialect] = {
    "/messages/count_tokens": "messages",
    "/messages/batches": "messages",
    "/complete": "messages",
    "/completions": "chat",
    "/responses": "chat",
    "/embeddings": "chat",
    "/moderations": "chat",
    "/images/generations": "chat",
    "/audio/speech": "chat",
    "/audio/transcriptions": "chat",
}
_ASK = {
    "messages": "ask POST /v1/messages",
    "chat": "ask POST /v1/chat/completions",
    "models": "ask GET /v1/models",
}
_ENDS = {
    "messages": "with the port for Anthropic's SDK",
    "chat": "in /v1 for OpenAI's SDK",
    "models": "with the port for Anthropic's SDK, in /v1 for OpenAI's",
}
"""What the address of an SDK's own must look like for that."""
_BASE = re.compile(r"(/(api|openai|anthropic|v1))*(?=/)")
_SLASHES = re.compile(r"/+")


def dialect_of(path: str) -> Dialect | None:
    """Whose shape the errors of an address have; None for the pool's own addresses."""
    end = _end(path)
    known = {**_OFFERED, **_MISSING}
    return next((known[each] for each in known if _is_below(end, each)), None)


def hint(path: str) -> str | None:
    """Where to go from an address at which there is nothing."""
    end = _end(path)
    for each, dialect in _MISSING.items():
        if _is_below(end, each):
            return f"this pool does not offer it: {_ASK[dialect]}"
    for each, dialect in _OFFERED.items():
        if _is_below(end, each):
            return f"{_ASK[dialect]}: {_remedy(path, each, dialect)}"
    if len(path) > 1 and path.endswith("/"):
        return "leave out the slash at the end of the address"
    return None


def _remedy(path: str, address: str, dialect: Dialect) -> str:
    """What to change in an address that is meant for one that is offered."""
    plain = _plain(path)
    if plain == f"/v1{address}":
        return "leave out the slash that is too many"
    if _is_below(plain, f"/v1{address}"):
        return "there is nothing below it"
    return f"the base URL ends {_ENDS[dialect]}"


def _plain(path: str) -> str:
    """A path without slashes at its end, and with one where several stand."""
    return _SLASHES.sub("/", path).rstrip("/")


def _end(path: str) -> str:
    """A path without what stands before the API's own."""
    path = _plain(path)
    base = _BASE.match(path)
    return path[base.end() :] if base else path


def _is_below(path: str, address: str) -> bool:
    return path == address or path.startswith(f"{address}/")
